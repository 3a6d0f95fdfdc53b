"""``diagnose`` without Airflow: from the tables, the ledger, the log files, and what the steps said."""

import json
import os
import time
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest

from nightshift import runs
from nightshift.cli.diagnose import _brief, page
from nightshift.cli.diagnosis import Diagnosis, diagnose
from nightshift.cli.first_failure import failed_steps, own_lines
from nightshift.cli.next_commands import retrain_command
from nightshift.cli.night_run import NightRun, waiting_line
from nightshift.errors import GateFailed
from nightshift.features.build import plan_features
from nightshift.features.run import gate_features
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job, Outcome, new_attempt
from nightshift.platform.airflow_client import Mark, Run, Task
from nightshift.run_state import RunState
from nightshift.settings import Settings
from nightshift.specs.calendar import last_night
from tests.conftest import make_pipeline, spec_document
from tests.postgres import Database
from tests.unit.features.lake import MODULE, stage_plan
from tests.unit.freshness.lake import DS, publish_night, publish_predictions
from tests.unit.inputs.landed import drop, drop_day

RUN = "scheduled__2024-02-11T07:00:00+00:00"
NEXT = date(2024, 2, 11)


@pytest.fixture
def job(settings: Settings, tmp_path: Path, database: Database) -> Job:
    return publish_night(settings, tmp_path / "project", database)


@pytest.fixture
def bad_night(job: Job) -> Job:
    """The night after: orders came with weights that the gate blocks, and the step said so."""
    bad = replace(job, ds=NEXT, run_id=RUN, attempt=new_attempt())
    drop_day(job.settings, "2024-02-11", ("2024-02-10",))
    drop(job.settings, "orders/ds=2024-02-11", "a,N,707", "b,S,808", "c,N,909")
    keep(bad, Outcome("inputs_landed", bad.day, "done", "5 days of 3 sources are there"), "done")
    with pytest.raises(GateFailed) as refused:
        gate_inputs(bad)
    keep(bad, Outcome("gate_inputs", bad.day, "nothing", str(refused.value), links=refused.value.links), "failed")
    return bad


def keep(job: Job, outcome: Outcome, status: str) -> None:
    runs.keep(job.settings, "parcels", job.run_id, outcome, status, 1.0)


def test_a_night_that_went_well_is_well_even_without_airflow(job: Job) -> None:
    keep(job, Outcome("gate_predictions", job.day, "done", "published"), "done")
    found = diagnose(job.settings, job.pipeline, DS)
    assert found.well
    assert found.failure is None
    assert found.next == ()
    assert found.airflow.startswith("not known (")
    assert found.airflow.endswith("; this page is from files alone")
    assert [line.partition(":")[0] for line in found.readers] == ["features", "predictions"]


def test_a_night_that_is_well_names_the_promotion_that_waits_for_a_person() -> None:
    asked = "version 3 waits for approval since …: nightshift approve parcels --proposal 7 --reason WHY (or reject)"
    found = Diagnosis("parcels", "depot", "parcels", "2024-02-10", RunState.OK, "", asked=asked, well=True)
    assert f"\n\nWaits for a person\n  {asked}\n" in page(found)
    assert _brief(found) == f"parcels 2024-02-10: OK. Owner: depot\n  {asked}"
    assert _brief(replace(found, asked="")) == "parcels 2024-02-10: OK. Owner: depot"


def test_a_night_that_scored_nothing_is_not_well(job: Job) -> None:
    keep(job, Outcome("gate_predictions", job.day, "done", "published"), "done")
    publish_predictions(replace(job, attempt=new_attempt()), (), "other", unscored=2)
    found = diagnose(job.settings, job.pipeline, DS)
    assert not found.well
    assert found.warnings == ("predictions: nothing is scored, 2 rows are in quarantine",)
    assert page(found).startswith("parcels 2024-02-10: OK with warnings, 1 warning. ")


def test_what_a_step_warned_of_is_on_the_page(job: Job) -> None:
    keep(job, Outcome("gate_inputs", job.day, "done", "published", warnings=("orders: one",)), "done")
    publish_predictions(replace(job, attempt=new_attempt()), ("0",), "other", unscored=2)
    found = diagnose(job.settings, job.pipeline, DS)
    assert found.well
    assert found.warnings == (
        "gate_inputs: orders: one",
        "predictions: 2 of 3 rows that landed are not scored: 2 rows are in quarantine",
    )
    assert page(found).startswith("parcels 2024-02-10: OK with warnings, 2 warnings. ")


def test_a_night_that_fails_since_the_code_changed_says_so_though_a_retrain_built_the_past_anew(job: Job) -> None:
    """The features of the last good day are of the code of today: its predictions are not."""
    module = job.settings.home / "spark_jobs" / "features" / "parcels.py"
    module.write_text(MODULE.replace("return inputs, days", "return inputs, list(days)"))
    again = replace(job, attempt=new_attempt())
    stage_plan(plan_features(again)[1].plan)
    gate_features(again)
    found = diagnose(job.settings, job.pipeline, NEXT)
    [said] = [line for line in found.changes if line.startswith("feature code and spec: ")]
    assert said.startswith("feature code and spec: changed, the model was trained with feature code ")
    assert (
        "nightshift retrain parcels --as-of 2024-02-09   (first: the champion would be refused again)"
        in diagnose(job.settings, job.pipeline, DS).next
    )


def test_where_a_person_must_approve_the_retrain_that_is_advised_asks_one() -> None:
    asks = make_pipeline(promotion={**spec_document()["promotion"], "approval": "required"})
    assert retrain_command(make_pipeline(), DS) == "nightshift retrain parcels --as-of 2024-02-10"
    assert retrain_command(asks, DS) == "in Airflow: Trigger of parcels__retrain with business_date 2024-02-10"


def test_a_blocked_night_is_one_page(bad_night: Job) -> None:
    found = diagnose(bad_night.settings, bad_night.pipeline, NEXT)
    assert not found.well
    assert found.failure is not None
    assert found.failure.step == "gate_inputs"
    assert "parcels/inputs/orders of 2024-02-11: the gate blocked 3 rows" in found.failure.message
    assert "expect_column_values_to_be_between" in found.failure.message
    assert list(found.failure.links) == ["gate report"]
    assert "the last good day is 2024-02-10" in found.changes
    assert "feature code and spec: as then" in found.changes
    assert "model: as then (version 1)" in found.changes
    assert "orders: 2024-02-11 is not published; then 2024-02-10 has 3 rows" in found.changes
    assert found.readers[-1] == "predictions: none for 2024-02-11; the newest day before it is 2024-02-10"
    assert found.next[0].startswith("nightshift backfill parcels 2024-02-11 2024-02-11 ")

    text = page(found)
    assert text.splitlines()[0] == "parcels 2024-02-11: FAILED. Owner: logistics"
    assert (
        text.index("Next\n  nightshift backfill") < text.index("First to fail: gate_inputs") < text.index("Readers see")
    )
    assert text.count("the gate blocked 3 rows") == 1
    assert not any(cell in text for cell in ("707", "808", "909"))


def test_a_task_that_died_without_a_word_is_told_from_its_log(bad_night: Job) -> None:
    runs.keep(bad_night.settings, "parcels", RUN, Outcome("gate_inputs", bad_night.day, "nothing", "x"), "failed", 1.0)
    folder = Path(bad_night.settings.var, "airflow", "logs", "dag_id=parcels", f"run_id={RUN}", "task_id=gate_inputs")
    folder.mkdir(parents=True)
    lines = [
        {"timestamp": "2024-02-11T07:00:01.5Z", "level": "info", "event": "orders: looking", "logger": "nightshift.x"},
        {"timestamp": "2024-02-11T07:00:02.5Z", "level": "error", "event": "row with cell 4711", "logger": "py4j"},
    ]
    (folder / "attempt=1.log").write_text("\n".join([*map(json.dumps, lines), "Traceback with 4711"]))
    found = diagnose(bad_night.settings, bad_night.pipeline, NEXT).failure
    assert found is not None
    assert found.log == ("07:00:01 info: orders: looking",)
    assert found.hidden == 2
    assert found.log_file == str(folder / "attempt=1.log")


@pytest.mark.parametrize(("url", "why"), [("", "(it is empty)"), ("postgresql://x@127.0.0.1:9/x", "cannot be reached")])
def test_a_night_that_lacks_a_delivery_is_diagnosed_while_the_database_is_away(
    job: Job, tmp_path: Path, url: str, why: str
) -> None:
    """Whether what lacks was waived is in the database: that is not known, and the rest of the page is there."""
    file = tmp_path / "database"
    file.write_text(url)
    settings = replace(job.settings, database_file=file, database_url="")
    found = diagnose(settings, job.pipeline, NEXT)
    assert not found.well
    assert "the last good day is 2024-02-10" in found.changes
    unknown = [line for line in found.changes if why in line]
    words = ("model: not known", "what else changed is not known", "what is stale is not known", "what people ordered")
    assert [line for line in unknown if not line.startswith(words)] == []
    assert any(line.startswith("what else changed is not known: ") for line in unknown)


def test_a_newer_file_that_has_landed_since_is_named(bad_night: Job) -> None:
    file = drop(bad_night.settings, "orders/ds=2024-02-11", "a,N,1", "b,S,2", "c,N,3")
    os.utime(file, (time.time() + 60, time.time() + 60))
    found = diagnose(bad_night.settings, bad_night.pipeline, NEXT)
    [line] = [line for line in found.reasons if "has landed since" in line]
    assert line.startswith("orders 2024-02-11 has landed since, at ")


def test_a_run_that_waits_says_since_when_and_until_when(job: Job) -> None:
    run = Run("2024-02-11", RUN, "running", "scheduled", 60.0, "2024-02-11T07:00:05+00:00")
    assert waiting_line(job.pipeline, run) == ("waiting since 2024-02-11 07:00 UTC, gives up at 2024-02-11 13:00 UTC")


def test_who_marked_a_run_hides_no_first_cause() -> None:
    said = [{"step": "gate_inputs", "status": "failed", "at": "2024-02-11T07:01:00+00:00"}]
    mark = Mark("marked failed", "ada", "2024-02-11T08:00:00.123Z")
    ended = Task("build_features", -1, "2024-02-11T08:00:00+00:00")
    run = Run("2024-02-11", RUN, "failed", "scheduled", 60.0)
    marked = NightRun("the run is failed", run, failed=(ended,), marks=(mark,))
    assert list(failed_steps(said, marked)) == ["gate_inputs", "build_features"]
    assert list(failed_steps(said, replace(marked, marks=()))) == ["build_features"]
    assert marked.mark_lines() == ("the run was marked failed by hand by ada at 2024-02-11T08:00:00",)


def test_only_own_lines_of_a_log_are_shown() -> None:
    assert own_lines(["", "{", "[]", '{"logger": "nightshift.a"}', '{"logger": "root", "event": "x"}']) == ((), 5)


def test_a_night_without_a_trace_says_what_to_do(job: Job) -> None:
    found = diagnose(job.settings, job.pipeline, date(2024, 2, 20))
    assert (found.state, found.well) == ("WAITING", False)
    assert found.run_id == ""
    [missing] = [line for line in found.reasons if line.startswith("it waits for a file: ")]
    assert "source orders lacks 1 of the 1 days that 2024-02-20 reads" in missing
    assert f"land {job.settings.landing}/parcels/orders/ds=2024-02-20/*.csv" in missing
    assert found.next == ("nightshift status", "nightshift backfill parcels 2024-02-20 2024-02-20")


def test_a_page_names_the_newest_run_of_the_day(job: Job) -> None:
    for run in ("manual__1", "backfill__2"):
        runs.keep(job.settings, "parcels", run, Outcome("monitor", job.day, "done", "x"), "done", 1.0)
    runs.keep(job.settings, "parcels", "backfill__3", Outcome("monitor", "2024-02-12", "done", "x"), "done", 1.0)
    assert runs.run_ids(job.settings, "parcels", job.day) == ["backfill__2", "manual__1"]


@pytest.mark.parametrize(
    ("moment", "night"),
    [
        ("2024-02-11T06:59+00:00", date(2024, 2, 10)),  # the cutoff is at 02:00 in New York
        ("2024-02-11T07:00+00:00", NEXT),
        ("2024-01-01T00:00+00:00", date(2024, 2, 1)),  # before the first one
        ("2026-01-01T00:00+00:00", date(2024, 4, 1)),  # the labels of the last day are a day later
    ],
)
def test_the_last_night_is_the_newest_one_whose_cutoff_is_over(job: Job, moment: str, night: date) -> None:
    assert last_night(job.pipeline, datetime.fromisoformat(moment)) == night
