"""The booster's parameters: what a spec may say, and what Nightshift says."""

from difflib import get_close_matches
from typing import Any

from nightshift.errors import SpecError
from nightshift.specs.model import Pipeline

# Threads that wait for each other on busy processors made training several times slower, and a number that follows the
# machine could change the order of a sum, and so the bytes of a model. A spec that trains on more rows may say nthread:
# it is part of the fingerprint.
THREADS = 1

OBJECTIVES = {"binary": ("binary:logistic", "logloss"), "regression": ("reg:squarederror", "rmse")}

ALLOWED = frozenset(
    {
        "alpha", "base_score", "colsample_bylevel", "colsample_bynode", "colsample_bytree", "eta", "gamma",
        "grow_policy", "interaction_constraints", "lambda", "learning_rate", "max_bin", "max_delta_step", "max_depth",
        "max_leaves", "min_child_weight", "min_split_loss", "monotone_constraints", "nthread", "num_parallel_tree",
        "reg_alpha", "reg_lambda", "sampling_method", "scale_pos_weight", "subsample",
    }
)  # fmt: skip

PROTECTED = {
    "objective": "label.objective",
    "eval_metric": "label.objective",
    "seed": "training.seed",
    "random_state": "training.seed",
    "n_estimators": "training.rounds",
    "num_boost_round": "training.rounds",
    "early_stopping_rounds": "training.early_stopping",
    "tree_method": "Nightshift: hist, which trains day by day",
    "booster": "Nightshift: gbtree",
    "device": "Nightshift: cpu, whose bytes are the same on every machine",
    "n_jobs": "nthread",
}


def parameters(pipeline: Pipeline) -> dict[str, Any]:
    """XGBoost's parameters for a pipeline. Raises SpecError where the spec names one that is not its to set.

    XGBoost itself only warns of a name that it does not know, so that a typo would train another model.
    """
    for name in pipeline.training.params:
        if name in PROTECTED:
            raise _error(pipeline, f"parameter {name} is decided by {PROTECTED[name]}", f"take {name} out")
        if name not in ALLOWED:
            near = get_close_matches(name, ALLOWED, n=1)
            hint = f"write {near[0]}" if near else f"take {name} out"
            raise _error(pipeline, f"there is no parameter {name}", hint)
    objective, metric = OBJECTIVES[pipeline.label.objective]
    return {
        "nthread": THREADS,
        **pipeline.training.params,
        "objective": objective,
        "eval_metric": metric,
        "seed": pipeline.training.seed,
        "tree_method": "hist",
        "device": "cpu",
        "verbosity": 1,
    }


def _error(pipeline: Pipeline, what: str, do: str) -> SpecError:
    allowed = ", ".join(sorted(ALLOWED))
    return SpecError(what, where=f"{pipeline.name}.yaml: training.params", allowed=allowed, do=do)
