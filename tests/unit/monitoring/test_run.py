"""Evaluation over real tables: once for each state of predictions and labels, whoever runs at once."""

import socket
import threading
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from nightshift import tables
from nightshift.job import Job
from nightshift.lineage import Manifest
from nightshift.monitoring.run import monitor
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline

KEYS = {"parcel_id": "string"}
DS = date(2024, 2, 12)


def publish(
    job: Job, dataset: str, day: str, fingerprint: str, columns: dict[str, str], rows: list[dict[str, Any]]
) -> None:
    import pyarrow as pa

    table, schema = job.table(dataset), tables.arrow_schema(columns)
    batches = [pa.RecordBatch.from_pylist(rows, schema=schema)]
    files = tables.write_partition(table, f"{dataset}-{fingerprint}", day, fingerprint, schema, batches)
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
