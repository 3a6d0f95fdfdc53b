"""Which days are stale, and what becomes of a build: real tables, real gates, rows that a plan's stand-in wrote."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from nightshift import tables
from nightshift.errors import GateFailed, InputMissing, NightshiftError, PartitionDamaged
from nightshift.features.build import plan_features, plan_window, resolve
from nightshift.features.build_plan import BuildPlan, read_plan
from nightshift.features.rebuilds import new_rebuild, order, ordered, withdraw
from nightshift.features.recipes import code_of
from nightshift.features.run import gate_features, gate_labels, gate_window
from nightshift.features.unlabelled import record_of, unlabelled_days
from nightshift.features.verdict import judge
from nightshift.job import Job, new_attempt
from nightshift.registry.ledger import create_ledger
from nightshift.settings import Settings
from nightshift.specs.calendar import days
from tests.conftest import make_pipeline, spec_document
from tests.postgres import WRITER, Database
from tests.unit.features.lake import MODULE, home_with_module, publish_input, stage_plan

DS = date(2024, 2, 10)
ALL_DAYS = days(date(2024, 1, 25), date(2024, 3, 5))


@pytest.fixture
def job(settings: Settings, tmp_path: Path, database: Database) -> Job:
    """A night of parcels whose sources are all published."""
    create_ledger(database.owner_url, WRITER)
    settings = replace(home_with_module(settings, tmp_path / "project"), database_url=database.writer_url)
    job = Job(settings, make_pipeline(), DS, run_id="night")
    publish_input(job, "orders", ALL_DAYS)
    publish_input(job, "deliveries", ALL_DAYS)
    publish_input(job, "depots", [date(2024, 1, 1)])
    return job


def again(job: Job) -> Job:
    return replace(job, attempt=new_attempt())


def built(job: Job, rows: dict[str, int] | None = None) -> BuildPlan:
    """Plan, and do what the Spark job would."""
    _, command = plan_features(job)
    assert command is not None
    return stage_plan(command.plan, rows)


def fingerprints(job: Job, dataset: str) -> dict[str, str]:
    return {day: item.fingerprint for day, item in tables.state(job.table(dataset)).partitions.items()}


def test_a_plan_names_exactly_what_may_be_read(job: Job) -> None:
    outcome, command = plan_features(job)
    assert outcome.message == "built 1 days of features and 1 days of labels in one Spark job"
    plan = read_plan(command.plan)
    features, labels = plan.targets
    assert (list(features.days), list(labels.days)) == (["2024-02-10"], ["2024-02-09"])
    assert features.inputs == {
        "deliveries": ("2024-02-07", "2024-02-08", "2024-02-09"),
        "depots": ("2024-01-01",),
        "orders": ("2024-02-10",),
    }
    assert labels.inputs == {"deliveries": ("2024-02-09",)}
    assert next(iter(features.columns)) == "parcel_id"
    assert plan.code == code_of(job.settings.home, job.pipeline)
    assert command.argv()[:6] == ["features", "--pipeline", "parcels", "--from", "2024-02-09", "--to"]


def test_what_is_staged_is_not_built_again_and_what_is_published_is_up_to_date(job: Job) -> None:
    built(job)
    outcome, command = plan_features(again(job))
    assert (outcome.status, command) == ("up_to_date", None)
    assert gate_features(job).status == "done"
    version = tables.state(job.table("features")).version
    outcome, command = plan_features(again(job))
    assert (outcome.status, command) == ("up_to_date", None)
    assert gate_features(again(job)).status == "up_to_date"
    assert tables.state(job.table("features")).version == version


def test_an_order_to_rebuild_publishes_once_more_under_a_name_of_its_own(job: Job) -> None:
    built(job)
    gate_features(job)
    gate_labels(job)
    before = fingerprints(job, "features") | fingerprints(job, "labels")
    asked = new_rebuild(DS, DS, "ada", "a faulty library")
    order(job.settings, job.pipeline, asked)
    next_try = again(job)
    plan = built(next_try)
    assert [list(target.days) for target in plan.targets] == [["2024-02-10"], ["2024-02-09"]]
    gate_features(next_try)
    gate_labels(next_try)
    after = fingerprints(job, "features") | fingerprints(job, "labels")
    assert {*before} == {*after} == {"2024-02-09", "2024-02-10"}
    assert not {*before.values()} & {*after.values()}
    manifest = tables.state(job.table("features")).manifest("2024-02-10")
    assert (manifest.rebuild, manifest.replaces) == (asked.id, before["2024-02-10"])
    assert plan_features(again(job))[1] is None

    withdraw(job.settings, job.pipeline, asked)
    assert ordered(job.settings, job.pipeline) == ()


def test_a_day_republished_meanwhile_does_not_change_what_the_job_says_it_read(job: Job) -> None:
    plan = built(job)
    publish_input(again(job), "deliveries", [DS - timedelta(days=1)], fingerprint="corrected")
    outcome = gate_features(job)
    assert outcome.status == "done"
    active = fingerprints(job, "features")["2024-02-10"]
    assert active == plan.manifests[0].fingerprint
    manifest = tables.state(job.table("features")).manifest("2024-02-10")
    assert manifest.upstream["inputs/deliveries"].days["2024-02-09"] == "f0"
    _, command = plan_features(again(job))
    assert command is not None, "the corrected day makes the features stale"


def test_what_was_built_from_a_correction_that_was_taken_back_is_not_published(job: Job) -> None:
    built(job)
    gate_features(job)
    before = fingerprints(job, "features")
    publish_input(again(job), "deliveries", [DS - timedelta(days=1)], fingerprint="corrected")
    late = again(job)
    built(late)
    publish_input(again(job), "deliveries", [DS - timedelta(days=1)], fingerprint="f0")
    with pytest.raises(NightshiftError, match="what they are made of changed meanwhile") as caught:
        gate_features(late)
    assert "clear build_features" in str(caught.value)
    assert fingerprints(job, "features") == before


def test_an_attempt_that_is_used_again_and_overtaken_by_its_sources_is_no_green_night(job: Job) -> None:
    """A, B, A again with what the first attempt staged, then C: B is published, and nobody made anything newer."""
    built(job)
    gate_features(job)
    publish_input(again(job), "deliveries", [DS - timedelta(days=1)], fingerprint="corrected")
    second = again(job)
    built(second)
    gate_features(second)
    publish_input(again(job), "deliveries", [DS - timedelta(days=1)], fingerprint="f0")
    third = again(job)
    assert plan_features(third)[1] is None, "the first attempt's files serve again"
    publish_input(again(job), "deliveries", [DS - timedelta(days=1)], fingerprint="once-more")
    with pytest.raises(NightshiftError, match="what they are made of changed meanwhile"):
        gate_features(third)


def _append(job: Job, dataset: str, ds: str) -> None:
    rows = pa.table({"parcel_id": ["ghost"], "ds": [ds]})
    write_deltalake(job.table(dataset), rows, mode="append", schema_mode="merge")


def test_features_that_another_program_changed_are_refused_for_their_day_alone(job: Job) -> None:
    built(job)
    gate_features(job)
    _append(job, "features", job.day)
    with pytest.raises(PartitionDamaged, match="1 of its 2 files are not Nightshift's"):
        plan_features(again(job))
    built(replace(again(job), ds=DS + timedelta(days=1)))
    order(job.settings, job.pipeline, new_rebuild(DS, DS, "ada", "another program wrote"))
    rebuilt = again(job)
    built(rebuilt)
    assert gate_features(rebuilt).status == "done"
    found = tables.state(job.table("features"))
    assert (found.damage(job.day), found.partitions[job.day].rows) == ("", 3)


def test_a_source_that_another_program_changed_is_read_by_no_day(job: Job) -> None:
    _append(job, "inputs/deliveries", "2024-02-08")
    with pytest.raises(InputMissing, match="need 2024-02-08 of source deliveries, whose partition another program"):
        plan_features(job)
    built(replace(again(job), ds=DS + timedelta(days=2)))


def test_an_older_attempt_does_not_replace_a_newer_one(job: Job) -> None:
    older = replace(job, run_id="older")
    built(older)
    publish_input(again(job), "deliveries", [DS - timedelta(days=1)], fingerprint="corrected")
    newer = replace(again(job), run_id="newer")
    built(newer)
    gate_features(newer)
    published = fingerprints(job, "features")
    outcome = gate_features(older)
    assert outcome.message == "features of 2024-02-10: a newer attempt was published meanwhile, this one is discarded"
    assert fingerprints(job, "features") == published


@pytest.mark.parametrize("rows", [2, 4])
def test_a_module_that_loses_or_invents_rows_is_blocked(job: Job, rows: int) -> None:
    built(job, {"features": rows})
    with pytest.raises(GateFailed, match="rows equal the keys of orders"):
        gate_features(job)
    assert fingerprints(job, "features") == {}


@pytest.mark.parametrize("lag", [0, 1])
def test_the_spines_own_day_is_never_among_those_that_may_be_absent(job: Job, lag: int) -> None:
    inputs, own = spec_document()["inputs"], DS - timedelta(days=lag)
    inputs["orders"] |= {"lag": lag, "lookback": 3, "missing": {"allow": 1}}
    lake = replace(job.settings, lake=f"{job.settings.lake}/lagged")
    job = replace(job, settings=lake, pipeline=make_pipeline(inputs=inputs))
    publish_input(job, "orders", [day for day in ALL_DAYS if day != own])
    publish_input(job, "deliveries", ALL_DAYS)
    publish_input(job, "depots", [date(2024, 1, 1)])
    with pytest.raises(InputMissing) as caught:
        plan_features(job)
    assert str(caught.value) == (
        f"parcels: features of 2024-02-10 have the keys of {own} of source orders, the spine, and that day is not "
        "published. What to do: land the files at parcels/orders/ds={ds}/*.csv, then clear gate_inputs."
    )
    # An older day may be absent, as the spec says.
    later = replace(again(job), ds=DS + timedelta(days=1))
    built(later)
    assert gate_features(later).status == "done"
    assert tables.state(job.table("features")).partitions["2024-02-11"].rows == 3


def test_a_day_without_rows_is_published_and_says_that_nothing_is_scored(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    publish_input(job, "orders", [job.ds], "empty", rows=0)
    built(job, {"features": 0})
    said = gate_features(job).message
    assert said == (
        "features of 2024-02-10: 0 rows published as version 1, 0 quarantined, gate passed; "
        "there is nothing to score for 2024-02-10"
    )
    assert said in caplog.messages


def test_labels_that_cannot_be_built_say_why_and_features_go_on(job: Job) -> None:
    late = replace(job, ds=ALL_DAYS[-1], run_id="late")
    publish_input(late, "orders", [late.ds])
    missing = {"column": "hours", "objective": "regression", "lag": 3, "wait": 3660, "inputs": ["deliveries"]}
    waiting = replace(late, pipeline=make_pipeline(label=missing), ds=date(2024, 3, 9))
    publish_input(waiting, "orders", [waiting.ds])
    publish_input(waiting, "deliveries", [date(2024, 3, 6), date(2024, 3, 7)])
    built(waiting, {"labels": 3})
    waiting.leave("gate_inputs", {"label_problems": ["source deliveries has not landed for 2024-03-08"]})
    assert gate_features(waiting).status == "done"
    with pytest.raises(InputMissing) as caught:
        gate_labels(waiting)
    assert str(caught.value).startswith(
        "labels of 2024-03-06 cannot be built: source deliveries has not landed for 2024-03-08; parcels: "
        "labels of 2024-03-06 need 3 days of source deliveries, and 1 are not published: 2024-03-08."
    )


def without_label(job: Job) -> Job:
    """A night whose features are built, of whose label's delivery there is nothing."""
    late = replace(again(job), ds=date(2024, 3, 7), run_id="late")
    publish_input(late, "orders", [late.ds])
    publish_input(late, "deliveries", [date(2024, 3, 5)])
    lenient = {**spec_document()["inputs"], "deliveries": {**spec_document()["inputs"]["deliveries"], "lookback": 2}}
    late = replace(late, pipeline=make_pipeline(inputs=lenient))
    built(late, {"labels": 0})
    late.leave("gate_inputs", {"label_problems": ["source deliveries has not landed for 2024-03-06"]})
    return late


def test_labels_that_never_come_are_recorded_once_their_wait_is_over(job: Job) -> None:
    late = without_label(job)
    outcome = gate_labels(late)
    found = record_of(late.settings, late.pipeline, date(2024, 3, 6))
    assert found is not None
    assert found.why.startswith("source deliveries has not landed for 2024-03-06; parcels: labels of 2024-03-06 need")
    assert outcome.message == (
        "there are no labels of 2024-03-06, and they were waited for 7 days longer than label.lag: " + found.words
    )
    assert (outcome.status, outcome.counts, outcome.warnings) == (
        "nothing", {"unlabelled": 1.0, "warnings": 1.0}, (outcome.message,),
    )  # fmt: skip
    labels = tables.state(late.table("labels"))
    assert unlabelled_days(late.settings, late.pipeline, labels) == ["2024-03-06"]

    publish_input(again(late), "deliveries", [date(2024, 3, 6)])
    after = again(late)
    built(after)
    assert gate_labels(after).message.startswith("labels of 2024-03-06: 3 rows published")
    assert unlabelled_days(late.settings, late.pipeline, tables.state(late.table("labels"))) == []


def test_labels_whose_source_could_not_be_looked_at_are_not_given_up(job: Job) -> None:
    late = without_label(job)
    late.leave("gate_inputs", {"label_problems": ["a lock was waited for"], "label_unknown": ["deliveries"]})
    with pytest.raises(InputMissing, match="a lock was waited for"):
        gate_labels(late)
    assert record_of(late.settings, late.pipeline, date(2024, 3, 6)) is None


def test_labels_whose_source_another_program_changed_are_waited_for(job: Job) -> None:
    late = replace(again(job), ds=date(2024, 3, 2))
    _append(job, "inputs/deliveries", "2024-03-01")
    days = {"2024-03-01": {"status": "missing", "why": "changed"}}
    late.leave("build_features", {"labels": days})
    late.leave("gate_inputs", {"label_problems": []})
    with pytest.raises(InputMissing, match="labels of 2024-03-01 cannot be built"):
        gate_labels(late)
    verdict = judge(resolve(late), "labels", date(2024, 3, 1), tables.state(late.table("labels")))
    assert (verdict.state, verdict.lacks_deliveries) == ("missing", False)


def test_features_that_cannot_be_built_are_an_error_at_once(job: Job) -> None:
    with pytest.raises(InputMissing, match=r"features of 2024-03-20 need 1 days of source orders"):
        plan_features(replace(job, ds=date(2024, 3, 20)))


def test_after_the_end_there_are_labels_alone(job: Job) -> None:
    ended = make_pipeline(schedule={**make_pipeline().schedule.model_dump(mode="json"), "end": "2024-02-10"})
    last = replace(job, pipeline=ended, ds=date(2024, 2, 11))
    plan = built(last)
    assert [target.dataset for target in plan.targets] == ["labels"]
    assert gate_features(last).message == "2024-02-11 is after the spec's end: labels alone"
    assert gate_labels(last).status == "done"


def test_a_window_builds_missing_and_stale_days_in_one_job(job: Job) -> None:
    built(job)
    gate_features(job)
    window = replace(again(job), ds=date(2024, 2, 12), run_id="retrain")
    _, command = plan_window(window)
    plan = stage_plan(command.plan)
    wanted = [day.isoformat() for day in days(date(2024, 2, 1), date(2024, 2, 11))]
    assert sorted(plan.targets[0].days) == [day for day in wanted if day != "2024-02-10"]
    assert sorted(plan.targets[1].days) == [day for day in wanted if day != "2024-02-09"]
    before = tables.state(window.table("features")).version
    outcome = gate_window(window)
    assert outcome.counts["features_published"] == 10
    assert tables.state(window.table("features")).version == before + 1
    assert sorted(fingerprints(window, "features")) == wanted


def test_blocked_and_missing_days_are_left_out_of_a_window(job: Job) -> None:
    publish_input(again(job), "orders", [date(2024, 2, 5)], fingerprint="more", rows=4)
    window = replace(again(job), ds=date(2024, 3, 8), run_id="retrain")
    _, command = plan_window(window)
    stage_plan(command.plan)
    outcome = gate_window(window)
    # The stand-in wrote 3 rows a day: the spine of 5 February has 4. Orders end on 5 March.
    assert window.left("gate_window")["blocked"] == []
    assert window.left("gate_window")["missing"] == ["2024-03-06", "2024-03-07"]
    assert outcome.links == {}
    earlier = replace(again(job), ds=date(2024, 2, 12), run_id="earlier")
    _, command = plan_window(earlier)
    stage_plan(command.plan)
    outcome = gate_window(earlier)
    assert earlier.left("gate_window") == {"blocked": ["2024-02-05"], "missing": [], "unbuilt": {}}
    assert list(outcome.links) == ["gate report features 2024-02-05"]
    assert "2024-02-05" not in fingerprints(earlier, "features")


def test_a_renamed_label_may_be_named_as_before(job: Job) -> None:
    label = {"objective": "regression", "lag": 1, "inputs": ["deliveries"]}
    for number, column in enumerate(["hours", "minutes", "hours"]):
        run = replace(again(job), run_id=f"run {number}", pipeline=make_pipeline(label={**label, "column": column}))
        built(run) if number < 2 else plan_features(run)
        assert gate_labels(run).status == "done"
        found = tables.state(run.table("labels"))
        assert tables.read(found.uri, found.files("2024-02-09")).column_names == ["parcel_id", column]


def test_a_changed_label_leaves_features_as_they_are(job: Job) -> None:
    built(job)
    module = job.settings.feature_modules / "parcels.py"
    module.write_text(MODULE.replace("return days, inputs", "return inputs"))
    _, command = plan_features(again(job))
    assert [target.dataset for target in read_plan(command.plan).targets] == ["labels"]


def test_staged_files_that_are_gone_are_built_again(job: Job) -> None:
    plan = built(job)
    features = Path(job.table("features")) / f"attempt={plan.attempt}"
    next(features.rglob("*.parquet")).unlink()
    with pytest.raises(NightshiftError, match=r"the staged features of 2024-02-10 with fingerprint \w+ are gone"):
        gate_features(job)
    assert built(again(job)).targets[0].dataset == "features"


def test_a_backfill_builds_for_the_days_behind_it(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    # What gate_inputs does is tested with landing files; here two of three other days are ready.
    def gate(other: Job) -> None:
        if other.ds == date(2024, 2, 12):
            raise InputMissing("not there yet")

    monkeypatch.setattr("nightshift.features.build.gate_inputs", gate)
    others = tuple(days(date(2024, 2, 11), date(2024, 2, 13)))
    _, command = plan_features(replace(job, also=others))
    plan = stage_plan(command.plan)
    assert sorted(plan.targets[0].days) == ["2024-02-10", "2024-02-11", "2024-02-13"]
    outcome, command = plan_features(replace(again(job), ds=date(2024, 2, 13)))
    assert (outcome.status, command) == ("up_to_date", None)


def test_a_backfill_of_retrains_builds_the_windows_behind_it(job: Job) -> None:
    first = replace(again(job), ds=date(2024, 2, 12), run_id="first", also=(date(2024, 2, 13), date(2024, 2, 15)))
    _, command = plan_window(first)
    plan = stage_plan(command.plan)
    until_14 = [day.isoformat() for day in days(date(2024, 2, 1), date(2024, 2, 14))]
    assert sorted(plan.targets[0].days) == until_14
    # Its own gate publishes its own window alone.
    assert gate_window(first).counts["features_published"] == 11
    assert sorted(fingerprints(job, "features")) == until_14[:11]
    last = replace(again(job), ds=date(2024, 2, 15), run_id="last")
    outcome, command = plan_window(last)
    assert (outcome.status, command) == ("up_to_date", None)
    assert gate_window(last).counts["features_published"] == 3


def test_a_window_that_is_up_to_date_builds_for_no_other(job: Job) -> None:
    first = replace(again(job), ds=date(2024, 2, 12), run_id="first")
    stage_plan(plan_window(first)[1].plan)
    outcome, command = plan_window(replace(again(first), also=(date(2024, 2, 15),)))
    assert (outcome.status, command) == ("up_to_date", None)
