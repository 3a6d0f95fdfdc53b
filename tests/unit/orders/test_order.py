"""What an order does, by entries made by hand."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from nightshift.errors import OrderRefused
from nightshift.orders.order import Order, Plan, plan, still_holds, told
from nightshift.orders.said import day_lines, freeze_lines
from nightshift.registry.champions import champion_as_of
from nightshift.registry.entry import Entry, chained
from nightshift.registry.models import withdrawals
from nightshift.specs.calendar import cutoff
from tests.conftest import make_pipeline
from tests.unit.registry.entries import day, entry

SCHEDULE = make_pipeline().schedule
# The night of day 10 has begun: the next one to be scored is that of day 11.
NOW = cutoff(SCHEDULE, day(10)) + timedelta(hours=1)
ENTRIES = [
    entry(1, "promotion", 2, version="1"),
    entry(2, "promotion", 5, version="2"),
    entry(3, "refusal", None, version="3", as_of=day(6)),
    entry(4, "promotion", 8, version="4"),
]


def order(kind: Any, version: str = "", **changes: Any) -> Order:
    return replace(Order(kind, "ann", "it misbehaves", version), **changes)


def planned(asked: Order, entries: list[Entry] | None = None, *, broken: str = "", now: Any = NOW) -> Plan:
    """The plan where the versions of ``broken`` cannot serve."""
    known = ENTRIES if entries is None else entries
    return plan("parcels", SCHEDULE, known, asked, now, lambda model: "files gone" if model.version in broken else "")


def recorded(asked: Order, entries: list[Entry] | None = None, **changes: Any) -> list[Entry]:
    """The entries with that of the order."""
    known = ENTRIES if entries is None else entries
    new = planned(asked, known, **changes).new
    last = known[-1] if known else None
    return [*known, chained(new, "local", max(NOW, last.recorded_at) if last else NOW, last)]


def refusal(asked: Order, entries: list[Entry] | None = None, **changes: Any) -> OrderRefused:
    with pytest.raises(OrderRefused) as raised:
        planned(asked, entries, **changes)
    assert raised.value.where == "parcels"
    return raised.value


def versions(entries: list[Entry], last: int = 12) -> str:
    found = [champion_as_of(entries, day(number)) for number in range(1, last + 1)]
    return " ".join(champion.version if champion else "-" for champion in found)


# ---- rollback


def test_a_rollback_counts_from_the_next_night_that_is_to_be_scored() -> None:
    found = planned(order("rollback", "2"))
    assert (found.new.kind, found.new.effective_from, found.new.model_sha256) == ("rollback", day(11), "sha-2")
    assert found.new.as_of == day(4), "the version's own date"
    assert versions(recorded(order("rollback", "2"))) == "- 1 1 1 2 2 2 4 4 4 2 2"
    assert [(first, champion and champion.version) for first, champion in found.before] == [(day(11), "4")]
    assert [(first, champion and champion.version) for first, champion in found.after] == [(day(11), "2")]
    assert found.withdrawn == {"sha-4"}


def test_a_rollback_of_the_past_names_its_day() -> None:
    assert versions(recorded(order("rollback", "1", effective_from=day(6)))) == "- 1 1 1 2 1 1 1 1 1 1 1"


def test_without_a_version_it_is_the_champion_before_the_present_one() -> None:
    assert planned(order("rollback")).new.version == "2"
    assert planned(order("rollback", effective_from=day(6))).new.version == "1"
    assert planned(order("rollback"), recorded(order("retirement", "2"))).new.version == "1"


def test_what_was_rolled_back_is_not_the_champion_before() -> None:
    once = recorded(order("rollback"))
    assert withdrawals(once)["sha-4"] == once[-1]
    twice = recorded(order("rollback"), once)
    assert twice[-1].version == "1"
    assert "neither retired nor rolled back" in refusal(order("rollback"), twice).what
    back = recorded(order("rollback", "4"), twice)
    assert versions(back) == "- 1 1 1 2 2 2 4 4 4 4 4", "by name it may come back"
    assert "sha-4" not in withdrawals(back)


def test_a_rollback_takes_a_champion_that_is_only_to_come() -> None:
    entries = [*ENTRIES, entry(5, "promotion", 11, version="5")]
    assert planned(order("rollback"), entries).new.version == "4"
    assert versions(recorded(order("rollback"), entries)) == "- 1 1 1 2 2 2 4 4 4 4 4"


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (order("rollback", "9"), "the ledger knows no version 9"),
        (order("rollback", "3"), "version 3 never was champion"),
        (
            order("rollback", "4"),
            f"version 4 is champion from {day(11)} on already, by entry 4, promotion of version 4",
        ),
        (order("rollback", "4", effective_from=day(7)), f"version 4 was trained as of {day(7)}: it scores days after"),
        (order("rollback", effective_from=day(1)), f"there is no champion as of {day(1)}"),
        (order("rollback", "2", reason=" \n "), "an order has a reason"),
        (order("override", "4"), f"version 4 is champion from {day(11)} on already"),
        (order("override", "3", effective_from=day(9)), "only a rollback and a retirement may name a day"),
        (order("freeze", effective_from=day(9)), "only a rollback and a retirement may name a day"),
        (order("retirement", "9"), "the ledger knows no version 9"),
        (order("unfreeze"), "promotions are not frozen"),
        (order("retirement"), "a retirement names a version"),
        (order("override"), "an override names a version"),
        (order("freeze", reason="\x1b[2Kover"), "the reason has control characters"),
        (order("freeze", reason="not text \udcff"), "the reason has control characters"),
    ],
)
def test_what_cannot_be_ordered(asked: Order, what: str) -> None:
    assert refusal(asked).what.startswith(what)


@pytest.mark.parametrize("asked", [order("rollback", "2"), order("rollback"), order("override", "3")])
def test_who_cannot_serve_is_not_made_champion(asked: Order) -> None:
    found = refusal(asked, broken="2 3")
    assert found.what.endswith("cannot serve: files gone")
    assert "nothing was recorded" in found.do


def test_a_reason_is_one_line() -> None:
    assert planned(order("freeze", reason=" two\n lines ")).new.reason == "two lines"


def test_a_version_that_names_two_models_is_told_by_their_digits() -> None:
    """A registered model that was deleted in MLflow counts its versions from 1 again."""
    entries = [*ENTRIES, entry(5, "refusal", None, version="2", as_of=day(9), model_sha256="shb-2222-of-day-9")]
    found = refusal(order("retirement", "2"), entries)
    assert found.what == "version 2 is the name of 2 models, since MLflow counted anew"
    assert found.allowed.endswith(f"sha-2 (as of {day(4)}), shb-2222-of-day- (as of {day(9)})")
    assert planned(order("override", "shb-2222"), entries).new.model_sha256 == "shb-2222-of-day-9"
    assert "knows no version shb-222" in refusal(order("override", "shb-222"), entries).what


# ---- retirement


def test_the_champion_before_follows_who_is_retired() -> None:
    entries = recorded(order("retirement", "4"))
    assert versions(entries) == "- 1 1 1 2 2 2 4 4 4 2 2"
    assert entries[-1].details == {"follows": {"version": "2", "sha256": "sha-2", "as_of": str(day(4))}}
    assert "retired for good: entry 5, retirement of version 4" in refusal(order("rollback", "4"), entries).what
    assert "retired for good" in refusal(order("override", "4"), entries).what
    assert "retired already" in refusal(order("retirement", "4"), entries).what


def test_a_retirement_may_be_moved_to_an_earlier_day() -> None:
    entries = recorded(order("retirement", "4"))
    assert versions(recorded(order("retirement", "4", effective_from=day(9)), entries)) == "- 1 1 1 2 2 2 4 2 2 2 2"
    before = recorded(order("retirement", "4", effective_from=day(6)), recorded(order("retirement", "2"), entries))
    assert versions(before) == "- 1 1 1 2 2 2 1 1 1 1 1", "days that 4 did not score are as they were"


def test_who_cannot_serve_follows_nobody() -> None:
    found = planned(order("retirement", "4"), broken="2")
    assert found.found == ("version 2 cannot serve: files gone", "version 1 follows: it can serve")
    assert versions(recorded(order("retirement", "4"), broken="2"))[-1] == "1"
    nobody = planned(order("retirement", "4"), broken="1 2")
    assert nobody.after == ((day(11), None),)
    assert "nobody follows" in nobody.found[2]


def test_a_version_that_never_was_champion_may_be_retired() -> None:
    entries = recorded(order("retirement", "3"))
    assert versions(entries) == versions(ENTRIES)
    assert "retired for good" in refusal(order("override", "3"), entries).what


def test_who_reigned_before_a_rollback_does_not_follow() -> None:
    entries = recorded(order("retirement", "2"), recorded(order("rollback", "2")))
    assert versions(entries)[-1] == "1", "4 was rolled back"


# ---- override, freeze


def test_an_override_promotes_what_the_rule_refused() -> None:
    entries = recorded(order("override", "3"))
    assert versions(entries) == "- 1 1 1 2 2 2 4 4 4 3 3"
    assert (entries[-1].kind, entries[-1].as_of) == ("override", day(6))
    assert planned(order("override", "3")).withdrawn == frozenset(), "who scored before was no mistake"
    assert planned(order("rollback"), entries).new.version == "4"


def test_a_freeze_is_one_and_orders_go_by_it() -> None:
    frozen = recorded(order("freeze"))
    assert (
        "promotions are frozen already: entry 5, freeze by ann (it misbehaves)" in refusal(order("freeze"), frozen).what
    )
    assert planned(order("override", "3"), frozen).freeze == frozen[-1]
    assert list(freeze_lines(frozen)) == [
        "promotions are frozen since 2024-03-10 08:00 UTC: entry 5, freeze by ann (it misbehaves)"
    ]
    assert list(freeze_lines(recorded(order("unfreeze"), frozen))) == []


# ---- what holds, and what is said


def test_a_plan_holds_until_another_entry() -> None:
    found = planned(order("rollback"))
    still_holds(found, SCHEDULE, ENTRIES, NOW)
    other = recorded(order("freeze", actor="bob"))
    with pytest.raises(
        OrderRefused, match=r"another came first: entry 5, freeze by bob \(it misbehaves\); nothing was"
    ):
        still_holds(found, SCHEDULE, other, NOW)


def test_a_plan_does_not_hold_on_a_ledger_that_was_emptied() -> None:
    with pytest.raises(OrderRefused, match="the ledger was emptied meanwhile; nothing was recorded"):
        still_holds(planned(order("rollback")), SCHEDULE, [], NOW)


def test_a_plan_for_tonight_does_not_hold_once_the_night_has_begun() -> None:
    later = cutoff(SCHEDULE, day(11)) + timedelta(seconds=1)
    with pytest.raises(OrderRefused, match=f"the night of {day(11)} has begun meanwhile"):
        still_holds(planned(order("rollback")), SCHEDULE, ENTRIES, later)
    still_holds(planned(order("rollback", effective_from=day(9))), SCHEDULE, ENTRIES, later)


def test_the_end_of_the_spec_is_said() -> None:
    after = cutoff(SCHEDULE, date(2024, 5, 1))
    assert "no night follows" in planned(order("rollback"), now=after).found[-1]
    named = order("rollback", effective_from=day(9))
    assert "no night follows" not in " ".join(planned(named, now=after).found)


def test_a_day_says_what_was_ordered_about_it() -> None:
    entries = recorded(order("rollback", "2", effective_from=day(9)))
    words = "entry 5, rollback to version 2 from 2024-03-09 on by ann (it misbehaves)"
    assert told(entries[-1]) == words
    assert list(day_lines(entries, "parcels", day(9), "sha-4")) == [
        f"model sha-4, which scored 2024-03-09, was withdrawn: {words}; "
        "`nightshift backfill parcels 2024-03-09 2024-03-09` scores it again"
    ]
    assert list(day_lines(entries, "parcels", day(9), "sha-2")) == [
        f"version 2 is champion of 2024-03-09 by an order: {words}"
    ]
    assert list(day_lines(entries, "parcels", day(8), "sha-4")) == [
        f"model sha-4, which scored 2024-03-08, was withdrawn for later days alone: {words}"
    ]
    assert list(day_lines(entries, "parcels", day(5), "sha-2")) == []
    nobody = recorded(order("retirement", "4", effective_from=day(9)), broken="1 2")
    assert "2024-03-09 has no champion now" in next(iter(day_lines(nobody, "parcels", day(9), "sha-4")))
