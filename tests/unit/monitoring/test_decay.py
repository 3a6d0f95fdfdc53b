"""The metrics agree with scikit-learn's, with ties and at the edges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from nightshift.metrics import METRICS
from nightshift.monitoring.decay import QUALITY, evaluate
from nightshift.specs.model import METRICS as ALLOWED

ROWS = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])), min_size=1, max_size=60)


@given(ROWS)
def test_binary_metrics_are_scikit_learns(rows: list[tuple[bool, float]]) -> None:
    labels = np.array([float(label) for label, _ in rows])
    scores = np.array([score for _, score in rows])
    found = evaluate("binary", labels, scores)
    expected = {
        "label_mean": labels.mean(),
        "score_mean": scores.mean(),
        "log_loss": sk.log_loss(labels, scores, labels=[0, 1]),
        "brier": sk.brier_score_loss(labels, scores, pos_label=1),
    }
    if len(set(labels)) == 2:
        expected["average_precision"] = sk.average_precision_score(labels, scores)
        expected["roc_auc"] = sk.roc_auc_score(labels, scores)
    assert found == pytest.approx(expected)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=40))
def test_regression_metrics_are_scikit_learns(rows: list[tuple[float, float]]) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    expected = {
        "label_mean": labels.mean(),
        "score_mean": scores.mean(),
        "rmse": sk.root_mean_squared_error(labels, scores),
        "mae": sk.mean_absolute_error(labels, scores),
    }
    assert evaluate("regression", labels, scores) == pytest.approx(expected)


def test_without_rows_nothing_is_defined() -> None:
    assert evaluate("binary", np.array([]), np.array([])) == {}
    assert evaluate("regression", np.array([]), np.array([])) == {}


def test_every_metric_of_quality_is_one_of_the_specs_and_is_emitted() -> None:
    assert {kind: set(names) for kind, names in QUALITY.items()} == {
        kind: set(names) for kind, names in ALLOWED.items()
    }
    assert {name for names in QUALITY.values() for name in names} <= set(METRICS)
