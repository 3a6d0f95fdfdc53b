import json
import warnings

import numpy as np
import pytest
import xgboost as xgb

from nightshift.errors import SpecError
from nightshift.specs.model import Pipeline
from nightshift.training.parameters import ALLOWED, PROTECTED, THREADS, parameters
from tests.conftest import make_pipeline, spec_document


def with_params(**params: object) -> Pipeline:
    return make_pipeline(training={**spec_document()["training"], "params": params})


def test_what_the_spec_says_passes() -> None:
    found = parameters(with_params(max_depth=4, eta=0.1, nthread=7))
    assert found["max_depth"] == 4
    assert found["nthread"] == 7
    assert (found["objective"], found["eval_metric"], found["seed"]) == ("reg:squarederror", "rmse", 1)
    assert parameters(make_pipeline())["nthread"] == THREADS


def test_objective_of_a_binary_label() -> None:
    label = {"column": "late", "objective": "binary", "lag": 1, "inputs": ["deliveries"]}
    found = parameters(make_pipeline(label=label, promotion={"metric": "brier"}))
    assert (found["objective"], found["eval_metric"]) == ("binary:logistic", "logloss")


@pytest.mark.parametrize("name", sorted(PROTECTED))
def test_protected(name: str) -> None:
    with pytest.raises(SpecError) as error:
        parameters(with_params(**{name: 1}))
    assert str(error.value).startswith(
        f"parcels.yaml: training.params: parameter {name} is decided by {PROTECTED[name]}. Allowed: alpha, "
    )


def test_typo_names_the_nearest() -> None:
    with pytest.raises(SpecError) as error:
        parameters(with_params(max_deph=4))
    assert error.value.what == "there is no parameter max_deph"
    assert error.value.do == "write max_depth"


@pytest.mark.parametrize("name", sorted(ALLOWED - {"interaction_constraints", "monotone_constraints"}))
def test_every_allowed_name_is_one_of_xgboost(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    value: object = {"grow_policy": "depthwise", "sampling_method": "uniform", "max_bin": 16}.get(name, 1)
    value = 0.5 if name == "base_score" else value
    data = xgb.DMatrix(np.zeros((4, 1)), label=[0, 1, 0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        booster = xgb.train({"tree_method": "hist", "verbosity": 1, name: value}, data, num_boost_round=1)
    assert json.loads(booster.save_config())
    assert "not used" not in "".join(capfd.readouterr())
