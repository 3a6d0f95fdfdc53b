"""Backfills: made by the airflow command line, watched through Airflow's API."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Literal

from nightshift.errors import PlatformError
from nightshift.platform.airflow_client import AirflowClient, Run
from nightshift.platform.environment import process_environment
from nightshift.settings import Settings
from nightshift.specs.calendar import days

Reprocess = Literal["none", "failed", "completed"]

UNFINISHED = ("queued", "running")
_POLL_SECONDS = 1.0
_LINGER_SECONDS = 60.0


def create(
    settings: Settings,
    client: AirflowClient,
    dag_id: str,
    first: date,
    last: date,
    *,
    max_active: int = 4,
    reprocess: Reprocess = "none",
) -> list[str]:
    """Make a backfill with ``airflow backfill create`` and return the argv that did. Raises PlatformError.

    Waits for one before it whose runs are over: Airflow calls it active for up to 30 seconds more.
    """
    argv = ["airflow", "backfill", "create", "--dag-id", dag_id]
    argv += ["--from-date", first.isoformat(), "--to-date", last.isoformat()]
    argv += ["--max-active-runs", str(max_active), "--reprocess-behavior", reprocess]
    deadline = time.monotonic() + _LINGER_SECONDS
    while client.has_backfill(dag_id) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    done = subprocess.run(argv, env=process_environment(settings), capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise PlatformError(
            f"`{' '.join(argv)}` failed: {said[-1].strip() if said else f'exit {done.returncode}'}",
            do="a backfill of the same DAG may still be active: wait for it, or look at Browse > Backfills",
        )
    return argv


def watch(
    client: AirflowClient, dag_id: str, first: date, last: date, report: Callable[[str], None], *, seconds: float = 7200
) -> list[Run]:
    """Report progress until every day of a range has a run that is over; returns the runs.

    Raises PlatformError when that takes longer than ``seconds``.
    """
    wanted = {day.isoformat() for day in days(first, last)}
    deadline, said = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        runs = client.runs(dag_id, first, last)
        states = Counter(run.state for run in runs)
        line = ", ".join(f"{number} {state}" for state, number in sorted(states.items())) or "no run yet"
        if line != said:
            report(f"{dag_id}: {line} of {len(wanted)} days")
            said = line
        if {run.ds for run in runs if run.state not in UNFINISHED} >= wanted:
            return runs
        time.sleep(_POLL_SECONDS)
    raise PlatformError(
        f"the backfill of {dag_id} from {first} to {last} is not over after {seconds:.0f} s ({said})",
        do="look at the runs in the Airflow UI; they go on",
    )
