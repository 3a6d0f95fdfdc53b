import math
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.registry.champions import champion_as_of
from nightshift.registry.effective import next_ds
from nightshift.registry.ledger import Entry, Ledger
from nightshift.registry.promotion import (
    DIRECTIONS,
    Decision,
    decide,
    improvement,
    live_decision,
    record_decision,
    refused,
)
from nightshift.specs.model import METRICS, Promotion
from tests.conftest import make_pipeline
from tests.unit.registry.entries import entry

PIPELINE = make_pipeline()
D = date(2024, 2, 20)
GOOD = Decision(promote=True, reasons=("it is better",), details={"challenger": 1.5})
BAD = Decision(promote=False, reasons=("it is worse", "by far"), details={"challenger": 9.5})


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


# ---- what is recorded


def record(ledger: Ledger, decision: Decision, version: str = "1", **changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "version": version,
        "model_sha256": f"sha-{version}" if version else "",
        "run_id": "run-1",
        "actor": "retrain",
        "history": True,
    }
    as_of = changes.pop("as_of", D)
    return record_decision(ledger, PIPELINE, as_of, decision, **{**fields, **changes})


def test_a_promotion_while_history_is_rebuilt_counts_from_the_next_day(ledger: Ledger) -> None:
    found = record(ledger, GOOD, details={"champion_version": "7"})
    assert (found.kind, found.as_of, found.effective_from) == ("promotion", D, D + timedelta(days=1))
    assert (found.version, found.model_sha256, found.actor) == ("1", "sha-1", "retrain")
    assert found.reason == "it is better"
    assert found.details == {"challenger": 1.5, "champion_version": "7", "history": True, "run_id": "run-1"}
    assert found.pipeline == "parcels"


def test_a_live_promotion_counts_from_the_first_cutoff_after_it_was_recorded(ledger: Ledger) -> None:
    found = record(ledger, GOOD, history=False)
    assert found.effective_from == next_ds(PIPELINE.schedule, found.recorded_at) > D + timedelta(days=1)
    assert champion_as_of(ledger.entries("parcels"), D + timedelta(days=1)) is None


def test_a_refusal_has_no_effective_date_and_all_reasons(ledger: Ledger) -> None:
    found = record(ledger, BAD)
    assert (found.kind, found.effective_from, found.reason) == ("refusal", None, "it is worse; by far")


def test_a_refusal_without_a_challenger(ledger: Ledger) -> None:
    found = record(ledger, refused("5 days are fewer than min_days 6", days=5), version="")
    assert (found.kind, found.version, found.model_sha256) == ("refusal", "", "")
    assert found.reason == "5 days are fewer than min_days 6"
    assert found.details["days"] == 5


def test_an_approved_promotion_is_an_approval_by_its_person(ledger: Ledger) -> None:
    found = record(ledger, GOOD, actor="ada", approved=True)
    assert (found.kind, found.actor, found.effective_from) == ("approval", "ada", D + timedelta(days=1))
    champion = champion_as_of(ledger.entries("parcels"), D + timedelta(days=1))
    assert champion is not None
    assert champion.version == "1"


def test_a_retry_records_nothing_new_and_another_decision_does(ledger: Ledger) -> None:
    first = record(ledger, GOOD)
    assert record(ledger, GOOD) == first
    assert record(ledger, BAD).seq == 2
    assert record(ledger, GOOD, run_id="run-2").seq == 3
    assert record(ledger, GOOD, version="2").seq == 4
    assert record(ledger, GOOD, as_of=D + timedelta(days=1)).seq == 5


@pytest.mark.parametrize("live", [GOOD, BAD])
def test_a_date_with_a_live_decision_is_recorded_but_not_decided_again(ledger: Ledger, live: Decision) -> None:
    record(ledger, live, history=False)
    before = ledger.entries("parcels")
    again = record(ledger, GOOD, version="2", run_id="backfill")
    assert (again.kind, again.effective_from, again.version) == ("rerun", None, "2")
    assert again.reason == ("2024-02-20 keeps its live decision, entry 1; this rerun would be promoted: it is better")
    worse = record(ledger, BAD, version="3", run_id="backfill")
    assert worse.reason.endswith("this rerun would be refused: it is worse; by far")
    days = [D + timedelta(days=number) for number in range(-3, 4000, 500)]
    for day in days:
        assert champion_as_of(ledger.entries("parcels"), day) == champion_as_of(before, day)


def test_the_retry_of_a_live_decision_is_not_its_rerun(ledger: Ledger) -> None:
    first = record(ledger, GOOD, history=False)
    assert record(ledger, GOOD, history=False) == first
    assert len(ledger.entries()) == 1


def test_a_date_decided_while_history_was_rebuilt_is_decided_again(ledger: Ledger) -> None:
    record(ledger, GOOD)
    assert record(ledger, GOOD, version="2", run_id="run-2").kind == "promotion"
    champion = champion_as_of(ledger.entries("parcels"), D + timedelta(days=1))
    assert champion is not None
    assert champion.version == "2"


def test_of_two_live_decisions_at_once_one_is_a_rerun(ledger: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        kinds = list(pool.map(lambda run: record(ledger, GOOD, history=False, run_id=str(run)).kind, range(6)))
    assert sorted(kinds) == ["promotion", *["rerun"] * 5]


def test_a_live_decision_is_one_of_that_date_and_no_rerun() -> None:
    live, history = {"history": False}, {"history": True}
    entries = [
        entry(1, "promotion", 3, as_of=D, details=history),
        entry(2, "rerun", None, as_of=D, details=live),
        entry(3, "rollback", 3, as_of=D, details=live),
        entry(4, "refusal", None, as_of=D - timedelta(days=1), details=live),
        entry(5, "promotion", 3, as_of=D),
    ]
    assert live_decision(entries, D) is None
    refusal = entry(6, "refusal", None, as_of=D, details=live)
    assert live_decision([*entries, refusal], D) is refusal
