"""Imports into the scheduler what its tasks need: LocalExecutor forks its workers from it, and these the tasks.

Airflow imports a module of this name when it starts; only the scheduler has this folder on its path, and the
dag-processor, which forks a process for each DAG file. On macOS tasks are not forked: nothing is imported there.

Nightshift's own modules are among it, and yet a change of them needs no restart: every forked process looks at their
files first. Is one not as it was before the imports, it forgets all of them, and imports what is on disk now. It must:
the fingerprints of results are made of the files on disk, and have to name the code that ran. Without it, too, some
would stay as they were at the start, those that Airflow's plugins import, beside new ones that may not fit them.

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
from collections.abc import Iterable
from importlib import import_module, invalidate_caches
from importlib.util import find_spec

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
# What DAG files import of Nightshift, with all that these import.
DAGS = ("nightshift.orchestration.dag", "nightshift.orchestration.maintenance")
# What tasks do: the use cases of their steps, too.
TASKS = (
    *DAGS,
    "nightshift.inputs.run",
    "nightshift.features.build",
    "nightshift.features.run",
    "nightshift.scoring.run",
    "nightshift.scoring.worker",
    "nightshift.monitoring.run",
    "nightshift.training.run",
    "nightshift.training.fit",
)
PACKAGE = "nightshift"

State = dict[str, tuple[int, int, int, int]]

_PR_SET_PDEATHSIG = 1  # prctl(2)


def _preload(modules: tuple[str, ...], own: tuple[str, ...]) -> None:
    began = time.process_time()
    preload(modules)
    preload_own(own)
    print(f"preloaded {len(modules + own)} modules in {time.process_time() - began:.1f} cpu seconds", flush=True)


def preload(names: Iterable[str]) -> None:
    """Imports them, and warns of one that cannot be: a task that needs it will say so."""
    for name in names:
        try:
            import_module(name)
        except Exception as error:  # one of ours may be half written
            logging.getLogger(__name__).warning("%s is not preloaded: %r", name, error)


def preload_own(names: Iterable[str]) -> None:
    """Imports Nightshift's modules, and has every forked process forget them once a file of the package has changed."""
    _forget()  # what was imported before the first look at the files
    folders = _folders()
    known: State | None = _files(folders)

    def look() -> None:
        nonlocal known
        if known is None or known != _files(folders):
            known = None  # for good: what this process imports from now on, those below it must not inherit, either
            _forget()

    os.register_at_fork(after_in_child=look)
    preload(names)


def _folders() -> list[str]:
    found = find_spec(PACKAGE)
    return list(found.submodule_search_locations or ()) if found else []


def _files(folders: list[str]) -> State:
    """What tells one version of the package's modules from another; a new module may hide an old one, so it counts."""
    found: State = {}
    waiting = list(folders)
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.endswith(".py"):
                        status = entry.stat()
                        identity = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                        found[entry.path] = identity
                    elif entry.is_dir() and entry.name != "__pycache__":
                        waiting.append(entry.path)
        except OSError:  # it has just gone, and is missing in what was found
            continue
    return found


def _forget() -> None:
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")]:
        del sys.modules[name]
    invalidate_caches()


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


_for = os.environ.pop("NIGHTSHIFT_PRELOAD", "")
if _for:
    _hide()
if _for == "tasks":
    if sys.platform != "darwin":
        _preload(MODULES, TASKS)
    if sys.platform == "linux":
        _end_with_parent()
elif _for == "dags" and sys.platform != "darwin":
    _preload((), DAGS)
