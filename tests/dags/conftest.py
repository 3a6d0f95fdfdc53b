"""Airflow without a database of its own: enough to parse, to ask timetables, to call operators."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from nightshift import steps
from nightshift.job import Job
from nightshift.steps import Step
from tests.conftest import PROJECT, make_pipeline, spec_document

DS = date(2024, 2, 5)

# Airflow reads these when it is first imported, and writes a configuration file to its home.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="nightshift-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
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
        "PYTHONPATH": f"{PROJECT / 'include'}{os.pathsep}{PROJECT}",
        "NIGHTSHIFT_HOME": str(home),
        "NIGHTSHIFT_VAR": str(folder / "var"),
        **environ,
    }
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose only spec is parcels, with its own ``var``; this process's settings are for it."""
    folder = tmp_path / "home" / "include" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "parcels.yaml").write_text(yaml.safe_dump(spec_document()))
    for name in list(os.environ):
        if name.startswith("NIGHTSHIFT"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTSHIFT_VAR", str(tmp_path / "var"))
    # A task's process ends with the task; this one would be slow for all tests after this one.
    monkeypatch.setattr("nightshift.orchestration.context.give_way", lambda: None)
    return tmp_path / "home"


@pytest.fixture
def use_case(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a function in the place of a step's use case."""

    def put(name: str, function: Callable[[Job], Any], *, needs_spark: bool = False) -> None:
        monkeypatch.setattr(sys.modules[__name__], "stand_in", function, raising=False)
        step = Step(name, "daily", f"{__name__}:stand_in", "A stand-in.", needs_spark)
        monkeypatch.setattr(steps, "STEPS", {**steps.STEPS, name: step})

    return put


@pytest.fixture
def task() -> Callable[[str], Any]:
    """A task of parcels' DAGs, as a run has it: the daily one's or the retrain's."""
    from nightshift.orchestration.dag import build_dag
    from nightshift.plan import make_plan
    from nightshift.settings import Settings

    plan = make_plan(make_pipeline())
    dags = [build_dag(dag, Settings.from_env()) for dag in (plan.daily, plan.retrain)]

    def find(name: str) -> Any:
        found = next(dag.get_task(name) for dag in dags if dag.has_task(name))
        return found.prepare_for_execution()

    return find


class TaskInstance:
    """What Airflow tells a task of other runs."""

    def __init__(self, unfinished: Sequence[date] = (), first_poke: timedelta = timedelta(0)) -> None:
        self.unfinished, self.first_poke = set(unfinished), first_poke
        self.calls, self.try_number, self.max_tries = 0, 1, 2
        self.map_index: int | None = -1

    def get_dr_count(self, dag_id: str, logical_dates: list[datetime], states: list[str]) -> int:
        assert states == ["queued", "running"]
        assert all(moment.utcoffset() == timedelta(0) and moment.hour == 0 for moment in logical_dates)
        self.calls += 1
        return len(self.unfinished & {moment.date() for moment in logical_dates})

    def get_first_reschedule_date(self, context: Any) -> datetime:
        return datetime.now(UTC) - self.first_poke


def context(ti: TaskInstance | None = None, **run: Any) -> Any:
    known: dict[str, Any] = {
        "dag_id": "parcels",
        "run_id": "backfill__2024-02-05T07:00:00+00:00",
        "run_type": "backfill",
        "logical_date": datetime(DS.year, DS.month, DS.day, tzinfo=UTC),
        "run_after": datetime(2024, 2, 5, 7, tzinfo=UTC),
        "triggering_user_name": "ada",
    }
    return {"ti": ti or TaskInstance(), "dag_run": SimpleNamespace(**{**known, **run})}


def execute(operator: Any, given: Any) -> Any:
    """Calls an operator as the task runner does."""
    from airflow.sdk.bases.operator import ExecutorSafeguard

    token = ExecutorSafeguard.tracker.set(operator)
    try:
        return operator.execute(given)
    finally:
        ExecutorSafeguard.tracker.reset(token)
