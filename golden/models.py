"""Golden rows of training and scoring, on one small set of features."""

from typing import Any

import numpy as np
import pyarrow as pa

from nightshift.model_manifest import FeatureColumn, encode
from nightshift.scoring.score import load_model, predictions, score
from nightshift.training.fit import Fitted, Recipe, fit
from nightshift.training.split import split

COLUMNS = tuple(FeatureColumn(*item) for item in [("depot", "category"), ("weight", "number"), ("late", "boolean")])
CATEGORIES = {"depot": ("N", "S")}
PARAMS: dict[str, Any] = {"objective": "binary:logistic", "max_depth": 2, "eta": 0.5, "seed": 1, "nthread": 1,
                          "tree_method": "hist", "max_bin": 16}  # fmt: skip


def batch(count: int = 40) -> pa.RecordBatch:
    """Features with nulls and a category that no model knows."""
    numbers = range(count)
    depots = [("N", "S", "W", None)[number % 4] for number in numbers]
    weights = [None if number % 7 == 3 else number * 1.25 for number in numbers]
    return pa.record_batch(
        {"id": [f"p{n}" for n in numbers], "depot": depots, "weight": weights, "late": [n % 3 == 0 for n in numbers]}
    )


def trained() -> list[Any]:
    """The split of some days, the rounds, and the scores of both boosters."""
    found = _fitted()
    scores = [_scores(content) for content in (found.evaluated, found.model)]
    return [vars(split([f"2024-03-{day:02}" for day in range(1, 21)], 5)), found.rounds, scores]


def scored() -> list[Any]:
    """The matrix, and the rows of predictions."""
    rows = batch(9)
    matrix = encode(rows, COLUMNS, CATEGORIES)
    schema = pa.schema({"id": pa.string(), "score": pa.float64(), "model": pa.string()})
    found = predictions(rows, np.array(_scores(_fitted().model, 9)), "m", schema)
    return [str(matrix.dtype), matrix.tolist(), found.to_pylist()]


def _fitted() -> Fitted:
    rows = batch()
    labels = np.array([float(number % 4 == 1 or number > 25) for number in range(rows.num_rows)], np.float32)
    matrix, days = encode(rows, COLUMNS, CATEGORIES), [f"2024-03-{day:02}" for day in range(1, 9)]

    def read(ds: str) -> tuple[Any, Any]:
        part = slice(5 * days.index(ds), 5 * days.index(ds) + 5)
        return matrix[part], labels[part]

    return fit(split(days, 2), read, Recipe("f", [column.name for column in COLUMNS], PARAMS, 6, 3))


def _scores(content: bytes, count: int = 40) -> list[float]:
    found = score(load_model(content, COLUMNS, 1), batch(count), COLUMNS, CATEGORIES)
    return [round(float(value), 4) for value in found]
