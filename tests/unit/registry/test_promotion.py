import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.registry.promotion import DIRECTIONS, Decision, decide, improvement
from nightshift.specs.model import METRICS, Promotion


def rule(metric: str = "log_loss", **changes: float) -> Promotion:
    return Promotion.model_validate({"metric": metric, **changes})


def test_every_metric_of_the_spec_has_a_direction() -> None:
    assert set(DIRECTIONS) == {metric for metrics in METRICS.values() for metric in metrics}
    higher = {metric for metric, direction in DIRECTIONS.items() if direction == "higher"}
    assert higher == {"average_precision", "roc_auc"}


# ---- the rule


def test_a_better_challenger_is_promoted_with_sentences_and_numbers() -> None:
    assert decide(rule(), challenger=0.412, champion=0.425, baseline=0.5) == Decision(
        promote=True,
        reasons=(
            "log_loss 0.412 is 17.6 % better than the baseline's 0.5 (needed: more than 0 %)",
            "log_loss 0.412 is 3.06 % better than the champion's 0.425 (needed: at least 0 %)",
        ),
        details={
            "metric": "log_loss",
            "challenger": 0.412,
            "champion": 0.425,
            "baseline": 0.5,
            "skill": pytest.approx(0.176),
            "skill_needed": 0.0,
            "improvement": pytest.approx(0.03059, rel=1e-3),
            "improvement_needed": 0.0,
        },
    )


def test_the_first_champion_needs_skill_alone() -> None:
    found = decide(rule("average_precision"), challenger=0.3, champion=None, baseline=0.2)
    assert found.promote
    assert found.reason == (
        "average_precision 0.3 is 50 % better than the baseline's 0.2 (needed: more than 0 %); "
        "there is no champion to compare with"
    )
    assert found.details["champion"] is None
    assert "improvement" not in found.details


def test_a_model_without_skill_is_refused_however_much_better_than_the_champion() -> None:
    found = decide(rule("rmse"), challenger=2.0, champion=200.0, baseline=1.6)
    assert not found.promote
    assert found.reasons == (
        "rmse 2 is 25 % worse than the baseline's 1.6 (needed: more than 0 %)",
        "rmse 2 is 99 % better than the champion's 200 (needed: at least 0 %)",
    )


@pytest.mark.parametrize(
    ("changes", "challenger", "champion", "baseline", "promote"),
    [
        ({}, 0.5, None, 0.5, False),  # equal to the baseline is no skill
        ({}, 0.4, 0.4, 0.5, True),  # equal to the champion is good enough
        ({"improvement": 0.25}, 0.375, 0.5, 1.0, True),
        ({"improvement": 0.25}, 0.376, 0.5, 1.0, False),
        ({"improvement": -0.25}, 0.625, 0.5, 1.0, True),
        ({"improvement": -0.25}, 0.626, 0.5, 1.0, False),
        ({"skill": 0.5}, 0.5, None, 1.0, False),
        ({"skill": 0.5}, 0.499, None, 1.0, True),
    ],
)
def test_what_the_rule_asks_for(
    changes: dict[str, float], challenger: float, champion: float | None, baseline: float, promote: bool
) -> None:
    assert decide(rule(**changes), challenger=challenger, champion=champion, baseline=baseline).promote is promote


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["challenger", "champion", "baseline"])
def test_what_is_no_number_is_refused(name: str, bad: float) -> None:
    values: dict[str, Any] = {"challenger": 0.1, "champion": 0.2, "baseline": 0.3, name: bad}
    found = decide(rule(), **values)
    assert not found.promote
    assert found.reasons == (f"the {name}'s log_loss is {bad}, which cannot be compared",)
    assert found.details[name] == str(bad)


def test_a_perfect_reference() -> None:
    found = decide(rule("roc_auc"), challenger=0.5, champion=0.5, baseline=0.0)
    assert found.promote
    assert found.reasons == (
        "roc_auc 0.5 is infinitely better than the baseline's 0 (needed: more than 0 %)",
        "roc_auc 0.5 equals the champion's 0.5 (needed: at least 0 %)",
    )
    assert found.details["skill"] == "inf"
    assert decide(rule(), challenger=0.0, champion=0.0, baseline=0.1).promote
    assert not decide(rule(), challenger=0.1, champion=0.0, baseline=1.0).promote


FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.sampled_from(sorted(DIRECTIONS)), FINITE, FINITE)
def test_improvement_has_the_sign_of_the_comparison(metric: str, value: float, reference: float) -> None:
    gain = improvement(metric, value, reference)
    better = value < reference if DIRECTIONS[metric] == "lower" else value > reference
    assert (gain > 0) <= better
    assert (gain < 0) <= (not better and value != reference)
    assert improvement(metric, reference, reference) == 0


@given(st.sampled_from(sorted(DIRECTIONS)), st.floats(), st.none() | st.floats(), st.floats(), st.floats(0, 1), FINITE)
def test_the_rule_answers_for_every_number_and_its_details_are_json(
    metric: str, challenger: float, champion: float | None, baseline: float, skill: float, needed: float
) -> None:
    import json

    asked = rule(metric, skill=skill, improvement=needed)
    found = decide(asked, challenger=challenger, champion=champion, baseline=baseline)
    assert json.loads(json.dumps(found.details, allow_nan=False)) == found.details
    assert found.reasons
    if found.promote:
        assert improvement(metric, challenger, baseline) > skill
        assert champion is None or improvement(metric, challenger, champion) >= needed
