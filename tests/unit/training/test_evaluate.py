import numpy as np
import pytest
import xgboost as xgb
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from nightshift.training.evaluate import calibration, calibration_error, importance, metrics

random = np.random.default_rng(3)
PREDICTED = random.random(500)
LABELS = (random.random(500) < PREDICTED).astype(float)


def test_binary_metrics_are_those_of_scikit_learn() -> None:
    found = metrics("binary", LABELS, PREDICTED)
    assert found == {
        "log_loss": pytest.approx(log_loss(LABELS, PREDICTED)),
        "brier": pytest.approx(brier_score_loss(LABELS, PREDICTED)),
        "average_precision": pytest.approx(average_precision_score(LABELS, PREDICTED)),
        "roc_auc": pytest.approx(roc_auc_score(LABELS, PREDICTED)),
        "calibration_error": pytest.approx(calibration_error(calibration(LABELS, PREDICTED))),
    }


def test_regression_metrics() -> None:
    found = metrics("regression", np.array([1.0, 2.0, 6.0]), np.array([1.0, 4.0, 2.0]))
    assert found == {"rmse": pytest.approx(np.sqrt(20 / 3)), "mae": pytest.approx(2.0)}


def test_one_class_leaves_ranking_metrics_out() -> None:
    assert set(metrics("binary", np.zeros(4), np.full(4, 0.2))) == {"log_loss", "brier", "calibration_error"}


def test_calibration_curve_is_that_of_scikit_learn() -> None:
    observed, predicted = calibration_curve(LABELS, PREDICTED, n_bins=10, strategy="quantile")
    curve = calibration(LABELS, PREDICTED)
    assert [item.rows for item in curve] == [50] * 10
    np.testing.assert_allclose([item.observed for item in curve], observed)
    np.testing.assert_allclose([item.predicted for item in curve], predicted)


@pytest.mark.parametrize(("offset", "error"), [(0.0, 0.0), (0.25, 0.25)])
def test_calibration_error(offset: float, error: float) -> None:
    labels = np.tile([0.0, 1.0], 50)
    assert calibration_error(calibration(labels, np.full(100, 0.5 + offset))) == pytest.approx(error)


def test_fewer_rows_than_bins() -> None:
    assert [item.rows for item in calibration(np.array([0.0, 1.0]), np.array([0.1, 0.9]))] == [1, 1]


def test_importance_adds_up() -> None:
    matrix = random.normal(size=(300, 3))
    data = xgb.DMatrix(matrix, label=2 * matrix[:, 1] + matrix[:, 2], feature_names=["noise", "strong", "weak"])
    shares = importance(xgb.train({"max_depth": 2}, data, 10))
    assert list(shares)[:2] == ["strong", "weak"]
    assert sum(shares.values()) == pytest.approx(1)


def test_importance_of_a_model_without_a_split() -> None:
    data = xgb.DMatrix(np.zeros((4, 1)), label=[1, 1, 1, 1], feature_names=["a"])
    assert importance(xgb.train({}, data, 1)) == {}
