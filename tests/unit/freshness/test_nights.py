"""What a look at nights finds, on real tables, real landing files and a real ledger."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from nightshift import lineage, storage, tables
from nightshift.errors import ModelMismatch, ModelNotFound, SpecError
from nightshift.features.build import plan_features
from nightshift.features.rebuilds import new_rebuild, order, withdraw
from nightshift.features.run import gate_features
from nightshift.freshness import nights
from nightshift.freshness.changes import Freshness
from nightshift.freshness.nights import Night, look
from nightshift.inputs.days import gate_days
from nightshift.inputs.landing import partition_files
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job, new_attempt
from nightshift.model_manifest import model_uri
from nightshift.registry.entry import NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.scoring.run import plan_scoring
from nightshift.settings import Settings
from tests.conftest import make_pipeline, spec_document
from tests.postgres import Database
from tests.unit.features.lake import MODULE, stage_plan
from tests.unit.freshness.lake import DS, SHA, publish_night, register_model
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


def test_another_version_of_a_library_makes_nothing_stale_and_is_named_where_something_else_does(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tables.state(job.table("features")).manifest(job.day)
    assert manifest is not None
    assert manifest.libraries == lineage.libraries()
    monkeypatch.setattr(nights, "libraries", lambda: {**lineage.libraries(), "pyspark": "9.9"})
    assert night(job).up_to_date
    module = job.settings.feature_modules / "parcels.py"
    module.write_text(MODULE.replace("return inputs, days", "return days, inputs"))
    assert night(job).features.changes == ("features code", f"pyspark 9.9 (then {manifest.libraries['pyspark']})")


def test_a_corrected_file_is_named_before_any_gate_has_seen_it(job: Job) -> None:
    drop(job.settings, "deliveries/ds=2024-02-08", "x,N,9.0", header=DELIVERIES)
    found = night(job)
    assert found.inputs.changes == ("deliveries 2024-02-08 corrected in landing",)
    assert found.features.changes == ("deliveries 2024-02-08 corrected in landing",)
    assert found.predictions.changes == ("features",)
    assert found.labels.state == "up_to_date"


def test_a_correction_that_size_and_time_hide_is_found_by_who_verifies_landing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(job.settings.landing, "parcels/deliveries/ds=2024-02-08/part-0.csv")
    path.write_bytes(path.read_bytes().swapcase())
    monkeypatch.setattr("nightshift.inputs.landed_days._is_same", lambda file, landed: file.size == landed.size)
    assert night(job).up_to_date
    [found] = look(job.settings, job.pipeline, [DS], verify_landing=True)
    assert found.inputs.changes == ("deliveries 2024-02-08 corrected in landing",)
    assert found.predictions.changes == ("features",)


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
    assert (night(job).predictions.state, night(job).up_to_date) == ("refused", False)
    assert night(job).predictions.changes[0].startswith("the model was trained with feature code ")
    module.write_text(MODULE)

    schedule = {**spec_document()["schedule"], "timezone": "Europe/Berlin"}
    found = look(job.settings, make_pipeline(schedule=schedule), [DS])[0]
    assert found.features.changes[-1] == "spec or features code"
    assert found.predictions == Freshness(
        "2024-02-10", "refused", ("the model was trained on another feature spec (key, inputs, lags or timezone)",)
    )


def test_a_dry_run_refuses_what_scoring_would_refuse(job: Job) -> None:
    """Whatever state a night is in: the words are those of ``plan_scoring``, which is asked as well."""
    module = job.settings.home / "spark_jobs" / "features" / "parcels.py"
    module.write_text(MODULE.replace("return inputs, days", "return inputs, list(days)"))
    said = night(job).predictions
    with pytest.raises(ModelMismatch) as refused:
        plan_scoring(rebuilt(job))
    assert said == night(job).predictions == Freshness("2024-02-10", "refused", (refused.value.what,))
    module.write_text(MODULE)
    assert night(job).predictions.state == "stale"

    storage.delete(model_uri(job.settings.models, SHA))
    with pytest.raises(ModelNotFound) as gone:
        plan_scoring(rebuilt(job))
    assert night(job).predictions == Freshness("2024-02-10", "refused", (gone.value.what,))


def rebuilt(job: Job) -> Job:
    """The next try, with features as the module builds them now."""
    again = replace(job, attempt=new_attempt())
    _, command = plan_features(again)
    if command is not None:  # what is staged is not built again
        stage_plan(command.plan)
    gate_features(again)
    return again


def test_a_day_that_a_job_could_not_build_says_so_until_it_is_built(job: Job) -> None:
    module = job.settings.feature_modules / "parcels.py"
    module.write_text(MODULE.replace("return inputs, days", "return days, inputs"))
    again = replace(job, attempt=new_attempt())
    _, command = plan_features(again)
    assert command is not None
    with pytest.raises(SpecError, match="line 7"):
        stage_plan(command.plan, failing=[("features", job.day)])
    failed = "cannot be built: spark_jobs/features/parcels.py build: line 7: ValueError was raised (run night)"
    assert night(job).features == Freshness(job.day, "stale", ("features code", failed))
    [left] = storage.list_files(storage.join(job.table("features"), "_unbuilt"), recursive=True)
    rebuilt(job)
    assert night(job).features.state == "up_to_date"
    assert not storage.exists(left.uri), "a failure does not outlive what mended it"


def test_a_published_day_whose_features_cannot_be_built_again_waits(job: Job) -> None:
    """A repair would end before it scored: the day is not called stale."""
    narrower = {**spec_document()["inputs"], "deliveries": {**spec_document()["inputs"]["deliveries"], "lookback": 9}}
    found = look(job.settings, make_pipeline(inputs=narrower), [DS])[0]
    assert (found.features.state, found.predictions) == ("waits", Freshness("2024-02-10", "waits", ("its features",)))


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
    register_model(job, "2" * 64)
    assert night(job).predictions.changes == (f"champion (model {'1' * 16}, now version 2, {'2' * 16})",)


def test_a_day_that_cannot_be_built_says_what_it_waits_for(job: Job) -> None:
    later = look(job.settings, job.pipeline, [date(2024, 2, 14), date(2024, 4, 2)])
    assert later[0].features.state == "waits"
    assert later[0].features.changes[0].startswith("features of 2024-02-14 need")
    assert later[0].predictions.changes == ("its features",)
    assert later[1].up_to_date
    assert later[1].features.state == "outside"


def test_labels_that_are_overdue_are_given_up_by_their_night_where_it_can_look(job: Job) -> None:
    ds = date(2024, 2, 14)
    [why] = look(job.settings, job.pipeline, [ds])[0].labels.changes
    assert why.endswith("; the next run of their night records the day as unlabelled")
    Path(job.settings.landing, "parcels/deliveries/ds=2024-02-13").write_text("")
    [why] = look(job.settings, job.pipeline, [ds])[0].labels.changes
    assert why.endswith("; a source cannot be looked at")


def test_what_landed_for_the_first_time_is_new(job: Job) -> None:
    drop_day(job.settings, "2024-02-11", ("2024-02-10",))
    found = look(job.settings, job.pipeline, [date(2024, 2, 11)])[0]
    assert found.inputs.changes == ("deliveries 2024-02-10 new in landing", "orders 2024-02-11 new in landing")
    assert (found.features.state, found.labels.state, found.predictions.state) == ("new", "new", "new")


def _append(job: Job, dataset: str, ds: str) -> None:
    rows = pa.table({"parcel_id": ["ghost"], "ds": [ds]})
    write_deltalake(job.table(dataset), rows, mode="append", schema_mode="merge")


@pytest.mark.parametrize(
    ("dataset", "ds"), [("features", "2024-02-10"), ("labels", "2024-02-09"), ("predictions", "2024-02-10")]
)
def test_what_another_program_changed_is_refused_until_it_is_stale(job: Job, dataset: str, ds: str) -> None:
    _append(job, dataset, ds)
    found = getattr(night(job), dataset)
    assert (found.ds, found.state) == (ds, "damaged")
    assert found.changes == ("changed by another program: 1 of its 2 files are not Nightshift's",)
    order(job.settings, job.pipeline, new_rebuild(DS, DS, "ada", ""))
    assert getattr(night(job), dataset).state == "stale", "published anew as a whole"


@pytest.mark.parametrize(
    ("dataset", "ds"), [("features", "2024-02-10"), ("labels", "2024-02-09"), ("predictions", "2024-02-10")]
)
def test_a_day_of_which_another_program_left_no_file_is_damaged_and_not_new(job: Job, dataset: str, ds: str) -> None:
    DeltaTable(job.table(dataset)).delete(f"ds = '{ds}'")
    found = getattr(night(job), dataset)
    assert (found.ds, found.state) == (ds, "damaged")
    assert found.changes == ("changed by another program: all of its files were removed",)
    [put_back] = tables.repair(job.table(dataset))
    assert (put_back.ds, put_back.error) == (ds, "")
    assert night(job).up_to_date


def test_a_removed_day_of_a_source_comes_from_landing_or_by_repair(job: Job) -> None:
    table = job.table("inputs/deliveries")
    DeltaTable(table).delete("ds = '2024-02-08'")
    assert night(job).inputs.changes == ("deliveries 2024-02-08 changed by another program in the table in landing",)
    for file in partition_files(job.settings, job.pipeline.inputs["deliveries"], date(2024, 2, 8)):
        storage.local_path(file.uri).unlink()
    gated = gate_days(job, "deliveries", [date(2024, 2, 8)])
    assert "nightshift repair" in str(gated.blocked["2024-02-08"])
    assert "all of its files were removed" in str(gated.blocked["2024-02-08"])
    tables.repair(table)
    assert gate_days(job, "deliveries", [date(2024, 2, 8)]).up_to_date == ["2024-02-08"]


def test_features_wait_for_a_source_that_another_program_changed(job: Job) -> None:
    _append(job, "inputs/deliveries", "2024-02-08")
    assert night(job).features.state == "stale", "its landing files are there: it is published again"
    for file in partition_files(job.settings, job.pipeline.inputs["deliveries"], date(2024, 2, 8)):
        storage.local_path(file.uri).unlink()
    found = night(job)
    assert found.features.state == "waits"
    assert "need 2024-02-08 of source deliveries, whose partition another program changed" in found.features.changes[0]
    assert look(job.settings, job.pipeline, [date(2024, 2, 12)])[0].features.state != "damaged"


def test_a_manifest_that_is_gone_is_said_so(job: Job) -> None:
    drop(job.settings, "deliveries/ds=2024-02-08", "x,N,9.0", header=DELIVERIES)
    for file in Path(job.table("features"), "_manifests").rglob("*.json"):
        file.unlink()
    assert night(job).features.changes == ("its manifest is gone: what it was made of is unknown",)
