"""A model and a batch of features give a batch of predictions. Pure; what is here decides what a score is."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xgboost as xgb

from nightshift.errors import ModelMismatch
from nightshift.model_manifest import FeatureColumn, encode


def load_model(content: bytes, columns: tuple[FeatureColumn, ...], threads: int, where: str = "") -> Any:
    """The booster in a UBJSON file. Raises ModelMismatch where it does not have these columns in this order."""
    try:
        booster = xgb.Booster(params={"nthread": threads}, model_file=bytearray(content))
    except xgb.core.XGBoostError as error:
        raise ModelMismatch("the model file cannot be read", where=where, do="register the model again") from error
    names = [column.name for column in columns]
    there = booster.feature_names
    if booster.num_features() != len(names) or (there is not None and list(there) != names):
        raise ModelMismatch(
            f"the model has {booster.num_features()} columns{_first_difference(there, names)}, the plan {len(names)}",
            where=where,
            do="clear plan_scoring; where that gives the same error, retrain",
        )
    return booster


def score(
    booster: Any,
    batch: pa.RecordBatch,
    columns: tuple[FeatureColumn, ...],
    categories: Mapping[str, tuple[str, ...]],
) -> npt.NDArray[np.float64]:
    """The scores of a batch's rows, shape (rows,): probabilities of a binary model, values of a regression."""
    if batch.num_rows == 0:
        return np.empty(0, dtype=np.float64)
    found = booster.inplace_predict(encode(batch, columns, categories))
    return np.asarray(found, dtype=np.float64)


def predictions(
    batch: pa.RecordBatch, scores: npt.NDArray[np.float64], model_digits: str, schema: pa.Schema
) -> pa.RecordBatch:
    """Key columns, score and model, typed by ``schema``, whose last two columns are score and model."""
    keys = [batch.column(name).cast(schema.field(name).type) for name in schema.names[:-2]]
    model = pa.repeat(pa.scalar(model_digits, pa.string()), batch.num_rows)
    return pa.RecordBatch.from_arrays([*keys, pa.array(scores, pa.float64()), model], schema=schema)


def _first_difference(there: list[str] | None, names: list[str]) -> str:
    pairs = zip(there or [], names, strict=False)
    return next((f" ({a} where the plan has {b})" for a, b in pairs if a != b), "")
