"""What a look at nights finds, on real tables, real landing files and a real ledger."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightshift.features.build import plan_features
from nightshift.features.rebuilds import new_rebuild, order, withdraw
from nightshift.features.run import gate_features
from nightshift.freshness.nights import Night, look
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job, new_attempt
from nightshift.registry.entry import NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from tests.conftest import make_pipeline, spec_document
from tests.postgres import Database
from tests.unit.features.lake import MODULE, stage_plan
from tests.unit.freshness.lake import DS, publish_night
from tests.unit.inputs.landed import DELIVERIES, drop, drop_day


@pytest.fixture
def job(settings: Settings, tmp_path: Path, database: Database) -> Job:
    return publish_night(settings, tmp_path / "project", database)


def night(job: Job) -> Night:
    return look(job.settings, job.pipeline, [DS])[0]


def test_what_was_published_a_moment_ago_is_up_to_date(job: Job) -> None:
    found = night(job)
    assert found.up_to_date, found
    assert {found.inputs.state, found.features.state, found.labels.state, found.predictions.state} == {"up_to_date"}
    assert found.labels.ds == "2024-02-09"


def test_a_corrected_file_is_named_before_any_gate_has_seen_it(job: Job) -> None:
    drop(job.settings, "deliveries/ds=2024-02-08", "x,N,9.0", header=DELIVERIES)
    found = night(job)
    assert found.inputs.changes == ("deliveries 2024-02-08 corrected in landing",)
    assert found.features.changes == ("deliveries 2024-02-08 corrected in landing",)
    assert found.predictions.changes == ("features",)
    assert found.labels.state == "up_to_date"


def test_a_file_that_was_only_touched_is_no_correction(job: Job) -> None:
    for file in Path(job.settings.landing).rglob("*.csv"):
        file.touch()
    assert night(job).up_to_date


def test_a_correction_that_is_published_makes_what_read_it_stale(job: Job) -> None:
    drop(job.settings, "deliveries/ds=2024-02-09", "x,N,9.0", header=DELIVERIES)
    gate_inputs(replace(job, attempt=new_attempt()))
    found = night(job)
    assert found.inputs.state == "up_to_date"
    assert found.features.changes == ("deliveries 2024-02-09 corrected",)
    assert found.labels.changes == ("deliveries 2024-02-09 corrected",)


def test_changed_code_and_a_changed_spec_are_told_apart(job: Job) -> None:
    module = job.settings.home / "spark_jobs" / "features" / "parcels.py"
    module.write_text(MODULE.replace("return inputs, days", "return inputs, list(days)"))
    assert night(job).features.changes == ("features code",)
    assert night(job).labels.state == "up_to_date"
    module.write_text(MODULE)

    schedule = {**spec_document()["schedule"], "timezone": "Europe/Berlin"}
    found = look(job.settings, make_pipeline(schedule=schedule), [DS])[0]
    assert found.features.changes[-1] == "spec or features code"


def test_an_order_to_rebuild_says_who_asked_and_may_be_looked_at_before_it_stands(job: Job) -> None:
    asked = new_rebuild(DS, DS, "ada", "a faulty library")
    assert asked.words == f"ada asked at {asked.at} for a rebuild: a faulty library"
    for standing in (False, True):
        found = look(job.settings, job.pipeline, [DS], None if standing else asked)[0]
        assert (found.features.state, found.features.changes) == ("stale", (asked.words,))
        assert (found.labels.state, found.labels.changes) == ("stale", (asked.words,))
        assert found.predictions.changes == ("features",)
        assert found.inputs.state == "up_to_date"
        order(job.settings, job.pipeline, asked)


def test_a_day_built_for_an_order_that_was_withdrawn_says_so(job: Job) -> None:
    asked = new_rebuild(DS, DS, "ada", "")
    order(job.settings, job.pipeline, asked)
    again = replace(job, attempt=new_attempt())
    stage_plan(plan_features(again)[1].plan)
    gate_features(again)
    assert night(job).features.state == "up_to_date"
    withdraw(job.settings, job.pipeline, asked)
    assert night(job).features.changes == ("the rebuild that it was built for was withdrawn",)


def test_a_late_decision_changes_the_champion_of_a_day(job: Job) -> None:
    Ledger.of(job.settings).append(
        NewEntry("parcels", "promotion", "tests", "better", date(2024, 2, 9), DS, "2", "2" * 64)
    )
    assert night(job).predictions.changes == (f"champion (model {'1' * 16}, now version 2, {'2' * 16})",)


def test_a_day_that_cannot_be_built_says_what_it_waits_for(job: Job) -> None:
    later = look(job.settings, job.pipeline, [date(2024, 2, 14), date(2024, 4, 2)])
    assert later[0].features.state == "waits"
    assert later[0].features.changes[0].startswith("features of 2024-02-14 need")
    assert later[0].predictions.changes == ("its features",)
    assert later[1].up_to_date
    assert later[1].features.state == "outside"


def test_what_landed_for_the_first_time_is_new(job: Job) -> None:
    drop_day(job.settings, "2024-02-11", ("2024-02-10",))
    found = look(job.settings, job.pipeline, [date(2024, 2, 11)])[0]
    assert found.inputs.changes == ("deliveries 2024-02-10 new in landing", "orders 2024-02-11 new in landing")
    assert (found.features.state, found.labels.state, found.predictions.state) == ("new", "new", "new")


def test_a_manifest_that_is_gone_is_said_so(job: Job) -> None:
    drop(job.settings, "deliveries/ds=2024-02-08", "x,N,9.0", header=DELIVERIES)
    for file in Path(job.table("features"), "_manifests").rglob("*.json"):
        file.unlink()
    assert night(job).features.changes == ("its manifest is gone: what it was made of is unknown",)
