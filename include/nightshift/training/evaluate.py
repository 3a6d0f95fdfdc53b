"""How good predictions are: metrics and the calibration curve. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Bin:
    """Rows with neighbouring predictions: how many, their mean prediction and their mean label."""

    rows: int
    predicted: float
    observed: float


def metrics(objective: str, labels: Vector, predictions: Vector) -> dict[str, float]:
    """Every metric of an objective by name; both vectors have shape (rows,), at least one row.

    Binary: ``average_precision``, ``roc_auc``, ``log_loss`` (nats), ``brier``, ``calibration_error``; the first two
    are not defined, and left out, where all labels are equal. Regression: ``rmse``, ``mae`` in units of the label.
    """
    from sklearn import metrics as sk

    if objective == "regression":
        error = predictions - labels
        return {"rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
    found = {
        "log_loss": float(sk.log_loss(labels, predictions, labels=[0, 1])),
        "brier": float(np.mean((predictions - labels) ** 2)),
        "calibration_error": calibration_error(calibration(labels, predictions)),
    }
    if len(np.unique(labels)) > 1:
        found["average_precision"] = float(sk.average_precision_score(labels, predictions))
        found["roc_auc"] = float(sk.roc_auc_score(labels, predictions))
    return found


def calibration(labels: Vector, predictions: Vector, bins: int = CALIBRATION_BINS) -> tuple[Bin, ...]:
    """The calibration curve: rows sorted by prediction and cut into ``bins`` parts of equal size, ascending."""
    order = np.argsort(predictions, kind="stable")
    parts = (part for part in np.array_split(order, bins) if len(part))
    return tuple(Bin(len(part), float(predictions[part].mean()), float(labels[part].mean())) for part in parts)


def calibration_error(curve: tuple[Bin, ...]) -> float:
    """The expected calibration error: the mean over rows of a bin's |mean prediction - mean label|.

    (M. P. Naeini, G. F. Cooper, M. Hauskrecht, AAAI 2015; here with bins of equal size.)
    """
    rows = sum(item.rows for item in curve)
    return float(sum(item.rows * abs(item.predicted - item.observed) for item in curve) / rows)


def importance(booster: Any) -> Mapping[str, float]:
    """The total gain of each column that the booster splits on, as a fraction of all gain, greatest first."""
    gain = booster.get_score(importance_type="total_gain")
    whole = sum(gain.values())
    return {name: value / whole for name, value in sorted(gain.items(), key=lambda item: (-item[1], item[0]))}
