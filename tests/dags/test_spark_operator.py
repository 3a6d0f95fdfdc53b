"""The operator of Spark steps with the provider's real SparkSubmitOperator; `spark-submit` itself is a stand-in."""

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowRescheduleException,
)

from nightshift.commands import FeaturesCommand
from nightshift.database import lock_unless_held
from nightshift.job import Job, Outcome
from nightshift.orchestration import spark
from nightshift.orchestration.spark import PAST, past_of
from nightshift.settings import Settings
from tests.dags.conftest import DS, TaskInstance, context, execute
from tests.programs import program

pytestmark = pytest.mark.usefixtures("home")

COMMAND = FeaturesCommand("parcels", date(2024, 2, 5), date(2024, 2, 6), "/lake/plan.json")


@pytest.fixture
def spark_submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script in the place of spark-submit; it can write its arguments to the file ``$SEEN``."""

    def write(script: str) -> Path:
        folder, seen = tmp_path / "bin", tmp_path / "seen"
        program(folder / "spark-submit", script)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("SEEN", str(seen))
        monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", '{"conn_type": "spark", "host": "local[*]"}')
        return seen

    return write


@pytest.fixture
def build(task: Any, use_case: Any) -> Any:
    """build_features with two days of work."""

    def plan(job: Job) -> tuple[Outcome, FeaturesCommand]:
        return Outcome("build_features", job.day, "done", "built 2 days"), COMMAND

    use_case("build_features", plan, needs_spark=True)
    return task("build_features")


def test_without_its_connection_it_says_which_one_is_missing(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> Any:
        raise AirflowNotFoundException(f"The conn_id `{name}` isn't defined")

    monkeypatch.setattr(spark.Connection, "get", unknown)
    with pytest.raises(AirflowException, match="Airflow has no connection spark_default"):
        execute(build, context(run_type="scheduled"))


@pytest.mark.process
def test_submits_the_command_and_logs_what_the_driver_says(
    build: Any, spark_submit: Any, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = spark_submit('printf "%s\\n" "$@" > "$SEEN"; env | grep ^PYSPARK_PYTHON= >> "$SEEN"; echo driver at work')
    document = execute(build, context(run_type="manual"))
    assert document["message"] == "built 2 days"
    lines = seen.read_text().splitlines()
    assert lines[:2] == ["--master", "local[*]"]
    assert "spark.ui.enabled=false" in lines
    assert lines[lines.index("--name") + 1] == "parcels 2024-02-05 2024-02-06"
    assert lines[-11:-1] == [str(home / "spark_jobs" / "main.py"), *COMMAND.argv()]
    assert lines[-1].startswith("PYSPARK_PYTHON=/")
    log = capsys.readouterr().out
    assert "driver at work" in log
    assert "outside of the Task Runner" not in log


@pytest.fixture
def locks(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database in which tasks of this process and of others hold locks."""
    monkeypatch.setenv("NIGHTSHIFT_DATABASE", database_url)
    return Settings.from_env()


def test_while_a_backfill_has_spark_another_one_waits_without_a_slot_and_tonight_does_not(
    build: Any, spark_submit: Any, locks: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    seen = spark_submit('echo submitted >> "$SEEN"')
    with lock_unless_held(locks, PAST) as held, caplog.at_level(logging.INFO, "nightshift"):
        assert held
        with pytest.raises(AirflowRescheduleException):
            execute(build, context())
        assert not seen.exists()
        [said] = [record.getMessage() for record in caplog.records if record.name == "nightshift.task"]
        who = rf"nightshift .* {os.getpid()} holds it \(Postgres process \d+, connected since .*\)"
        begin = "waiting: another task of a backfill has Spark; 2024-02-05 to 2024-02-06 may be built by it, too"
        do = "What to do: nothing, unless it hangs: then clear that task, or end the process."
        assert re.fullmatch(rf"{begin}; {who}. {do}", said)
        assert execute(build, context(run_type="scheduled"))["message"] == "built 2 days"
    assert execute(build, context())["message"] == "built 2 days"
    assert seen.read_text().splitlines() == ["submitted", "submitted"]


def test_a_job_that_hangs_stops_no_other_pipelines_backfill(
    build: Any, spark_submit: Any, locks: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spark_submit('echo submitted >> "$SEEN"')
    monkeypatch.setattr(spark, "PATIENCE", timedelta(0))
    with lock_unless_held(locks, past_of("turbines")), lock_unless_held(locks, PAST):
        assert execute(build, context())["message"] == "built 2 days"
        assert [
            line for line in caplog.messages if line.startswith("a backfill of another pipeline has Spark for 0:00:")
        ]
    with lock_unless_held(locks, past_of("parcels")), pytest.raises(AirflowRescheduleException):
        execute(build, context())
    assert seen.read_text().splitlines() == ["submitted"], "one of the same pipeline may build this very day"


def test_while_it_builds_others_of_its_pipeline_wait_and_so_do_other_pipelines(
    task: Any, use_case: Any, locks: Settings
) -> None:
    held = dict[str, bool]()

    def plan(job: Job) -> tuple[Outcome, None]:
        for name in (PAST, past_of("parcels"), past_of("turbines")):
            with lock_unless_held(locks, name) as free:
                held[name] = not free
        return Outcome("build_features", job.day, "up_to_date", "staged already"), None

    use_case("build_features", plan, needs_spark=True)
    execute(task("build_features"), context())
    assert held == {PAST: True, past_of("parcels"): True, past_of("turbines"): False}


def test_a_day_that_is_built_waits_for_nobody(task: Any, use_case: Any, locks: Settings) -> None:
    def plan(job: Job) -> tuple[Outcome, None]:
        return Outcome("build_features", job.day, "up_to_date", "staged already"), None

    use_case("build_features", plan, needs_spark=True)
    with lock_unless_held(locks, PAST):
        assert execute(task("build_features"), context())["message"] == "staged already"


def test_who_has_spark_in_a_backfill_builds_for_those_behind_it_and_others_for_themselves(
    task: Any, use_case: Any, locks: Settings
) -> None:
    asked: list[tuple[date, ...]] = []

    def plan(job: Job) -> tuple[Outcome, None]:
        asked.append(job.also)
        return Outcome("build_features", job.day, "up_to_date", "staged already"), None

    use_case("build_features", plan, needs_spark=True)
    behind = TaskInstance([date(2024, 2, 4), DS, date(2024, 2, 6), date(2024, 2, 7), date(2024, 4, 30)])
    execute(task("build_features"), context(behind))
    with lock_unless_held(locks, PAST):
        execute(task("build_features"), context(behind))
    behind.try_number = 2
    execute(task("build_features"), context(behind))
    assert asked == [(date(2024, 2, 6), date(2024, 2, 7)), (), ()]


@pytest.mark.process
def test_the_drivers_error_is_the_tasks(build: Any, spark_submit: Any) -> None:
    spark_submit('echo busy; echo "nightshift error: SchemaChanged: the column doors is text." >&2; exit 3')
    with pytest.raises(AirflowFailException, match=r"^the column doors is text\.$"):
        execute(build, context(run_type="manual"))


@pytest.mark.process
def test_a_driver_that_dies_without_a_word_is_tried_again(build: Any, spark_submit: Any) -> None:
    spark_submit("exit 137")
    with pytest.raises(AirflowException, match="killed by signal 9") as caught:
        execute(build, context(run_type="manual"))
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.process
def test_a_killed_task_takes_spark_along(build: Any, spark_submit: Any, tmp_path: Path) -> None:
    seen = spark_submit('echo $$ > "$SEEN"; exec sleep 60')

    def kill() -> None:
        while not seen.exists() or not seen.read_text().strip():
            time.sleep(0.05)
        build.on_kill()

    killer = threading.Thread(target=kill)
    killer.start()
    started = time.monotonic()
    with pytest.raises(AirflowException):
        execute(build, context(run_type="manual"))
    killer.join()
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(seen.read_text()), 0)
