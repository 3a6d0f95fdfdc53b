import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from nightshift.specs.model import Column, Gate, Input, Pipeline, Promotion, Schedule, Training, seconds
from tests.conftest import make_pipeline, spec_document


def _error(model: type, document: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as error:
        model.model_validate_json(json.dumps(document))  # type: ignore[attr-defined]
    return "\n".join(item["msg"].removeprefix("Value error, ") for item in error.value.errors())


def _changed(part: str, **changes: Any) -> dict[str, Any]:
    document = spec_document()
    return {**document, part: {**document[part], **changes}}


SOURCE = {"path": "a/ds={ds}/*.csv", "key": ["id"], "columns": {"id": {"type": "string"}}}


def test_a_pipeline_comes_back_from_its_own_json() -> None:
    pipeline = make_pipeline()
    assert Pipeline.model_validate_json(pipeline.model_dump_json()) == pipeline
    with pytest.raises(ValidationError, match="frozen"):
        pipeline.owner = "me"  # type: ignore[misc]


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("15m", 900), ("6h", 21_600), ("2d", 172_800)])
def test_durations(text: str, value: int) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"type": "string", "min": 1}, "a min or max does not go with type string"),
        ({"type": "boolean", "max": 1}, "a min or max does not go with type boolean"),
        ({"type": "number", "min": 2, "max": 1}, "min 2.0 is greater than max 1.0"),
        ({"type": "number", "min": "2024-01-01"}, "min of type number must be a number"),
        ({"type": "number", "max": "1"}, "max of type number must be a number"),
        ({"type": "date", "min": 1}, "min of type date must be a date"),
        ({"type": "date", "max": "2024-01-01T00:00:00Z"}, "max of type date must be a date"),
        ({"type": "timestamp", "min": "2024-01-01"}, "min of type timestamp must be a timestamp with its offset"),
        (
            {"type": "timestamp", "min": "2024-01-01T00:00:00"},
            "min of type timestamp must be a timestamp with its offset",
        ),
        ({"type": "date", "min": "2024-02-01", "max": "2024-01-01"}, "min 2024-02-01 is greater than max 2024-01-01"),
        ({"type": "integer", "allowed": []}, "allowed is empty: no value would do"),
        ({"type": "number", "allowed": [1]}, "allowed does not go with type number"),
        (
            {"type": "string", "allowed": ["a", 1]},
            "allowed of type string must be text: quote what looks like a number",
        ),
        ({"type": "integer", "allowed": ["1"]}, "allowed of type integer must be integers"),
        ({"type": "number", "nulls": 1.5}, "Input should be less than or equal to 1"),
    ],
)
def test_what_a_column_cannot_say(column: dict[str, Any], words: str) -> None:
    assert _error(Column, column) == words


def test_bounds_have_the_columns_type() -> None:
    number = Column.model_validate_json('{"type": "integer", "min": 0, "max": 5}')
    assert (number.min, number.max) == (0, 5)
    day = Column.model_validate_json('{"type": "date", "min": "2024-01-01"}')
    assert day.min == date(2024, 1, 1)
    moment = Column.model_validate_json('{"type": "timestamp", "max": "2024-01-01T01:00:00+01:00"}')
    assert moment.max == datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"path": "a/*.csv"}, "a path names {ds} once"),
        ({"path": "a/ds={ds}/{ds}.csv"}, "a path names {ds} once"),
        ({"path": "/a/{ds}/*.csv"}, "a path is relative to the landing URI and stays below it"),
        ({"path": "s3://a/{ds}/*.csv"}, "a path is relative to the landing URI and stays below it"),
        ({"path": "a/../../{ds}/*.csv"}, "a path is relative to the landing URI and stays below it"),
        ({"path": "a/*/{ds}/x.csv"}, "a path is folder/…/name; only the last part may hold wildcards"),
        ({"path": "a/{ds}/_x.csv"}, "a path's last part does not begin with . or _: such files are never read"),
        ({"path": "{ds}.csv"}, "a path is folder/…/name; only the last part may hold wildcards"),
        ({"path": "a/{ds}/*"}, "format: csv or parquet is needed, since the path's ending does not say it"),
        ({"snapshot": True, "lookback": 2}, "a snapshot has no lookback or missing"),
        ({"snapshot": True, "missing": {"allow": 1}}, "a snapshot has no lookback or missing"),
        ({"max_age": 3}, "max_age goes with a snapshot"),
        ({"snapshot": True, "lag": 4, "max_age": 3}, "max_age 3 is less than lag 4: no snapshot would ever do"),
        ({"key": ["other"]}, "key: other is not one of id"),
        ({"columns": {"id": {"type": "string"}, "ds": {"type": "date"}}}, "columns.ds: the name is reserved"),
        (
            {"columns": {"id": {"type": "string"}, "DS": {"type": "date"}}},
            "columns.DS: the name is reserved: it differs from ds by case alone",
        ),
        (
            {"snapshot": True, "columns": {"id": {"type": "string"}, "Until": {"type": "date"}}},
            "columns.Until: the name is reserved: it differs from until by case alone",
        ),
        (
            {"snapshot": True, "columns": {"id": {"type": "string"}, "as_of": {"type": "date"}}},
            "columns.as_of: the name is reserved",
        ),
        (
            {"columns": {"id": {"type": "string"}, "Id": {"type": "string"}}},
            "columns.Id: the name differs from id by case alone, and Spark and Delta take them for one",
        ),
        ({"lookback": 100_000}, "Input should be less than or equal to 3660"),
    ],
)
def test_what_an_input_cannot_be(source: dict[str, Any], words: str) -> None:
    assert _error(Input, {**SOURCE, **source}) == words


@pytest.mark.parametrize("name", ["attempt", "Fingerprint", "until", "as_of", "Model", "score"])
def test_a_source_may_have_a_column_that_meets_none_of_ours(name: str) -> None:
    columns = {"id": {"type": "string"}, name: {"type": "string"}}
    assert name in Input.model_validate_json(json.dumps({**SOURCE, "columns": columns})).columns


@pytest.mark.parametrize("name", ["Model", "score", "FINGERPRINT"])
def test_a_key_of_the_spine_meets_the_columns_of_predictions(name: str) -> None:
    document = spec_document()
    columns = document["inputs"]["orders"]["columns"]
    document["inputs"]["orders"]["columns"] = {name: {"type": "string"}, **columns}
    document["features"]["key"] = [name]
    assert _error(Pipeline, document).startswith(f"features.key.{name}: the name is reserved")


@pytest.mark.parametrize(
    ("path", "kind"), [("a/{ds}/*.csv", "csv"), ("a/{ds}/*.csv.gz", "csv"), ("a/{ds}/part.parquet", "parquet")]
)
def test_the_format_follows_from_the_path(path: str, kind: str) -> None:
    assert Input.model_validate_json(json.dumps({**SOURCE, "path": path})).file_format == kind
    assert Input.model_validate_json(json.dumps({**SOURCE, "path": "a/{ds}/x", "format": kind})).file_format == kind


def test_the_partitions_that_features_and_labels_may_read() -> None:
    source = Input.model_validate_json(json.dumps({**SOURCE, "lag": 2, "lookback": 3}))
    read = [date(2024, 2, 27), date(2024, 2, 28), date(2024, 2, 29)]
    assert source.feature_days(date(2024, 3, 2)) == read  # [ds-L-W+1, ds-L]
    assert source.label_days(date(2024, 2, 28), 3) == [date(2024, 2, 28), date(2024, 2, 29)]  # [ds, ds + label lag - L]


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"limit": 0.1}, "limit goes with policy quarantine, not with block"),
        ({"policy": "warn", "limit": 0.1}, "limit goes with policy quarantine, not with warn"),
        ({"expect": [{}]}, "each item of expect is one expectation: {expect_…: {argument: value}}"),
        ({"expect": [{"a": {}, "b": {}}]}, "each item of expect is one expectation: {expect_…: {argument: value}}"),
    ],
)
def test_what_a_gate_cannot_say(gate: dict[str, Any], words: str) -> None:
    assert _error(Gate, gate) == words


def test_the_calendar_of_a_schedule() -> None:
    schedule = {"cutoff": "02:00", "timezone": "Europe/Zurich", "start": "2024-02-01"}
    assert str(Schedule.model_validate_json(json.dumps(schedule)).zone) == "Europe/Zurich"
    assert _error(Schedule, {**schedule, "end": "2024-01-31"}) == "end 2024-01-31 is before start 2024-02-01"
    assert _error(Schedule, {**schedule, "timezone": "Mars"}).startswith("there is no timezone Mars")
    assert _error(Schedule, {**schedule, "timezone": "../etc/passwd"}).startswith("there is no timezone")


def test_a_holdout_leaves_days_to_fit_on() -> None:
    training = {"window": 10, "min_days": 5, "holdout": 3, "rounds": 1}
    assert Training.model_validate_json(json.dumps(training)).early_stopping == 20
    assert _error(Training, {**training, "min_days": 11}) == "min_days 11 is greater than window 10"
    assert _error(Training, {**training, "holdout": 4}) == "holdout 4 leaves fewer than 2 of min_days 5 to fit on"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (
            _changed("features", spine="order"),
            "features.spine: order is not one of orders, deliveries, depots; did you mean orders?",
        ),
        (_changed("features", inputs=["orders", "x"]), "features.inputs: x is not one of orders, deliveries, depots"),
        (_changed("features", inputs=["depots"]), "features.inputs leaves out the spine orders"),
        (
            _changed("features", key=["late_3d"]),
            "features.key (all of it must be in the spine): late_3d is not one of parcel_id, depot, weight",
        ),
        (
            _changed("features", columns={"score": {"type": "number"}, "depot": {"type": "category"}}),
            "features.columns.score: the name is reserved",
        ),
        (
            _changed("features", columns={"hours": {"type": "number"}, "depot": {"type": "category"}}),
            "features.columns.hours: the name is reserved: it is the label's",
        ),
        (
            _changed("features", columns={"Hours": {"type": "number"}, "depot": {"type": "category"}}),
            "features.columns.Hours: the name is reserved: it is the label's",
        ),
        (
            _changed("features", columns={"Fingerprint": {"type": "number"}, "depot": {"type": "category"}}),
            "features.columns.Fingerprint: the name is reserved: it differs from fingerprint by case alone",
        ),
        (
            _changed("features", columns={"Depot": {"type": "category"}, "depot": {"type": "category"}}),
            "features.columns.depot: the name differs from Depot by case alone, and Spark and Delta take them for one",
        ),
        (
            _changed("features", columns={"Parcel_Id": {"type": "category"}, "depot": {"type": "category"}}),
            "features.columns.Parcel_Id: the name differs from parcel_id by case alone, "
            "and Spark and Delta take them for one",
        ),
        (
            _changed("features", columns={"depot": {"type": "string"}}),
            "features.columns.depot.type: a feature is category, integer, number or boolean, not string",
        ),
        (_changed("label", inputs=["x"]), "label.inputs: x is not one of orders, deliveries, depots"),
        (_changed("label", lag=0), "label.lag 0 is less than the lag 1 of deliveries"),
        (_changed("label", column="model"), "label.column: the name model is reserved, whatever its case"),
        (_changed("label", column="Score"), "label.column: the name Score is reserved, whatever its case"),
        (_changed("label", column="parcel_id"), "label.column: the name parcel_id is reserved, whatever its case"),
        (_changed("label", column="Parcel_ID"), "label.column: the name Parcel_ID is reserved, whatever its case"),
        (
            _changed("label", objective="binary"),
            "promotion.metric rmse does not go with objective binary; "
            "allowed: log_loss, average_precision, roc_auc, brier",
        ),
        (
            _changed("promotion", baseline=["door"]),
            "promotion.baseline: door is not one of depot, weight, doors, late_3d, parcel_id; did you mean doors?",
        ),
    ],
)
def test_references_within_a_pipeline_hold(document: dict[str, Any], words: str) -> None:
    assert _error(Pipeline, document) == words


def test_all_wrong_references_are_said_at_once() -> None:
    document = _changed("features", spine="order")
    document["label"] = {**document["label"], "inputs": ["y"]}
    assert len(_error(Pipeline, document).splitlines()) == 2


def test_what_features_and_labels_read() -> None:
    pipeline = make_pipeline()
    assert list(pipeline.feature_inputs) == ["orders", "deliveries", "depots"]
    assert list(pipeline.label_inputs) == ["deliveries"]
    some = Pipeline.model_validate_json(json.dumps(_changed("features", inputs=["orders"])))
    assert list(some.feature_inputs) == ["orders"]
    assert (pipeline.inputs["deliveries"].absent_allowed, pipeline.inputs["orders"].absent_allowed) == (1, 0)


def test_key_types_come_from_the_features_or_the_spine() -> None:
    assert make_pipeline().key_types == {"parcel_id": "string"}
    columns = {"hour": {"type": "integer"}, "depot": {"type": "category"}}
    features = {"key": ["hour"], "columns": columns}
    document = {**spec_document(), "features": features}
    assert Pipeline.model_validate_json(json.dumps(document)).key_types == {"hour": "integer"}


def test_a_module_may_serve_several_pipelines() -> None:
    assert make_pipeline().module == "parcels"
    assert Pipeline.model_validate_json(json.dumps(_changed("features", module="shared"))).module == "shared"


@pytest.mark.parametrize("name", ["Parcels", "a__b", "_a", "a_", "1a", "a-b", "a" * 61, "a\n"])
def test_names_are_safe_in_paths_dags_and_urls(name: str) -> None:
    with pytest.raises(ValidationError):
        make_pipeline(pipeline=name)


def test_a_rule_asks_for_no_negative_skill() -> None:
    assert _error(Promotion, {"metric": "rmse", "skill": -0.1}) == "Input should be greater than or equal to 0"
