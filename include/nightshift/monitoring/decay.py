"""How good a day's predictions were, once its labels are known. Pure, numpy alone.

Every ``monitor`` task computes this, so it does without scikit-learn, whose import takes a second; a test compares
the two.
"""

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

QUALITY = {"binary": ("average_precision", "roc_auc", "log_loss", "brier"), "regression": ("rmse", "mae")}


def evaluate(objective: str, labels: Vector, scores: Vector) -> dict[str, float]:
    """Label mean (the rate of positives where binary), score mean, and every metric of the objective that is defined.

    Both vectors have shape (rows,). Without rows nothing is defined; with labels all equal, average precision and
    ROC AUC are not.
    """
    if not len(labels):
        return {}
    found = {"label_mean": float(labels.mean()), "score_mean": float(scores.mean())}
    if objective == "regression":
        error = scores - labels
        return {**found, "rmse": float(np.sqrt(np.mean(error**2))), "mae": float(np.mean(np.abs(error)))}
    if 0 < labels.sum() < len(labels):
        found |= _ranking(labels, scores)
    return {**found, "log_loss": log_loss(labels, scores), "brier": float(np.mean((scores - labels) ** 2))}


def log_loss(labels: Vector, scores: Vector) -> float:
    """Mean negative log-likelihood in nats; scores of 0 and 1 are moved inwards by the smallest step."""
    step = float(np.finfo(np.float64).eps)
    clipped = np.clip(scores, step, 1 - step)
    return float(-np.mean(labels * np.log(clipped) + (1 - labels) * np.log1p(-clipped)))


def _ranking(labels: Vector, scores: Vector) -> dict[str, float]:
    """Average precision and ROC AUC. Rows of equal score enter together, at one threshold."""
    order = np.argsort(-scores, kind="stable")
    ranked, sorted_scores = labels[order], scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(sorted_scores)), len(ranked) - 1)
    hits = np.cumsum(ranked)[last_of_ties]
    taken = last_of_ties + 1.0
    precision, recall = hits / taken, hits / hits[-1]
    misses = taken - hits
    return {
        "average_precision": float(np.sum(np.diff(recall, prepend=0.0) * precision)),
        "roc_auc": float(np.trapezoid(np.append(0.0, recall), np.append(0.0, misses / misses[-1]))),
    }
