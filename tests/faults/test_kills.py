"""What is killed comes back, and every day is published once, whole, and as if nothing had happened."""

from datetime import date
from pathlib import Path
from signal import SIGKILL, SIGSTOP

import psutil
import pytest

from nightshift.specs.calendar import days
from tests.faults.breaking import kill_program, running, scheduler, send, tasks, watchers
from tests.faults.faults import fault
from tests.nights import NIGHTS, Nights, Reader
from tests.waiting import until

pytestmark = [pytest.mark.platform, pytest.mark.spark]
# Of features and of labels: they begin together once the build is over.
GATES = 2


def staged(nights: Nights, dataset: str, ds: date) -> list[Path]:
    """The manifests of partitions that wait for their gate."""
    return list(Path(nights.job(ds).table(dataset), "_staged", f"ds={ds}").glob("*.json"))


def caught_before_publication(nights: Nights, ds: date) -> list[psutil.Process]:
    """The gates of a day whose features are staged and not published; they stand still."""
    above = scheduler(nights.settings)
    nights.backfill([ds])
    until(lambda: staged(nights, "features", ds), pause=0.02)
    build = tasks(above)
    caught: set[psutil.Process] = set()
    while len(caught) < GATES:
        caught |= {task for task in tasks(above) if task not in build}
        send(caught, SIGSTOP)
    # Their watchers are not stopped: they tell Airflow that the tasks run.
    until(lambda: nights.states(ds, "gate_features") == nights.states(ds, "gate_labels") == {"running"})
    assert not nights.published("features", ds)
    return list(caught)


@fault(
    "`kill -9` of a task between stage and publish",
    seen="`gate_features` is up for retry; its log ends with the signal",
    recovery="Airflow's retry after 20 s, which finds the staged partition and builds nothing again",
)
def test_a_task_between_stage_and_publish(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[4]
    send(caught_before_publication(nights, ds), SIGKILL)
    [run] = nights.over([ds])
    assert run.state == "success"
    assert nights.tries(run, "gate_features") == 2
    assert nights.tries(run, "build_features") == 1
    nights.assert_undisturbed([ds])


@fault(
    "`kill -9` of a task together with the process that watches it, as the kernel does when memory is out",
    seen="`gate_features` seems to run on, without heartbeats",
    recovery="Airflow misses the heartbeats after two minutes, then its retry",
)
def test_a_task_and_its_watcher(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[5]
    caught = caught_before_publication(nights, ds)
    assert send([*watchers(caught), *caught], SIGKILL) == 2 * len(caught)
    assert {run.state for run in nights.over([ds])} == {"success"}
    nights.assert_undisturbed([ds])


@fault(
    "`kill -9` of the Spark JVM",
    seen="`build_features` is up for retry; its log says that signal 9 killed the job",
    recovery="Airflow's retry builds under an output root of its own",
)
def test_the_spark_jvm(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[6]
    nights.backfill([ds])
    assert until(lambda: send(running(nights.settings, "java", "SparkSubmit"), SIGKILL), seconds=300, pause=0.05)
    [run] = nights.over([ds])
    assert run.state == "success"
    assert nights.tries(run, "build_features") == 2
    assert "the Spark job was killed by signal 9" in nights.log(run, "build_features", number=1)
    nights.assert_undisturbed([ds])


@fault(
    "`kill -9` of a scoring process",
    seen="one shard of `score` is up for retry; the others are done",
    recovery="Airflow's retry scores the missing shard alone",
)
def test_a_scoring_process(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[7]
    nights.backfill([ds])
    assert until(lambda: send(running(nights.settings, "nightshift.scoring")[:1], SIGKILL), seconds=300, pause=0.01)
    [run] = nights.over([ds])
    assert run.state == "success"
    assert nights.tries(run, "score") == 2
    nights.assert_undisturbed([ds])


@fault(
    "`kill -9` of the scheduler in the middle of a backfill",
    seen="for a minute nothing moves; tasks that ran are queued again",
    recovery="the supervisor starts the scheduler again, which takes over the tasks of the one before",
)
def test_the_scheduler_in_the_middle_of_a_backfill(nights: Nights, reader: Reader) -> None:
    wanted = days(NIGHTS[8], NIGHTS[9])
    nights.backfill(wanted)
    until(lambda: any(nights.published("inputs/forecast", ds) for ds in wanted))
    kill_program(nights.settings, "airflow-scheduler")
    assert {run.state for run in nights.over(wanted)} == {"success"}
    nights.assert_undisturbed(wanted)


@fault(
    "`kill -9` of Postgres",
    seen="the UI does not answer for some seconds; tasks at work may be up for retry",
    recovery="the supervisor starts Postgres again, which recovers from its log; then Airflow's retries",
)
def test_postgres(nights: Nights, reader: Reader) -> None:
    wanted = days(NIGHTS[10], NIGHTS[11])
    nights.backfill(wanted)
    until(lambda: any(nights.published("inputs/forecast", ds) for ds in wanted))
    kill_program(nights.settings, "postgres")
    assert {run.state for run in nights.over(wanted)} == {"success"}
    nights.assert_undisturbed(wanted)
