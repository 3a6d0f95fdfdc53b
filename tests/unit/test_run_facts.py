"""Every combination of what may be known of a run has one state, and none that is less than it says is plainly OK."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.run_facts import RunFacts
from nightshift.run_state import RunState
from nightshift.steps import STEPS

AIRFLOW = ("", "queued", "running", "success", "failed")
BOTH = (False, True)
KNOWN = [
    RunFacts(*values)
    for values in product(AIRFLOW, BOTH, BOTH, BOTH, BOTH, BOTH, BOTH, (None, False, True), BOTH, BOTH)
]

STEP = st.fixed_dictionaries(
    {
        "step": st.sampled_from(list(STEPS)),
        "status": st.sampled_from(["done", "up_to_date", "nothing", "failed"]),
        "warnings": st.lists(st.just("a warning"), max_size=1),
        "counts": st.dictionaries(st.just("warnings"), st.floats(0, 2), max_size=1),
    }
)


def test_every_combination_has_one_state() -> None:
    assert {type(facts.state) for facts in KNOWN} == {RunState}
    assert {facts.state for facts in KNOWN} == set(RunState)


def test_what_is_warned_of_failed_damaged_or_not_published_is_never_plainly_ok() -> None:
    plain = [facts for facts in KNOWN if facts.state == RunState.OK]
    assert plain
    for facts in plain:
        assert not any((facts.warned, facts.failed, facts.damaged, facts.outside))
        assert facts.published is not False
        assert facts.airflow in ("", "success")


def test_only_a_run_that_goes_on_runs_and_a_paused_one_does_not() -> None:
    for facts in KNOWN:
        if facts.airflow in ("queued", "running"):
            assert facts.state in (RunState.WAITING, RunState.RUNNING, RunState.PAUSED)
            assert (facts.state == RunState.PAUSED) == facts.paused
        elif facts.airflow:
            assert facts.state not in (RunState.WAITING, RunState.RUNNING, RunState.PAUSED)


@given(st.lists(STEP, max_size=6), st.sampled_from(AIRFLOW), st.sampled_from([None, False, True]), st.booleans())
def test_of_what_steps_said_a_warning_or_a_failure_is_never_plainly_ok(
    said: list[dict[str, Any]], airflow: str, published: bool | None, warned: bool
) -> None:
    facts = RunFacts.of(said, airflow=airflow, published=published, warned=warned)
    if facts.state == RunState.OK:
        assert not warned
        assert not any(step["status"] == "failed" or step["warnings"] for step in said)
        assert not any(step["counts"].get("warnings") for step in said)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (RunFacts(), "WAITING"),
        (RunFacts(paused=True), "PAUSED"),
        (RunFacts(outside=True), "SKIPPED"),
        (RunFacts("queued"), "WAITING"),
        (RunFacts("running", waits=True), "WAITING"),
        (RunFacts("running", failed=True), "RUNNING"),
        (RunFacts("running", paused=True), "PAUSED"),
        (RunFacts("success", paused=True, published=True), "OK"),
        (RunFacts("success", warned=True, published=True), "OK with warnings"),
        (RunFacts("success", failed=True, published=True), "OK with warnings"),  # marked as a success
        (RunFacts("success", failed=True, published=False), "FAILED"),
        (RunFacts("success", published=False), "FAILED"),
        (RunFacts("success", outside=True, published=False), "SKIPPED"),
        (RunFacts("failed", published=True), "FAILED"),
        (RunFacts("", begun=True), "RUNNING"),
        (RunFacts("", begun=True, published=True), "OK"),
        (RunFacts("", begun=True, failed=True, published=True), "FAILED"),
    ],
)
def test_states_by_example(facts: RunFacts, state: str) -> None:
    assert facts.state == state
