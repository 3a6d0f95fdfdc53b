from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake

from nightshift import tables
from nightshift.features.unlabelled import record
from nightshift.job import Job
from nightshift.training import training_set as sets
from nightshift.training.run import training_set
from nightshift.training.training_set import TrainingSet
from tests.conftest import spec_document
from tests.unit.training.conftest import window
from tests.unit.training.lake import publish, publish_rows, with_spec


def left(job: Job) -> TrainingSet:
    return TrainingSet.read(job.left("training_set")["training_set"])


def test_whole_window(job: Job) -> None:
    publish(job, window(job), rows=10)

    outcome = training_set(job)

    found = left(job)
    assert [day.ds for day in found.days] == window(job)
    assert (window(job)[0], window(job)[-1]) == ("2024-02-01", "2024-02-20")
    assert found.rows == 200
    assert found.features_version == tables.state(job.table("features")).version
    assert outcome.status == "done"
    assert outcome.message == (
        f"training set {found.fingerprint}: 20 days from 2024-02-01 to 2024-02-20, 200 rows; 0 days left out"
    )
    assert not job.left("training_set")["refused"]


def test_days_that_are_left_out_and_why(job: Job) -> None:
    days = window(job)
    publish(job, days[2:], rows=10)
    publish(job, days[:1], rows=10, only=["features"])
    publish(job, days[1:2], rows=0)
    job.leave("gate_window", {"blocked": [days[5]], "missing": [days[6]]})

    training_set(job)

    assert left(job).left_out == {
        days[0]: "no labels published",
        days[1]: "no rows",
        days[5]: "blocked",
        days[6]: "missing",
    }
    assert [day.ds for day in left(job).days] == [days[n] for n in range(20) if n not in (0, 1, 5, 6)]


def test_a_recorded_day_whose_labels_came_and_were_bad_is_told_as_that(job: Job) -> None:
    days = window(job)
    publish(job, days[3:], rows=10)
    publish(job, days[:3], rows=10, only=["features"])
    for day in days[:3]:
        record(job, date.fromisoformat(day), "source deliveries has not landed")
    why = "labels cannot be built: line 7: ValueError was raised"
    job.leave("gate_window", {"blocked": [days[0]], "missing": [days[2]], "unbuilt": {days[1]: why}})

    training_set(job)

    assert left(job).left_out == {days[0]: "blocked", days[1]: why, days[2]: "unlabelled"}


@pytest.mark.parametrize("dataset", ["features", "labels"])
def test_a_day_that_another_program_changed_is_left_out(job: Job, dataset: str) -> None:
    days = window(job)
    publish(job, days, rows=10)
    ghost = pa.table({"parcel_id": ["ghost"], "ds": [days[2]]})
    write_deltalake(job.table(dataset), ghost, mode="append", schema_mode="merge")
    outcome = training_set(job)
    assert outcome.counts["days"] == len(days) - 1
    assert outcome.warnings == (f"{days[2]} is left out: {dataset} changed by another program",)
    assert left(job).left_out == {days[2]: f"{dataset} changed by another program"}
    tables.repair(job.table(dataset))
    assert training_set(job).counts["days"] == len(days)


def test_fingerprint_is_about_content(job: Job) -> None:
    days = window(job)
    publish(job, days, rows=10)
    training_set(job)
    first = left(job)

    publish(job, ["2024-03-01"], rows=10)
    training_set(job)
    assert left(job).features_version == first.features_version + 1
    assert left(job).fingerprint == first.fingerprint

    publish(job, days[3:4], rows=10, only=["labels"], fingerprint="f1")
    training_set(job)
    assert left(job).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("published", "blocked", "reason"),
    [
        (5, 0, "5 days of the window have features and labels, training.min_days is 6"),
        (20, 4, "gates blocked 4 days of the window, training.max_blocked is 3"),
        (0, 0, "0 days of the window have features and labels, training.min_days is 6"),
    ],
)
def test_refusal(job: Job, published: int, blocked: int, reason: str) -> None:
    days = window(job)
    publish(job, days[:published], rows=5)
    job.leave("gate_window", {"blocked": days[:blocked], "missing": []})

    outcome = training_set(job)

    assert job.left("training_set")["refused"] == reason
    assert outcome.status == "nothing"
    assert outcome.message == f"no training as of 2024-02-21: {reason}"


def test_blocked_up_to_the_limit(job: Job) -> None:
    publish(job, window(job), rows=5)
    job.leave("gate_window", {"blocked": window(job)[:3], "missing": []})
    assert training_set(job).status == "done"


def test_rows_are_pinned(job: Job) -> None:
    days = window(job)
    publish(job, days, rows=10)
    training_set(job)
    found = left(job)
    before = sets.joined(job.pipeline, found, found.days[0], ["weight"])

    publish(job, days[:1], rows=7, fingerprint="f1")

    assert sets.joined(job.pipeline, found, found.days[0], ["weight"]).equals(before)


def test_join_keeps_the_features_order(job: Job) -> None:
    publish(job, window(job), rows=50, missing=0.2)
    training_set(job)
    found = left(job)
    day = found.days[4]

    rows = sets.joined(job.pipeline, found, day, ["parcel_id", "depot"])

    features = tables.read(found.features_table, day.feature_files)
    labels = dict(zip(*tables.read(found.labels_table, day.label_files).to_pydict().values(), strict=True))
    assert rows.column_names == ["parcel_id", "depot", "hours"]
    assert rows["parcel_id"].to_pylist() == features["parcel_id"].to_pylist()
    assert rows["depot"].to_pylist() == features["depot"].to_pylist()
    assert rows["hours"].to_pylist() == [labels.get(key) for key in features["parcel_id"].to_pylist()]
    assert rows["hours"].null_count == 10
    assert sets.labelled(job.pipeline, found, day, ["depot"]).num_rows == 40


def test_join_on_a_key_of_two_columns(job: Job) -> None:
    document = spec_document()
    document["inputs"]["orders"]["columns"]["hour"] = {"type": "integer"}
    document["features"]["key"] = ["parcel_id", "hour"]
    job = with_spec(job, inputs=document["inputs"], features=document["features"])
    keys = {"parcel_id": ["a", "a", "b"], "hour": [1, 2, 1]}
    rest = {"depot": ["N"] * 3, "weight": [1.0] * 3, "doors": [1] * 3, "late_3d": [0.5] * 3}
    for ds in window(job):
        publish_rows(job, "features", ds, pa.table({**keys, **rest}))
        publish_rows(job, "labels", ds, pa.table({"parcel_id": ["b", "a"], "hour": [1, 2], "hours": [7.0, 8.0]}))
    training_set(job)
    found = left(job)
    assert sets.joined(job.pipeline, found, found.days[0], [])["hours"].to_pylist() == [None, 8.0, 7.0]


def test_column_that_older_days_do_not_have_is_null_there(job: Job) -> None:
    publish(job, window(job)[:10], rows=5)
    document = spec_document()["features"]
    document["columns"]["rain"] = {"type": "category", "nulls": 1.0}
    job = with_spec(job, features=document)
    wide = {"parcel_id": ["a"], "depot": ["N"], "weight": [1.0], "doors": [1], "late_3d": [0.5], "rain": ["wet"]}
    schema = tables.arrow_schema({name: column.type for name, column in job.pipeline.feature_contract.items()})
    for ds in window(job)[10:]:
        publish_rows(job, "features", ds, pa.table(wide, schema=schema))
        publish_rows(job, "labels", ds, pa.table({"parcel_id": ["a"], "hours": [7.0]}))
    training_set(job)
    found = left(job)
    assert sets.joined(job.pipeline, found, found.days[0], ["rain"])["rain"].null_count == 5
    assert sets.categories(job.pipeline, found) == {"depot": ("N", "S", "W"), "rain": ("wet",)}


def test_model_columns_leave_identifiers_out(job: Job) -> None:
    document = spec_document()["features"]
    document["columns"]["parcel_id"] = {"type": "string"}
    job = with_spec(job, features=document)
    assert [column.name for column in sets.model_columns(job.pipeline)] == ["depot", "doors", "late_3d", "weight"]


def test_categories_are_sorted_and_without_null(job: Job) -> None:
    publish(job, window(job), rows=30)
    training_set(job)
    found = left(job)
    depots = tables.read(found.features_table, found.days[0].feature_files, ["depot"])["depot"]
    assert pc.sum(pc.is_null(depots)).as_py() >= 0
    assert sets.categories(job.pipeline, found) == {"depot": ("N", "S", "W")}


def test_days_that_never_got_labels_are_left_out_and_no_limit_counts_them(job: Job) -> None:
    days = window(job)
    publish(job, days[6:], rows=10)
    publish(job, days[:6], rows=10, only=["features"])
    for ds in days[:5]:
        record(job, date.fromisoformat(ds), "not landed")
    job.leave("gate_window", {"blocked": days[6:9], "missing": days[:6]})

    outcome = training_set(job)

    assert job.pipeline.training.max_blocked == 3
    assert job.left("training_set")["refused"] == ""
    assert outcome.counts["unlabelled"] == 5
    assert {day: left(job).left_out[day] for day in days[4:7]} == {
        days[4]: "unlabelled",
        days[5]: "missing",
        days[6]: "blocked",
    }
    assert [day.ds for day in left(job).days] == days[9:]
