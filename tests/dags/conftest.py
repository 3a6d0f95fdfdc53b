"""Airflow without a database of its own: enough to parse, to ask timetables, to call operators."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import PROJECT

# Airflow reads these when it is first imported, and writes a configuration file to its home.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="nightshift-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AIRFLOW__CORE__PLUGINS_FOLDER", str(PROJECT / "plugins"))


def run_python(code: str, folder: Path, home: Path = PROJECT, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Runs Python code in a process of its own, with Airflow's home in ``folder`` and the project in ``home``."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NIGHTSHIFT"))}
    variables = {
        **base,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": str(PROJECT),
        "NIGHTSHIFT_HOME": str(home),
        "NIGHTSHIFT_VAR": str(folder / "var"),
        **environ,
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
