"""Imports into the scheduler what its tasks need: LocalExecutor forks its workers from it, and these the tasks.

Airflow imports a module of this name when it starts; only the scheduler has this folder on its path. Nightshift's
own modules are left out, so that a change of them needs no restart. On macOS tasks are not forked: nothing is gained
there, and nothing is imported.

Workers and tasks also end with the process that forked them. Else those of a killed scheduler would wait for ever,
with its connection to Postgres in their hands: the rows that it had locked would stay locked, and the next scheduler
would pass over them without a word.

The cpu time of a task that needs Great Expectations, MLflow, XGBoost, pandas and deltalake fell from 3.3-4.8 s to
0.06 s; the scheduler's start takes 7 cpu seconds longer (docs/adr/0001-supervisor.md).
"""

import ctypes
import logging
import os
import signal
import sys
import time
from importlib import import_module

# Nothing of this module becomes a setting of Airflow.
__all__: list[str] = []

MODULES = (
    "pyarrow.parquet",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pandas",
    "deltalake",
    "psycopg",
    "xgboost",
    "great_expectations.expectations",
    "mlflow.tracking",
    "mlflow.artifacts",
    "sklearn.metrics",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.standard.operators.python",
    "airflow.providers.apache.spark.operators.spark_submit",
    "airflow.providers.cncf.kubernetes.operators.pod",
)


_PR_SET_PDEATHSIG = 1  # prctl(2)


def _preload() -> None:
    began = time.process_time()
    for name in MODULES:
        try:
            import_module(name)
        except ImportError as error:  # a task that needs it will say so
            logging.getLogger(__name__).warning("%s is not preloaded: %s", name, error)
    print(f"preloaded {len(MODULES)} modules in {time.process_time() - began:.1f} cpu seconds", flush=True)


def _hide() -> None:
    """Keeps this module from the processes that tasks start."""
    folder = os.path.dirname(__file__)  # noqa: PTH120 (pathlib is not needed for anything else here)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path != folder)


def _end_with_parent() -> None:
    """Has the kernel kill every forked process when the one above it ends. Linux."""
    prctl, above = ctypes.CDLL(None).prctl, os.getpid()

    def ask() -> None:
        nonlocal above
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != above:  # it ended before it was asked
            os._exit(1)
        above = os.getpid()

    os.register_at_fork(after_in_child=ask)


if os.environ.pop("NIGHTSHIFT_PRELOAD", "") == "1":
    _hide()
    if sys.platform != "darwin":
        _preload()
    if sys.platform == "linux":
        _end_with_parent()
