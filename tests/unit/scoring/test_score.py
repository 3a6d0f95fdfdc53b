"""Scores of batches: equal to XGBoost's own on the whole matrix, whatever the batches are."""

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st

from nightshift.errors import ModelMismatch
from nightshift.model_manifest import FeatureColumn, encode
from nightshift.scoring.score import load_model, predictions, score
from nightshift.tables import arrow_schema
from tests.unit.scoring.parcels import CATEGORIES, COLUMNS, features, train

MODEL = train()
ROWS = features(300)


def test_scores_are_the_boosters_own() -> None:
    booster = load_model(MODEL, COLUMNS, threads=1)
    names = [column.name for column in COLUMNS]
    whole = xgb.Booster(model_file=bytearray(MODEL))
    expected = whole.predict(xgb.DMatrix(encode(ROWS, COLUMNS, CATEGORIES), feature_names=names))
    found = np.concatenate([score(booster, batch, COLUMNS, CATEGORIES) for batch in ROWS.to_batches(max_chunksize=64)])
    np.testing.assert_array_equal(found, expected.astype(np.float64))
    assert found.dtype == np.float64


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(ROWS.schema.names), size=st.integers(1, 300))
def test_neither_column_order_nor_batch_size_changes_a_score(order: list[str], size: int) -> None:
    booster = load_model(MODEL, COLUMNS, threads=1)
    expected = score(booster, ROWS.to_batches()[0], COLUMNS, CATEGORIES)
    batches = ROWS.select(order).to_batches(max_chunksize=size)
    found = np.concatenate([score(booster, batch, COLUMNS, CATEGORIES) for batch in batches])
    np.testing.assert_array_equal(found, expected)


@given(words=st.lists(st.sampled_from(["N", "S", "new", None])))
def test_a_category_read_as_a_dictionary_has_the_same_numbers(words: list[str | None]) -> None:
    column, plain = (FeatureColumn("depot", "category"),), pa.array(words, pa.string())
    rows = [pa.record_batch({"depot": values}) for values in (plain, plain.dictionary_encode())]
    found = [encode(batch, column, CATEGORIES)[:, 0] for batch in rows]
    expected = [{"N": 0.0, "S": 1.0}.get(word or "", np.nan) for word in words]
    for numbers in found:
        np.testing.assert_array_equal(numbers, np.array(expected, dtype=np.float32))


def test_an_empty_batch_has_no_scores() -> None:
    booster = load_model(MODEL, COLUMNS, threads=1)
    assert score(booster, pa.RecordBatch.from_pylist([], schema=ROWS.schema), COLUMNS, CATEGORIES).shape == (0,)


def test_a_missing_column_is_named() -> None:
    booster = load_model(MODEL, COLUMNS, threads=1)
    with pytest.raises(ModelMismatch, match="the rows have no column doors"):
        score(booster, ROWS.drop_columns("doors").to_batches()[0], COLUMNS, CATEGORIES)


def test_columns_in_another_order_are_refused() -> None:
    swapped = (COLUMNS[1], COLUMNS[0], *COLUMNS[2:])
    with pytest.raises(ModelMismatch) as caught:
        load_model(MODEL, swapped, threads=1, where="m.ubj")
    assert str(caught.value) == (
        "m.ubj: the model has 4 columns (depot where the plan has weight), the plan 4. "
        "What to do: clear plan_scoring; where that gives the same error, retrain."
    )


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(ModelMismatch, match="the model has 4 columns, the plan 5"):
        load_model(MODEL, (*COLUMNS, FeatureColumn("more", "number")), threads=1)


def test_what_is_not_a_model_is_refused() -> None:
    with pytest.raises(ModelMismatch, match=r"m\.ubj: the model file cannot be read"):
        load_model(b"{", COLUMNS, threads=1, where="m.ubj")


def test_predictions_have_key_score_and_model() -> None:
    batch = ROWS.slice(0, 2).to_batches()[0]
    schema = arrow_schema({"parcel_id": "string", "score": "number", "model": "string"})
    found = predictions(batch, np.array([0.5, 1.5]), "0" * 16, schema)
    assert found.schema == schema
    assert found.to_pylist() == [
        {"parcel_id": "p00000000", "score": 0.5, "model": "0" * 16},
        {"parcel_id": "p00000001", "score": 1.5, "model": "0" * 16},
    ]
