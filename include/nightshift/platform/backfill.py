"""Backfills: made by the airflow command line, watched through Airflow's API."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from typing import Literal

from nightshift.actor import system_account
from nightshift.errors import PlatformError
from nightshift.plan import RETRAIN_SUFFIX, SchedulePlan, make_plan, pipeline_of, run_days
from nightshift.platform.airflow_client import AirflowClient, Backfill, Run
from nightshift.platform.environment import process_environment
from nightshift.platform.time_left import Left, expected, next_left
from nightshift.run_facts import UNFINISHED
from nightshift.settings import Settings
from nightshift.specs.calendar import days
from nightshift.specs.model import Pipeline

Reprocess = Literal["none", "failed", "completed"]

MAX_ACTIVE = 4
_POLL_SECONDS = 1.0
_OTHER_SECONDS = 7200.0
_SAY_SECONDS = 60.0
_WEEK = timedelta(days=7)


def wanted_days(pipeline: Pipeline, first: date, last: date, *, retrain: bool) -> list[date]:
    """The days that a backfill from ``first`` to ``last`` runs. Raises PlatformError where there is none."""
    plan = make_plan(pipeline)
    schedule = plan.retrain.schedule if retrain else plan.daily.schedule
    wanted = run_days(schedule, first, last)
    if not wanted:
        until = f" to {schedule.last}" if schedule.last else " on"
        mondays = f", Mondays only{_nearest(schedule, first, last)}" if schedule.every == "week" else ""
        raise PlatformError(
            f"no day from {first} to {last} has a run",
            where=pipeline.name,
            allowed=f"business dates from {schedule.first}{until}{mondays}",
        )
    return wanted


def _nearest(schedule: SchedulePlan, first: date, last: date) -> str:
    """The days with a run before and after a range that has none."""
    before, after = run_days(schedule, first - _WEEK, first)[-1:], run_days(schedule, last, last + _WEEK)[:1]
    near = " and ".join(map(str, [*before, *after]))
    return f"; the nearest: {near}" if near else ""


def create(
    settings: Settings,
    client: AirflowClient,
    dag_id: str,
    first: date,
    last: date,
    *,
    max_active: int = MAX_ACTIVE,
    reprocess: Reprocess = "none",
    report: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Make a backfill with ``airflow backfill create`` and return the argv that did. Raises PlatformError.

    Waits for one before it, since Airflow allows one a DAG; it calls one active for up to 30 seconds after its runs.
    """
    argv = ["airflow", "backfill", "create", "--dag-id", dag_id]
    argv += ["--from-date", first.isoformat(), "--to-date", last.isoformat()]
    argv += ["--max-active-runs", str(max_active), "--reprocess-behavior", reprocess]
    wait_for_other(client, dag_id, report)
    done = subprocess.run(argv, env=environment(settings), capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise PlatformError(
            f"`{' '.join(argv)}` failed: {said[-1].strip() if said else f'exit {done.returncode}'}",
            do="a backfill of the same DAG may still be active: wait for it, or look at Browse > Backfills",
        )
    return argv


def environment(settings: Settings) -> dict[str, str]:
    """The variables of Airflow's command, which takes from one of them who asks for a run, whatever it says."""
    return {**process_environment(settings), "LOGNAME": system_account()}


def wait_for_other(client: AirflowClient, dag_id: str, report: Callable[[str], None]) -> None:
    """Wait until no backfill of a DAG is active. Raises PlatformError naming the one that does not end."""
    deadline, said_at = time.monotonic() + _OTHER_SECONDS, float("-inf")
    while active := client.active_backfill(dag_id):
        if time.monotonic() >= deadline:
            raise PlatformError(
                f"the backfill before this one ({active.words}) is not over after {_OTHER_SECONDS:.0f} s",
                where=dag_id,
                allowed="one at a time",
                do=f"look at its runs in the Airflow UI: clear or end what hangs, or {_cancel(dag_id)}",
            )
        if time.monotonic() > said_at + _SAY_SECONDS:
            report(f"{dag_id}: waiting for the backfill before this one ({active.words}): {_state(client, active)}")
            report(f"{dag_id}: Airflow allows one at a time; to end that one, {_cancel(dag_id)}")
            said_at = time.monotonic()
        time.sleep(_POLL_SECONDS)


def _state(client: AirflowClient, active: Backfill) -> str:
    """How far a backfill is, and why it is not over."""
    runs = [run for run in client.runs(active.dag_id, active.first, active.last) if run.run_type == "backfill"]
    words = progress(Counter(run.state for run in runs), len(runs))
    if all(run.state not in UNFINISHED for run in runs):
        return f"{words}; its runs are over, and Airflow closes it within half a minute"
    return words


def _cancel(dag_id: str) -> str:
    option = " --retrain" if dag_id.endswith(RETRAIN_SUFFIX) else ""
    return f"`nightshift backfill {pipeline_of(dag_id)} --cancel{option}`"


def watch(
    client: AirflowClient,
    dag_id: str,
    first: date,
    last: date,
    report: Callable[[str], None],
    *,
    seconds: float = 7200,
    wanted: Collection[date] = (),
) -> list[Run]:
    """Report progress until every day of a range (or each ``wanted`` one) has a run that is over; returns the runs.

    Raises PlatformError when that takes longer than ``seconds``.
    """
    names = {day.isoformat() for day in wanted or days(first, last)}
    began, said, said_at = time.monotonic(), "", 0.0
    left: Left | None = None
    while time.monotonic() < began + seconds:
        runs = client.runs(dag_id, first, last)
        over = {run.ds for run in runs if run.state not in UNFINISHED} & names
        line = progress(Counter(run.state for run in runs if run.ds in names), len(names))
        if line != said or time.monotonic() > said_at + _SAY_SECONDS:
            left = next_left(left, _expected([run for run in runs if run.ds in names]), time.monotonic())
            report(f"{dag_id}: {line}{f', {left.words}' if left and over < names else ''}")
            said, said_at = line, time.monotonic()
        if over >= names:
            return [run for run in runs if run.ds in names]
        time.sleep(_POLL_SECONDS)
    raise PlatformError(
        f"the backfill of {dag_id} from {first} to {last} is not over after {seconds:.0f} s ({said})",
        do="look at the runs in the Airflow UI; they go on",
    )


def failed_in(client: AirflowClient, dag_id: str, run: Run) -> str:
    """The tasks in which a run failed, for people."""
    return ", ".join(item.task for item in client.failed_tasks(dag_id, run.run_id)) or "no task"


def progress(states: Mapping[str, int], wanted: int) -> str:
    """The progress of the runs of ``wanted`` days, from their number in each of Airflow's states."""
    words = {"success": "done", "failed": "failed", "running": "running", "queued": "queued"}
    counted = {word: states.get(state, 0) for state, word in words.items()}
    rest = [f"{counted[word]} {word}" for word in ("running", "queued", "failed") if counted[word]]
    return ", ".join([f"{counted['done']} of {wanted} days done", *rest])


def _expected(runs: Sequence[Run]) -> float | None:
    """The seconds that the unfinished runs of a backfill will take, by those of it that succeeded."""
    made = [run for run in runs if run.run_type == "backfill"]
    seconds = {state: [run.seconds for run in made if run.state == state] for state in ("success", "running")}
    return expected(seconds["success"], seconds["running"], sum(run.state == "queued" for run in made))
