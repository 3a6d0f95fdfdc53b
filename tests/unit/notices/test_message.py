"""A notice says state, pipeline, day, first cause, next command and link, in lines that nothing can break."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.notices.message import message, over
from nightshift.notices.trouble import LONGEST, Trouble, by_fault, first_line, kind
from nightshift.run_state import RunState
from nightshift.specs.notify import EVENTS

TEXT = st.text(max_size=60)
NAMES = st.from_regex(r"[a-z]{1,8}(_[a-z]{1,8})?", fullmatch=True)
TROUBLES = st.builds(
    Trouble,
    events=st.lists(st.sampled_from(EVENTS), min_size=1, unique=True).map(tuple),
    state=st.sampled_from(RunState),
    pipeline=NAMES,
    dag=NAMES,
    ds=st.dates().map(str),
    cause=TEXT,
    next=st.just("nightshift diagnose"),
    link=st.sampled_from(["", "http://127.0.0.1/page"]),
    night=st.dates().map(str),
    owner=TEXT,
)


def trouble(pipeline: str = "parcels", ds: str = "2024-03-01", **changes: Any) -> Trouble:
    facts: dict[str, Any] = {
        "events": ("FAILED",),
        "state": RunState.FAILED,
        "pipeline": pipeline,
        "dag": pipeline,
        "ds": ds,
        "cause": f"gate_inputs: {pipeline} orders of {ds}: 3 of 90 rows have no key",
        "next": f"nightshift diagnose {pipeline} --ds {ds}",
        "link": "http://127.0.0.1:8080/nightshift/runs/x",
        "night": ds,
        "owner": "logistics",
    }
    return Trouble(**{**facts, **changes})


def test_a_message_by_example() -> None:
    told = message([trouble(), trouble("letters"), trouble("post")])
    assert told.title == (
        "[FAILED] parcels 2024-03-01 and 2 more: gate_inputs: parcels orders of 2024-03-01: 3 of 90 rows have no key"
    )
    assert told.body.splitlines() == [
        "State: FAILED",
        "Pipeline: parcels (owner: logistics)",
        "Business day: 2024-03-01",
        "First cause: gate_inputs: parcels orders of 2024-03-01: 3 of 90 rows have no key",
        "Next: nightshift diagnose parcels --ds 2024-03-01",
        "Look: http://127.0.0.1:8080/nightshift/runs/x",
        "The same of: letters 2024-03-01, post 2024-03-01",
    ]
    assert told.weight == "failure"
    assert over([trouble()]).title.startswith("[over] parcels 2024-03-01: ")
    assert over([trouble()]).weight == "success"


@given(st.lists(TROUBLES, min_size=1, max_size=15))
def test_a_message_has_every_part_once_and_no_line_is_anothers(troubles: list[Trouble]) -> None:
    for told in (message(troubles), over(troubles)):
        lines = told.body.splitlines()
        heads = [line.partition(":")[0] for line in lines]
        assert len(heads) == len(set(heads))
        assert {"Pipeline", "Business day", "First cause"} <= set(heads)
        assert all(line.isprintable() for line in lines)
        assert told.title.isprintable()
        assert len(told.title) <= 160
    assert f"State: {troubles[0].state}" in message(troubles).body.splitlines()


@given(st.text())
def test_the_first_line_is_one_of_a_bounded_length_and_stays_what_it_is(text: str) -> None:
    line = first_line(text)
    assert len(line) <= LONGEST
    assert line.isprintable()
    assert first_line(line) == line


@given(NAMES, NAMES, st.dates(), st.dates(), st.integers(0), st.integers(0))
def test_pipelines_that_fail_alike_have_one_kind_of_cause(
    one: str, other: str, day: object, another: object, few: int, many: int
) -> None:
    assert kind(f"score: {one} {day}: {few} rows", one) == kind(f"score: {other} {another}: {many} rows", other)
    assert kind(f"score: {one} {day}: {few} rows", one) != kind(f"train: {one} {day}: {few} rows", one)


def test_nights_differ_and_a_backfill_of_many_days_has_one_fault() -> None:
    assert trouble().fault == trouble("letters").fault
    assert trouble().fault != trouble(ds="2024-03-02").fault
    ordered = [trouble(ds=f"2024-03-{day:02}", night="") for day in range(1, 30)]
    assert list(map(len, by_fault(ordered).values())) == [29]


@given(TROUBLES)
def test_a_trouble_is_read_as_it_was_kept(found: Trouble) -> None:
    assert Trouble.read(found.document()) == found


@pytest.mark.parametrize("events", [("OK with warnings",), ("refused retrain",)])
def test_what_is_no_failure_is_a_warning(events: tuple[str, ...]) -> None:
    assert message([trouble(events=events, state=RunState.OK_WITH_WARNINGS)]).weight == "warning"
