"""A day through the live scheduler beside its steps in a shell; an unchanged day beside tasks that do nothing."""

import shlex
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from benchmarks.figures import Figure, Result, Table, Target
from benchmarks.measure import BIN, each, process, take_turns
from benchmarks.session import Session
from tests.live import Live

LAND = (date(2013, 1, 1), date(2013, 3, 12))
AS_OF = date(2013, 3, 3)

TRIVIAL = '''
"""The shape of a daily DAG; no task does anything."""

from airflow.sdk import DAG, task

with DAG("trivial", schedule=None):

    def nothing(name):
        return task(task_id=name)(lambda: None)()

    @task
    def plan_scoring():
        return [0]

    @task
    def score(shard):
        return None

    built = nothing("inputs_landed") >> nothing("gate_inputs") >> nothing("build_features")
    labels, shards = nothing("gate_labels"), plan_scoring()
    built >> labels
    built >> nothing("gate_features") >> shards
    score.expand(shard=shards) >> nothing("gate_predictions") >> (monitor := nothing("monitor"))
    labels >> monitor
'''


def run(session: Session) -> Result:
    """Two figures, in wall seconds, and where the first one's time goes."""
    live = session.live()
    (live.settings.home / "dags" / "trivial.py").write_text(TRIVIAL)
    session.say("landing files, first champion")
    live.run("nightshift", "land", "flights", "--from", str(LAND[0]), "--to", str(LAND[1]))
    backfilled(live, "flights__retrain", AS_OF)
    days = iter(AS_OF + timedelta(days=number) for number in range(1, 99))
    runs: list[str] = []
    daily, tasks = _daily(session, live, days, runs)
    return Result((daily, _unchanged(session, live, runs[-1])), (tasks,))


def _daily(session: Session, live: Live, days: Iterator[date], runs: list[str]) -> tuple[Figure, Table]:
    def scheduled() -> dict[str, Any]:
        run = triggered(live, "flights", f"{next(days)}T00:00:00Z")
        runs.append(run["dag_run_id"])
        return run

    ours, theirs = take_turns(
        scheduled,
        lambda: process("sh", "-ec", _script(next(days)), env=live.environment),
        session.pick(3, 1),
        session.say,
        warm=not session.quick,
    )
    figure = Figure(
        name="one day of flights through the live scheduler",
        unit="wall s",
        samples=tuple(map(seconds, ours)),
        peer="its steps one after another in a shell",
        peer_samples=each(theirs, lambda cost: cost.wall),
        target=Target("at most", 1.5),
    )
    return figure, _tasks(live, ours[-1])


def _script(day: date) -> str:
    """A line for each step of a day."""
    from nightshift.steps import STEPS

    names = [name for name, step in STEPS.items() if step.dag == "daily"]
    argvs = [[str(BIN / "nightshift"), "run", "flights", name, "--ds", str(day), "--run-id", "shell"] for name in names]
    return "\n".join(map(shlex.join, argvs))


def _tasks(live: Live, run: dict[str, Any]) -> Table:
    """When each task of a run began and how long it took."""
    path = f"/api/v2/dags/flights/dagRuns/{run['dag_run_id']}/taskInstances"
    found = [item for item in live.api(path)["task_instances"] if item["start_date"]]
    found.sort(key=lambda item: item["start_date"])
    began = datetime.fromisoformat(run["queued_at"])
    rows = tuple(
        (item["task_id"], (datetime.fromisoformat(item["start_date"]) - began).total_seconds(), item["duration"])
        for item in found
    )
    return Table("The tasks of such a day, wall seconds", ("task", "begins after", "takes"), rows)


def _unchanged(session: Session, live: Live, run: str) -> Figure:
    wait_for_dag(live, "trivial")
    trivial = triggered(live, "trivial", None)["dag_run_id"]
    ours, theirs = take_turns(
        lambda: again(live, "flights", run),
        lambda: again(live, "trivial", trivial),
        session.pick(5, 1),
        session.say,
        warm=not session.quick,
    )
    return Figure(
        name="the same day of flights again, unchanged",
        unit="wall s",
        samples=tuple(map(seconds, ours)),
        peer="as many tasks that do nothing, in the same shape",
        peer_samples=tuple(map(seconds, theirs)),
        target=Target("at most", 1.2),
    )


def backfilled(live: Live, dag: str, day: date) -> None:
    """One run of a DAG by the airflow command line, to its end. Raises RuntimeError where it fails."""
    from nightshift.platform import backfill
    from nightshift.platform.airflow_client import login

    wait_for_dag(live, dag)
    with login(live.settings) as client:
        backfill.create(live.settings, client, dag, day, day, reprocess="completed")
        [run] = backfill.watch(client, dag, day, day, lambda line: None)
        if run.state != "success":
            raise RuntimeError(f"{dag} of {day} failed in {backfill.failed_in(client, dag, run)}")


def triggered(live: Live, dag: str, logical: str | None) -> dict[str, Any]:
    """A manual run, to its end."""
    run = live.api(f"/api/v2/dags/{dag}/dagRuns", "POST", {"logical_date": logical})
    return _ended(live, dag, run["dag_run_id"])


def again(live: Live, dag: str, run: str) -> dict[str, Any]:
    """A run that is cleared as a whole, to its end."""
    live.api(f"/api/v2/dags/{dag}/dagRuns/{run}/clear", "POST", {"dry_run": False, "only_failed": False})
    return _ended(live, dag, run)


def seconds(run: dict[str, Any]) -> float:
    """From the moment it was asked for to its end, by Airflow's clock."""
    ended, asked = (datetime.fromisoformat(run[name]) for name in ("end_date", "queued_at"))
    return round((ended - asked).total_seconds(), 3)


def wait_for_dag(live: Live, dag: str) -> None:
    """Returns when Airflow has parsed the DAG."""
    from nightshift.platform.airflow_client import login

    with login(live.settings) as client:
        while not client.has_dag(dag):
            time.sleep(1)


def _ended(live: Live, dag: str, run: str) -> dict[str, Any]:
    while True:
        found: dict[str, Any] = live.api(f"/api/v2/dags/{dag}/dagRuns/{run}")
        if found["state"] == "failed":
            raise RuntimeError(f"{dag} {run} failed")
        if found["state"] == "success":
            return found
        time.sleep(1)
