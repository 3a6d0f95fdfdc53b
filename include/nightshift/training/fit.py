"""Boosting over days: bounded memory, and the same bytes for the same rows, parameters and seed. No I/O."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from nightshift.training.split import Split

Matrix = npt.NDArray[np.float32]
ReadDay = Callable[[str], tuple[Matrix, Matrix]]


@dataclass(frozen=True)
class Fitted:
    """Two boosters of one recipe as UBJSON, and the rounds that early stopping found.

    ``evaluated`` never saw the holdout; ``model`` is refitted on all days with the same rounds.
    """

    rounds: int
    evaluated: bytes
    model: bytes


@dataclass(frozen=True)
class Recipe:
    """How to boost: the columns' names, XGBoost's parameters, the greatest number of rounds.

    Boosting ends after ``early_stopping`` rounds without a gain. The fingerprint goes into the model files: models of
    different recipes differ in their SHA-256 even where their trees are the same, so each has a manifest of its own.
    """

    fingerprint: str
    columns: Sequence[str]
    params: Mapping[str, Any]
    rounds: int
    early_stopping: int


class _Days(xgb.DataIter):  # type: ignore[misc]
    """Hands XGBoost one day at a time; it reads all of them four times and keeps a byte or two a value."""

    def __init__(self, days: Sequence[str], read: ReadDay) -> None:
        self._days, self._read, self._next = days, read, 0
        super().__init__()

    def reset(self) -> None:
        self._next = 0

    def next(self, input_data: Callable[..., None]) -> bool:
        while self._next < len(self._days):
            features, labels = self._read(self._days[self._next])
            self._next += 1
            if len(labels):
                input_data(data=features, label=labels)
                return True
        return False


def fit(split: Split, read: ReadDay, recipe: Recipe) -> Fitted:
    """Finds the rounds on ``split.stopping``, then fits the two boosters of a version.

    ``read`` gives a day's matrix of shape (rows, columns) and its labels of shape (rows,), rows without a label
    left out.
    """
    rounds = _rounds(split, read, recipe)
    evaluated = _booster(split.before_holdout, read, recipe.params, rounds)
    model = _booster(split.all, read, recipe.params, rounds)
    return Fitted(rounds, _ubjson(evaluated, recipe), _ubjson(model, recipe))


def _rounds(split: Split, read: ReadDay, recipe: Recipe) -> int:
    matrix = _matrix(split.fit, read, recipe.params)
    stopping = _matrix(split.stopping, read, recipe.params, ref=matrix)
    booster = xgb.train(
        dict(recipe.params),
        matrix,
        num_boost_round=recipe.rounds,
        evals=[(stopping, "stopping")],
        early_stopping_rounds=recipe.early_stopping,
        verbose_eval=False,
    )
    return int(booster.best_iteration) + 1


def _booster(days: Sequence[str], read: ReadDay, params: Mapping[str, Any], rounds: int) -> Any:
    return xgb.train(dict(params), _matrix(days, read, params), num_boost_round=rounds, verbose_eval=False)


def _matrix(days: Sequence[str], read: ReadDay, params: Mapping[str, Any], ref: Any = None) -> Any:
    bins = params.get("max_bin")
    return xgb.QuantileDMatrix(_Days(days, read), ref=ref, nthread=params["nthread"], max_bin=bins)


def _ubjson(booster: Any, recipe: Recipe) -> bytes:
    booster.feature_names = list(recipe.columns)
    booster.set_attr(nightshift_fingerprint=recipe.fingerprint)
    return bytes(booster.save_raw("ubj"))
