"""Days that cannot be built: only their own runs fail, once each without Spark, and windows leave them out."""

from collections.abc import Collection
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from nightshift import storage, tables
from nightshift.commands import FeaturesCommand
from nightshift.errors import NightshiftError, SparkBusy, SpecError
from nightshift.features.build_plan import read_plan
from nightshift.features.run import gate_features, gate_labels, gate_window
from nightshift.features.unlabelled import record_of
from nightshift.job import Job, Outcome, new_attempt
from nightshift.registry.ledger import create_ledger
from nightshift.settings import Settings
from nightshift.specs.calendar import days
from nightshift.steps import run_step
from nightshift.training.run import training_set
from tests.conftest import make_pipeline, spec_document
from tests.postgres import WRITER, Database
from tests.unit.features.lake import home_with_module, publish_input, stage_plan

DS = date(2024, 2, 10)
ALL_DAYS = days(date(2024, 1, 25), date(2024, 3, 5))
LINE = "spark_jobs/features/parcels.py build: line 7: ValueError was raised"


@pytest.fixture
def job(settings: Settings, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A night of a backfill of parcels whose sources are all published."""
    monkeypatch.setattr("nightshift.features.build.gate_inputs", lambda job: None)
    monkeypatch.setattr("nightshift.features.build.gate_windows", lambda job, dates: None)
    create_ledger(database.owner_url, WRITER)
    settings = replace(home_with_module(settings, tmp_path / "project"), database_url=database.writer_url)
    job = Job(settings, make_pipeline(), DS, run_id=str(DS), backfill=True)
    publish_input(job, "orders", ALL_DAYS)
    publish_input(job, "deliveries", ALL_DAYS)
    publish_input(job, "depots", [date(2024, 1, 1)])
    return job


def night(job: Job, ds: date, also: Collection[date] = ()) -> Job:
    return replace(job, ds=ds, run_id=str(ds), attempt=new_attempt(), also=tuple(also))


class Spark:
    """Stands in for Spark: stages all but the failing days, and counts its starts."""

    def __init__(self, *failing: tuple[str, str]) -> None:
        self.failing, self.days = failing, list[list[str]]()

    def __call__(self, _: Settings, command: FeaturesCommand) -> None:
        self.days.append([])
        try:
            plan = stage_plan(command.plan, failing=self.failing)
        except NightshiftError:
            self.days[-1] = ["failed"]
            raise
        self.days[-1] = sorted({day for target in plan.targets for day in target.days})


def without_labels(_: Settings, command: FeaturesCommand) -> None:
    """Spark, as far as it comes: it stages all features, and ends without a word of labels."""
    plan = read_plan(command.plan)
    features = [manifest for manifest in plan.manifests if manifest.dataset == "features"]
    storage.write_json(command.plan, replace(plan, manifests=tuple(features)).document())
    stage_plan(command.plan)
    storage.write_json(command.plan, plan.document())
    raise NightshiftError("the Spark job ended with status 137")


def build(job: Job, spark: Spark, step: str = "build_features") -> Outcome:
    return run_step(job, step, spark)


def test_a_day_that_cannot_be_built_fails_its_own_run_alone(job: Job) -> None:
    spark = Spark(("features", "2024-02-12"))
    dates = [DS + timedelta(days=number) for number in range(5)]
    outcome = build(night(job, DS, dates[1:]), spark)
    assert outcome.message == (
        "built 5 days of features and 5 days of labels in one Spark job, except 1: spark_jobs/features/parcels.py "
        "build: 1 of 5 days of features (2024-02-12) cannot be built: line 7: ValueError was raised"
    )
    assert outcome.counts == {"features_days": 4, "labels_days": 5}
    for ds in dates:
        own = night(job, ds, [later for later in dates if later > ds])
        if ds == date(2024, 2, 12):
            with pytest.raises(SpecError) as caught:
                build(own, spark)
            assert str(caught.value) == (
                "spark_jobs/features/parcels.py build: features of 2024-02-12 cannot be built: line 7: ValueError was "
                "raised. What to do: correct the module or its sources; the job of run 2024-02-10 found it: clear "
                "build_features of this run to build the day again."
            )
        else:
            build(own, spark)
            assert gate_features(own).status == "done"
            assert gate_labels(own).status == "done"
    assert len(spark.days) == 1, "one start of Spark for all"


def test_cleared_the_run_builds_its_day_itself(job: Job) -> None:
    build(night(job, DS, [DS + timedelta(days=1)]), Spark(("features", "2024-02-11")))
    own = night(job, DS + timedelta(days=1))
    with pytest.raises(SpecError, match="line 7"):
        build(own, Spark())
    again = Spark()
    build(night(job, DS + timedelta(days=1)), again)
    assert again.days == [["2024-02-11"]]
    assert gate_features(own).status == "done"


def test_tonight_and_a_changed_module_ask_spark_again(job: Job) -> None:
    build(night(job, DS, [DS + timedelta(days=1)]), Spark(("features", "2024-02-11")))
    tonight = Spark(("features", "2024-02-11"))
    with pytest.raises(SpecError) as caught:
        build(replace(night(job, DS + timedelta(days=1)), run_id="scheduled", backfill=False), tonight)
    assert str(caught.value) == f"{LINE}."
    assert tonight.days == [["failed"]]
    module = job.settings.feature_modules / "parcels.py"
    module.write_text(module.read_text().replace("return inputs, days", "return inputs"))
    mended = Spark()
    build(night(job, DS + timedelta(days=1)), mended)
    assert mended.days == [["2024-02-11"]]


def test_labels_that_cannot_be_built_cost_no_features(job: Job) -> None:
    spark = Spark(("labels", "2024-02-09"))
    own = night(job, DS)
    assert "except 1" in build(own, spark).message
    assert gate_features(own).status == "done"
    with pytest.raises(SpecError, match=r"labels of 2024-02-09 cannot be built: line 7"):
        gate_labels(own)


def test_labels_that_are_lost_for_any_reason_cost_no_features_of_their_night(job: Job) -> None:
    """Nothing says what of the labels failed: the disk, a cluster, the process itself."""
    own = replace(night(job, DS), backfill=False)
    outcome = run_step(own, "build_features", without_labels)
    why = "labels of 2024-02-09 cannot be built: the Spark job ended with status 137"
    assert outcome.warnings == (why,)
    assert outcome.counts == {"features_days": 1, "labels_days": 0, "warnings": 1, "labels_unbuilt": 1}
    assert gate_features(own).status == "done"
    with pytest.raises(NightshiftError, match=why):
        gate_labels(own)
    again = replace(own, attempt=new_attempt())
    run_step(again, "build_features", Spark())
    assert gate_labels(again).status == "done"


def test_labels_that_wait_for_spark_are_not_given_up(job: Job) -> None:
    """Their features were built by the job of another run, which has Spark; this is the task's only try."""

    def busy(_: Settings, __: FeaturesCommand) -> None:
        raise SparkBusy("another task of a backfill has Spark")

    own = night(job, DS)
    run_step(own, "build_features", without_labels)
    gate_features(own)
    again = replace(own, attempt=new_attempt())
    with pytest.raises(SparkBusy):
        run_step(again, "build_features", busy)
    run_step(again, "build_features", Spark())
    assert gate_labels(again).status == "done"


def test_labels_that_are_lost_are_tried_again_first(job: Job) -> None:
    own = replace(night(job, DS), backfill=False, last_try=False)
    with pytest.raises(NightshiftError, match="status 137"):
        run_step(own, "build_features", without_labels)
    spark = Spark()
    assert run_step(replace(own, attempt=new_attempt()), "build_features", spark).warnings == ()
    assert spark.days == [["2024-02-09"]], "the features are staged: labels alone"


def test_labels_that_are_lost_fail_the_job_where_they_are_needed_or_others_are_lost_too(job: Job) -> None:
    for step, also in (("build_window", []), ("build_features", [DS + timedelta(days=1)])):
        with pytest.raises(NightshiftError, match="status 137"):
            run_step(night(job, DS, also), step, without_labels)
    after = replace(night(job, date(2024, 4, 1)), pipeline=job.pipeline)
    publish_input(after, "deliveries", [date(2024, 3, 31)])
    with pytest.raises(NightshiftError, match="status 137"):
        run_step(after, "build_features", without_labels)


@pytest.mark.parametrize("dataset", ["labels", "inputs/deliveries"])
def test_a_table_of_labels_alone_that_another_program_made_anew_costs_no_features(job: Job, dataset: str) -> None:
    features = {**spec_document()["features"], "inputs": ["orders", "depots"]}
    own = replace(night(job, DS), pipeline=make_pipeline(features=features))
    rows = pa.table({"key": ["x"], "n": [1]})
    write_deltalake(own.table(dataset), rows, mode="overwrite", schema_mode="overwrite", partition_by=["key"])
    own.leave("gate_inputs", {"label_problems": []})
    assert build(own, Spark()).counts["features_days"] == 1
    assert gate_features(own).status == "done"
    with pytest.raises(NightshiftError, match="made the table anew"):
        gate_labels(own)
    assert record_of(own.settings, own.pipeline, date(2024, 2, 9)) is None


def test_a_job_that_ends_in_between_fails_the_run(job: Job) -> None:
    def killed(_: Settings, command: FeaturesCommand) -> None:
        raise NightshiftError("the Spark job ended with status 137 and without saying why")

    with pytest.raises(NightshiftError, match="status 137"):
        run_step(night(job, DS), "build_features", killed)
    with pytest.raises(NightshiftError, match="status 137"):
        run_step(night(job, DS), "build_window", killed)


@pytest.mark.parametrize(("failing", "status"), [(2, "done"), (4, "nothing")])
def test_a_window_leaves_out_days_that_cannot_be_built(job: Job, failing: int, status: str) -> None:
    bad = [str(date(2024, 2, 3) + timedelta(days=number)) for number in range(failing)]
    retrain = replace(night(job, date(2024, 2, 14)), run_id="retrain")
    build(retrain, Spark(*(("features", day) for day in bad)), "build_window")
    outcome = gate_window(retrain)
    assert outcome.message.endswith(f", {failing} that cannot be built: {', '.join(bad)}")
    found = training_set(retrain)
    left = retrain.left("training_set")
    assert found.status == status
    assert left["training_set"]["left_out"] == dict.fromkeys(bad, f"features cannot be built: {LINE}")
    assert left["refused"] == (
        "" if failing <= 3 else f"4 days of the window cannot be built: {', '.join(bad)}, training.max_blocked is 3"
    )
    assert outcome.warnings == tuple(f"{day} is left out: features cannot be built: {LINE}" for day in bad)
    assert len(tables.state(retrain.table("features")).partitions) == 13 - failing


def test_a_backfill_of_retrains_starts_spark_once_for_a_bad_day(job: Job) -> None:
    spark = Spark(("features", "2024-02-03"))
    dates = [date(2024, 2, 12) + timedelta(days=number) for number in range(4)]
    for ds in dates:
        retrain = replace(night(job, ds, [later for later in dates if later > ds]), run_id=f"retrain {ds}")
        build(retrain, spark, "build_window")
        gate_window(retrain)
        assert list(retrain.left("gate_window")["unbuilt"]) == ["2024-02-03"]
    assert len(spark.days) == 1


def test_a_step_that_starts_no_spark_names_the_days_that_are_not_built(job: Job) -> None:
    build(replace(night(job, DS), run_id="retrain one"), Spark(("features", "2024-02-03")), "build_window")
    outcome = build(replace(night(job, DS), run_id="retrain two"), Spark(), "build_window")
    assert outcome.message == (
        "every day is built already, but for 1 days of features that cannot be built: 2024-02-03"
    )
