"""Evaluation over real tables: once for each state of predictions and labels, whoever runs at once."""

import socket
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from nightshift import storage, tables
from nightshift.errors import NightshiftError
from nightshift.features.unbuilt import Unbuilt, leave_unbuilt
from nightshift.features.unlabelled import record_of
from nightshift.job import Job
from nightshift.lineage import Manifest, Upstream, kept_manifests, published_uri
from nightshift.monitoring.run import monitor
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline, spec_document

KEYS = {"parcel_id": "string"}
DS = date(2024, 2, 12)


def publish(
    job: Job, dataset: str, day: str, fingerprint: str, columns: dict[str, str], rows: list[dict[str, Any]]
) -> None:
    table, schema = job.table(dataset), tables.arrow_schema(columns)
    batches = [pa.RecordBatch.from_pylist(rows, schema=schema)]
    files = tables.write_partition(
        table, f"{dataset.replace('/', '-')}-{fingerprint}", day, fingerprint, schema, batches
    )
    found = tables.state(table).fingerprint(day)
    manifest = Manifest(
        job.pipeline.name, dataset, day, fingerprint, "a", "r", "2024-01-01", "v", "s", files, replaces=found
    )
    tables.publish(table, schema, [manifest])


def publish_predictions(job: Job, day: str, scores: dict[str, float], fingerprint: str = "p1") -> None:
    columns = {**KEYS, "score": "number", "model": "string"}
    rows = [{"parcel_id": key, "score": score, "model": "m" * 16} for key, score in scores.items()]
    publish(job, "predictions", day, fingerprint, columns, rows)


def publish_labels(job: Job, day: str, labels: dict[str, float], fingerprint: str = "l1") -> None:
    kind = "integer" if job.pipeline.label.objective == "binary" else "number"
    rows = [{"parcel_id": key, job.pipeline.label.column: label} for key, label in labels.items()]
    publish(job, "labels", day, fingerprint, {**KEYS, job.pipeline.label.column: kind}, rows)


def evaluated(job: Job) -> dict[str, dict[str, Any]]:
    found = tables.state(job.table("monitoring"))
    return {day: tables.read(found.uri, item.files).to_pylist()[0] for day, item in found.partitions.items()}


@pytest.fixture
def job(settings: Settings, pipeline: Pipeline) -> Job:
    return Job(settings, pipeline, DS)


def test_nothing_is_there(job: Job) -> None:
    outcome = monitor(job)
    assert (outcome.status, outcome.message) == (
        "up_to_date", "every day with predictions and labels is evaluated",
    )  # fmt: skip


@pytest.mark.parametrize("dataset", ["predictions", "labels"])
def test_a_day_that_another_program_changed_is_not_evaluated_and_others_are(job: Job, dataset: str) -> None:
    for day in ("2024-02-10", "2024-02-11"):
        publish_predictions(job, day, {"a": 1.0})
        publish_labels(job, day, {"a": 3.0})
    _append(job, dataset, "2024-02-10")
    assert monitor(job).counts["days"] == 1
    assert list(evaluated(job)) == ["2024-02-11"]
    assert monitor(job).status == "up_to_date"
    assert [item.error for item in tables.repair(job.table(dataset))] == [""]
    assert monitor(job).counts["days"] == 1
    assert list(evaluated(job)) == ["2024-02-10", "2024-02-11"]


def test_an_evaluation_that_another_program_changed_is_made_anew(job: Job) -> None:
    publish_predictions(job, "2024-02-10", {"a": 1.0})
    publish_labels(job, "2024-02-10", {"a": 3.0})
    monitor(job)
    before = evaluated(job)
    rows = pa.table({"rmse": [0.0], "ds": ["2024-02-10"]})
    write_deltalake(job.table("monitoring"), rows, mode="append", schema_mode="merge")
    assert monitor(job).counts["days"] == 1
    assert evaluated(job) == before
    assert tables.damaged(tables.state(job.table("monitoring"))) == {}


def _append(job: Job, dataset: str, ds: str) -> None:
    rows = pa.table({"parcel_id": ["ghost"], "ds": [ds]})
    write_deltalake(job.table(dataset), rows, mode="append", schema_mode="merge")


def test_labels_of_before_the_column_was_renamed_are_no_labels_yet(job: Job) -> None:
    label = {"objective": "regression", "lag": 1, "inputs": ["deliveries"]}
    before = replace(job, pipeline=make_pipeline(label={**label, "column": "minutes"}))
    publish_predictions(job, "2024-02-10", {"a": 1.0})
    publish_labels(before, "2024-02-10", {"a": 60.0})
    publish_predictions(job, "2024-02-11", {"a": 1.0})
    publish_labels(job, "2024-02-11", {"a": 3.0})
    assert monitor(job).counts["days"] == 2
    assert {day: (row["rows"], row["unlabelled"]) for day, row in evaluated(job).items()} == {
        "2024-02-10": (0, 1), "2024-02-11": (1, 0),
    }  # fmt: skip
    publish_labels(job, "2024-02-10", {"a": 1.0}, fingerprint="l2")
    assert monitor(job).counts["days"] == 1
    assert evaluated(job)["2024-02-10"]["rows"] == 1
    assert monitor(before).status == "up_to_date", "a revert changes nothing by itself"


@pytest.mark.process
def test_a_day_is_evaluated_once_both_are_there_and_again_when_one_changes(job: Job) -> None:
    publish_predictions(job, "2024-02-10", {"a": 1.0, "b": 2.0, "c": 9.0})
    publish_predictions(job, "2024-02-11", {"a": 1.0})
    assert monitor(job).status == "up_to_date"
    publish_labels(job, "2024-02-10", {"b": 5.0, "a": 5.0, "z": 1.0})
    outcome = monitor(job)
    assert (outcome.status, outcome.message) == (
        "done", "days evaluated: 1 (2024-02-10 to 2024-02-10); 2024-02-10: rmse 3.536, mae 3.5 of 2 rows",
    )  # fmt: skip
    assert evaluated(job) == {
        "2024-02-10": {
            "model": "m" * 16, "rows": 2, "unlabelled": 1, "label_mean": 5.0, "score_mean": 1.5,
            "average_precision": None, "roc_auc": None, "log_loss": None, "brier": None,
            "rmse": pytest.approx(12.5**0.5), "mae": 3.5,
        }
    }  # fmt: skip
    version = tables.state(job.table("monitoring")).version
    assert monitor(job).status == "up_to_date"
    assert tables.state(job.table("monitoring")).version == version
    publish_labels(job, "2024-02-10", {"a": 1.0, "b": 2.0, "c": 9.0}, fingerprint="l2")
    publish_labels(job, "2024-02-11", {"a": 3.0})
    assert monitor(job).counts["days"] == 2
    assert {day: (row["rmse"], row["unlabelled"]) for day, row in evaluated(job).items()} == {
        "2024-02-10": (0.0, 0), "2024-02-11": (2.0, 0),
    }  # fmt: skip


def test_a_binary_pipeline_and_days_where_little_is_defined(settings: Settings) -> None:
    label = {"column": "late", "objective": "binary", "lag": 1, "inputs": ["deliveries"]}
    pipeline = make_pipeline(label=label, promotion={"metric": "log_loss"})
    job = Job(settings, pipeline, DS)
    publish_predictions(job, "2024-02-09", {})
    publish_labels(job, "2024-02-09", {})
    publish_predictions(job, "2024-02-10", {"a": 0.5, "b": 0.5})
    publish_labels(job, "2024-02-10", {"a": 0, "b": 0})
    publish_predictions(job, "2024-02-11", {"a": 0.25, "b": 0.75, "c": 0.5})
    publish_labels(job, "2024-02-11", {"a": 0, "b": 1, "c": 1})
    assert monitor(job).counts["days"] == 3
    days = evaluated(job)
    assert (days["2024-02-09"]["rows"], days["2024-02-09"]["model"], days["2024-02-09"]["brier"]) == (0, None, None)
    assert (days["2024-02-10"]["roc_auc"], days["2024-02-10"]["brier"], days["2024-02-10"]["label_mean"]) == (
        None,
        0.25,
        0,
    )
    assert (days["2024-02-11"]["roc_auc"], days["2024-02-11"]["average_precision"]) == (1.0, 1.0)
    assert days["2024-02-11"]["label_mean"] == pytest.approx(2 / 3)


def test_only_so_many_days_at_once_and_the_newest_first(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightshift.monitoring.run.MOST_DAYS", 1)
    for day in ("2024-02-10", "2024-02-11"):
        publish_predictions(job, day, {"a": 1.0})
        publish_labels(job, day, {"a": 1.0})
    assert monitor(job).message.endswith("; older days left to the next run: 1")
    assert set(evaluated(job)) == {"2024-02-11"}
    monitor(job)
    assert set(evaluated(job)) == {"2024-02-10", "2024-02-11"}


def test_runs_at_once_leave_one_row_a_day(job: Job) -> None:
    days = [f"2024-02-{number:02d}" for number in range(1, 6)]
    for day in days:
        publish_predictions(job, day, {"a": 1.0})
        publish_labels(job, day, {"a": 2.0})
    jobs = [replace(job, attempt=f"attempt{number}") for number in range(4)]
    failures: list[BaseException] = []

    def attempt(one: Job) -> None:
        try:
            monitor(one)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=attempt, args=(one,)) for one in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = tables.state(job.table("monitoring"))
    assert {day: item.rows for day, item in found.partitions.items()} == dict.fromkeys(days, 1)


@pytest.mark.process
def test_gauges_are_of_the_newest_day(job: Job) -> None:
    publish_predictions(job, "2024-02-10", {"a": 1.0})
    publish_labels(job, "2024-02-10", {"a": 3.0})
    publish_predictions(job, "2024-02-11", {"a": 1.0})
    publish_labels(job, "2024-02-11", {"a": 2.0})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        sending = replace(job.settings, statsd_host="127.0.0.1", statsd_port=server.getsockname()[1])
        monitor(replace(job, settings=sending))
        lines = {server.recv(4096).decode() for _ in range(5)}
    assert lines == {
        "nightshift.partitions_published,pipeline=parcels,dataset=monitoring:2|c",
        "nightshift.label_mean,pipeline=parcels:2.0|g",
        "nightshift.score_mean,pipeline=parcels:1.0|g",
        "nightshift.rmse,pipeline=parcels:1.0|g",
        "nightshift.mae,pipeline=parcels:1.0|g",
    }


def test_days_that_never_got_labels_are_recorded_and_counted(job: Job) -> None:
    for day in ("2024-02-09", "2024-02-10", "2024-02-11"):
        publish_predictions(job, day, {"a": 1.0})
    publish_labels(job, "2024-02-09", {"a": 1.0})
    columns = {name: column.type for name, column in job.pipeline.inputs["deliveries"].columns.items()}
    publish(job, "inputs/deliveries", "2024-02-11", "d1", columns, [])
    outcome = monitor(replace(job, ds=date(2024, 2, 12)))
    assert outcome.message.startswith("days evaluated: 1 (2024-02-09 to 2024-02-09)")
    assert outcome.warnings == (
        "labels of 2024-02-10 never came: recorded as unlabelled",
        "labels of 2024-02-11 have come and are not built: backfill the night in which they were due",
    )
    assert outcome.counts["unlabelled"] == 1
    found = record_of(job.settings, job.pipeline, date(2024, 2, 10))
    assert found is not None
    assert found.why.startswith("labels of 2024-02-10 need 1 days of source deliveries, and 1 are not published")
    later = monitor(replace(job, ds=date(2024, 2, 12), attempt="later"))
    assert (later.status, later.counts["unlabelled"], len(later.warnings)) == ("up_to_date", 1, 1)


def test_a_day_is_given_up_only_by_a_look_that_succeeded(job: Job) -> None:
    """A file where the day's folder should be: nobody can say that the delivery never came."""
    for day in ("2024-02-09", "2024-02-10"):
        publish_predictions(job, day, {"a": 1.0})
    folder = Path(job.settings.landing, "parcels", "deliveries", "ds=2024-02-10")
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    outcome = monitor(job)
    assert outcome.warnings == (
        "labels of 2024-02-09 never came: recorded as unlabelled",
        "labels of 2024-02-10 are waited for still, a look at them failed: source deliveries has not landed for "
        "2024-02-10",
    )
    assert (outcome.counts["waiting"], outcome.counts["unlabelled"]) == (1, 1)
    assert record_of(job.settings, job.pipeline, date(2024, 2, 10)) is None
    folder.unlink()
    assert monitor(replace(job, attempt="later")).counts["unlabelled"] == 2


def test_a_snapshot_that_cannot_be_listed_gives_no_labels_up(job: Job) -> None:
    inputs = spec_document()["inputs"] | {
        "rates": {
            "path": "parcels/rates/as_of={ds}/*.csv", "snapshot": True, "key": ["rate"],
            "columns": {"rate": {"type": "string"}},
        }
    }  # fmt: skip
    label = spec_document()["label"] | {"inputs": ["deliveries", "rates"]}
    features = spec_document()["features"] | {"inputs": ["orders", "deliveries", "depots"]}
    job = replace(job, pipeline=make_pipeline(inputs=inputs, label=label, features=features))
    publish_predictions(job, "2024-02-10", {"a": 1.0})
    folder = Path(job.settings.landing, "parcels", "rates")
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    assert "the snapshots cannot be listed" in monitor(job).warnings[0]
    assert record_of(job.settings, job.pipeline, date(2024, 2, 10)) is None
    folder.unlink()
    assert monitor(replace(job, attempt="later")).counts["unlabelled"] == 1


def test_labels_that_failed_are_named_and_counted_as_long_as_they_are_not_built(job: Job) -> None:
    patient = replace(job, pipeline=make_pipeline(label={**spec_document()["label"], "wait": 3660}))
    publish_predictions(patient, "2024-02-10", {"a": 1.0})
    table = patient.table("labels")
    leave_unbuilt(table, Unbuilt.of(patient.manifest("labels", "2024-02-10", "f1"), NightshiftError("no space")))
    outcome = monitor(patient)
    assert outcome.warnings == ("labels of 2024-02-10 cannot be built: no space (run manual)",)
    assert (outcome.counts["unbuilt"], outcome.counts["waiting"]) == (1, 0)
    publish_labels(patient, "2024-02-10", {"a": 1.0})
    assert monitor(patient).counts["unbuilt"] == 0


def test_a_backfill_waits_for_labels_that_a_later_night_of_it_builds(job: Job) -> None:
    """Their wait was over long ago, and that night has not had its turn."""
    night = replace(job, ds=date(2024, 2, 10))
    publish_predictions(night, "2024-02-10", {"a": 1.0})
    outcome = monitor(night)
    assert (outcome.counts["waiting"], outcome.warnings) == (1, ())
    assert record_of(job.settings, job.pipeline, date(2024, 2, 10)) is None
    assert monitor(replace(night, ds=date(2024, 2, 11))).counts["unlabelled"] == 1


def test_days_whose_wait_is_not_over_are_waited_for(job: Job) -> None:
    patient = replace(job, pipeline=make_pipeline(label={**spec_document()["label"], "wait": 3660}))
    publish_predictions(patient, "2024-02-10", {"a": 1.0})
    outcome = monitor(patient)
    assert (outcome.status, outcome.counts["waiting"], outcome.counts["unlabelled"]) == ("up_to_date", 1, 0)
    assert (outcome.warnings, record_of(job.settings, job.pipeline, date(2024, 2, 10))) == ((), None)


def test_a_day_of_which_no_row_has_both_is_warned_of(job: Job) -> None:
    publish_predictions(job, "2024-02-10", {"a": 1.0})
    publish_labels(job, "2024-02-10", {"b": 1.0})
    assert monitor(job).warnings == ("2024-02-10: no row has a prediction and a label",)


def test_days_whose_features_were_built_anew_since_they_were_scored_are_counted(job: Job) -> None:
    for day, built in (("2024-02-09", "f1"), ("2024-02-10", "f2")):
        publish(job, "features", day, built, KEYS, [{"parcel_id": "a"}])
        publish_predictions(job, day, {"a": 1.0})
        table = job.table("predictions")
        [kept] = kept_manifests(table, day, "p1")
        scored = replace(kept, upstream={"features": Upstream(0, {day: "f1"})})
        storage.write_json(published_uri(table, day, "p1", kept.attempt), scored.document())
        publish_labels(job, day, {"a": 1.0})
    assert monitor(job).counts["features_differ"] == 1
