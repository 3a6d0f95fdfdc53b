"""What is recorded of a decision: on a real ledger, and by the pure rule where the moment matters."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from nightshift.errors import PlatformError, PromotionRefused
from nightshift.registry.champions import champion_as_of
from nightshift.registry.decisions import Recorded, Verdict, live_decision, record_decision, ruled, standing
from nightshift.registry.effective import next_ds
from nightshift.registry.entry import Entry, Kind, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.registry.promotion import Decision, refused
from nightshift.specs.calendar import current_ds, cutoff
from tests.conftest import make_pipeline
from tests.postgres import WRITER, Database
from tests.unit.registry.entries import append_at, entry, execute

PIPELINE = make_pipeline()
SCHEDULE = PIPELINE.schedule
D = date(2024, 2, 20)
DAY = timedelta(days=1)
LIVE, HISTORY = {"history": False}, {"history": True}
GOOD = Decision(promote=True, reasons=("it is better",), details={"challenger": 1.5})
BAD = Decision(promote=False, reasons=("it is worse", "by far"), details={"challenger": 9.5})


def today() -> date:
    return current_ds(SCHEDULE, datetime.now(UTC))


def verdict(decision: Decision, version: str = "1", **changes: Any) -> Verdict:
    made = Verdict(D, decision, version, f"sha-{version}" if version else "", "", "run-1", "retrain")
    return replace(made, **changes)


def offer(ledger: Ledger, decision: Decision, version: str = "1", **changes: Any) -> Recorded | None:
    return record_decision(ledger, PIPELINE, verdict(decision, version, **changes))


def record(ledger: Ledger, decision: Decision, version: str = "1", **changes: Any) -> Entry:
    found = offer(ledger, decision, version, **changes)
    assert found is not None
    return found.entry


# ---- history: dates before the first live decision


def test_history_counts_from_the_next_day(ledger: Ledger) -> None:
    found = record(ledger, GOOD)
    assert (found.kind, found.as_of, found.effective_from) == ("promotion", D, D + DAY)
    assert (found.version, found.model_sha256, found.actor) == ("1", "sha-1", "retrain")
    assert found.reason == "it is better"
    assert found.details == {"challenger": 1.5, "champion_sha256": "", "history": True, "run_id": "run-1"}
    assert found.pipeline == "parcels"


def test_a_refusal_has_no_effective_date_and_all_reasons(ledger: Ledger) -> None:
    found = record(ledger, BAD)
    assert (found.kind, found.effective_from, found.reason) == ("refusal", None, "it is worse; by far")


def test_a_refusal_without_a_challenger_asks_for_no_champion(ledger: Ledger) -> None:
    record(ledger, GOOD)
    found = record(ledger, refused("5 days are fewer than min_days 6", days=5), "", compared=None)
    assert (found.kind, found.version, found.model_sha256) == ("refusal", "", "")
    assert found.reason == "5 days are fewer than min_days 6"
    assert found.details["days"] == 5


def test_history_is_decided_again_against_the_champion_of_then(ledger: Ledger) -> None:
    record(ledger, GOOD)
    assert offer(ledger, GOOD, "2", run_id="run-2") is None, "compared with nobody, it would replace version 1"
    assert record(ledger, GOOD, "2", run_id="run-2", compared="sha-1").kind == "promotion"
    champion = champion_as_of(ledger.entries("parcels"), D + DAY)
    assert champion is not None
    assert champion.version == "2"


def test_history_may_come_in_any_order(ledger: Ledger) -> None:
    record(ledger, GOOD, as_of=D + 5 * DAY)
    found = record(ledger, GOOD, "2")
    assert (found.kind, found.effective_from) == ("promotion", D + DAY)


def test_history_before_live_decisions_changes_no_night_of_theirs(ledger: Ledger) -> None:
    live = record(ledger, GOOD, "2", as_of=today())
    found = record(ledger, GOOD)
    assert (found.kind, found.effective_from) == ("promotion", D + DAY)
    assert live.effective_from is not None
    champion = champion_as_of(ledger.entries("parcels"), live.effective_from)
    assert champion is not None
    assert champion.version == "2"


def test_history_displaces_no_champion_of_live_nights(ledger: Ledger) -> None:
    """The live decision was a refusal: without this rule the nights since then would get another champion."""
    record(ledger, GOOD, as_of=D - DAY)
    record(ledger, BAD, "2", as_of=today(), compared="sha-1")
    before = ledger.entries("parcels")

    found = record(ledger, GOOD, "3", compared="sha-1")

    assert (found.kind, found.effective_from) == ("rerun", None)
    assert "the nights of live decisions keep their champion, entry 2" in found.reason
    assert champion_as_of(ledger.entries("parcels"), today() + DAY) == champion_as_of(before, today() + DAY)


def test_history_displaces_nobody_who_follows_a_retired_champion_of_live_nights(ledger: Ledger) -> None:
    """Who follows counts from the retirement's day: the nights are decided by the promotion before it all the same."""
    record(ledger, GOOD, "0", as_of=D - 2 * DAY)
    record(ledger, GOOD, as_of=D - DAY, compared="sha-0")
    record(ledger, BAD, "2", as_of=today(), compared="sha-1")
    follows = {"version": "0", "sha256": "sha-0", "as_of": (D - 2 * DAY).isoformat()}
    ledger.append(
        NewEntry("parcels", "retirement", "ann", "", D - DAY, today(), "1", "sha-1", {"follows": follows})
    )  # fmt: skip
    before = ledger.entries("parcels")

    found = record(ledger, GOOD, "3", compared="sha-1")

    assert (found.kind, found.effective_from) == ("rerun", None)
    assert "the nights of live decisions keep their champion, entry 3" in found.reason
    assert champion_as_of(ledger.entries("parcels"), today() + DAY) == champion_as_of(before, today() + DAY)


def test_history_gives_a_champion_to_live_nights_that_have_none(ledger: Ledger) -> None:
    record(ledger, refused("too few days"), "", as_of=today(), compared=None)
    assert record(ledger, GOOD).kind == "promotion"


# ---- live


def test_a_live_promotion_counts_from_the_first_cutoff_after_it_was_recorded(ledger: Ledger) -> None:
    found = record(ledger, GOOD, as_of=today())
    assert (found.kind, found.details["history"]) == ("promotion", False)
    assert found.effective_from == next_ds(SCHEDULE, found.recorded_at)


def test_the_champion_that_is_replaced_is_the_one_that_was_compared(ledger: Ledger) -> None:
    record(ledger, GOOD, as_of=today() - DAY)
    before = ledger.entries()
    for decision in (GOOD, BAD):
        assert offer(ledger, decision, "2", as_of=today(), compared="") is None
        assert offer(ledger, decision, "2", as_of=today(), compared="sha-9") is None
    assert ledger.entries() == before
    assert record(ledger, GOOD, "2", as_of=today(), compared="sha-1").details["champion_sha256"] == "sha-1"


def test_a_retrain_that_is_only_slow_replaces_the_champion_of_its_effective_date() -> None:
    """As of day 10, after a live decision of day 5; recorded four days later, when another champion is effective."""
    entries = [
        entry(1, "promotion", 6, version="a", details=LIVE),
        entry(2, "rollback", 13, version="b", as_of=None),
    ]
    now = cutoff(SCHEDULE, entry(3, "refusal", 14).effective_from or D) + timedelta(hours=1)
    as_of = entry(3, "promotion", 11).as_of
    assert as_of is not None
    found = standing(entries, SCHEDULE, as_of, now)
    assert (found.role, found.effective_from) == ("live", next_ds(SCHEDULE, now))
    assert found.champion_sha256 == "sha-b"


def test_a_retrain_that_ends_after_its_successor_is_superseded(ledger: Ledger) -> None:
    """An old run that was cleared, as well: what is recorded decides nothing, however good it is."""
    past = today() - 20 * DAY
    add_live(ledger, past)
    add_live(ledger, past + 10 * DAY)
    before = ledger.entries("parcels")

    found = record(ledger, GOOD, "9", as_of=past + 5 * DAY, compared="sha-7")

    assert (found.kind, found.effective_from, found.version) == ("refusal", None, "9")
    assert found.reason == f"superseded: {past + 10 * DAY} was decided before {past + 5 * DAY}, in entry 2"
    days = [past + number * DAY for number in range(0, 400, 3)]
    after = ledger.entries("parcels")
    assert [champion_as_of(after, day) for day in days] == [champion_as_of(before, day) for day in days]


def add_live(ledger: Ledger, as_of: date) -> Entry:
    """A live promotion as it was recorded on the night of ``as_of``."""
    details = {"history": False, "run_id": "then"}
    version = f"of-{as_of}"
    return ledger.append(
        NewEntry("parcels", "promotion", "retrain", "", as_of, as_of + DAY, version, f"sha-{version}", details)
    )


def test_a_date_to_come_is_turned_down_and_supersedes_nothing(ledger: Ledger) -> None:
    for later in (1, 3):
        with pytest.raises(PromotionRefused, match="has not come yet"):
            record(ledger, GOOD, as_of=today() + later * DAY)
    assert ledger.entries() == []
    ledger.append(NewEntry("parcels", "refusal", "old", "a typo", date(2999, 1, 1), details=LIVE))
    assert record(ledger, GOOD, as_of=today()).kind == "promotion"


# ---- clocks


def test_effective_dates_follow_no_entry_of_the_future(ledger: Ledger, database: Database) -> None:
    """As a jump of the database's clock left one: promoted, and effective years from now."""
    first = record(ledger, GOOD)
    append_at(database.owner_url, first, "2099-01-01T00:00:00.000000+00:00", effective_from="2099-01-02", version="8")

    found = record(ledger, GOOD, "2", as_of=today(), compared="sha-1")

    assert found.effective_from == today() + DAY
    assert found.recorded_at >= datetime(2099, 1, 1, tzinfo=UTC), "the order of the chain is that of its times"
    champion = champion_as_of(ledger.entries(), today() + DAY)
    assert champion is not None
    assert champion.version == "2"
    now = datetime.now(UTC)
    assert champion_as_of(ledger.entries(), today() + DAY, known_at=now) == champion, "whatever its place in the chain"
    before = champion_as_of(ledger.entries(), today() + DAY, known_at=now - timedelta(hours=1))
    assert before is None or before.version == "1"
    assert [entry.seq for entry in ledger.of_the_future()] == [2, 3]
    assert ledger.verify() == 3


@pytest.mark.parametrize("jump", ["6 years", "-6 years", "10 minutes"])
def test_nothing_is_recorded_while_the_databases_clock_is_another(
    ledger: Ledger, database: Database, jump: str
) -> None:
    role = f"ALTER ROLE {WRITER} IN DATABASE %I SET search_path = jump, pg_catalog, public"
    execute(
        database.owner_url,
        "CREATE SCHEMA jump",
        "CREATE FUNCTION jump.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
        f"$jump$ SELECT pg_catalog.clock_timestamp() + interval '{jump}' $jump$",
        f"GRANT USAGE ON SCHEMA jump TO {WRITER}",
        f"DO $jump$ BEGIN EXECUTE format('{role}', current_database()); END $jump$",
    )
    with pytest.raises(PlatformError, match=r"the database's clock says .* UTC, this machine's .* UTC"):
        record(ledger, GOOD, as_of=today())
    assert ledger.entries() == []


# ---- again


@pytest.mark.parametrize("live", [GOOD, BAD])
def test_a_date_with_a_live_decision_is_recorded_but_not_decided_again(ledger: Ledger, live: Decision) -> None:
    day = today()
    record(ledger, live, as_of=day)
    before = ledger.entries("parcels")
    again = record(ledger, GOOD, "2", run_id="backfill", as_of=day)
    assert (again.kind, again.effective_from, again.version) == ("rerun", None, "2")
    assert again.reason == f"{day} keeps its live decision, entry 1; this rerun would be promoted: it is better"
    worse = record(ledger, BAD, "3", run_id="backfill", as_of=day)
    assert worse.reason.endswith("this rerun would be refused: it is worse; by far")
    for ahead in range(-3, 400, 50):
        found = champion_as_of(ledger.entries("parcels"), day + ahead * DAY)
        assert found == champion_as_of(before, day + ahead * DAY)


def test_a_live_date_that_is_over_records_who_ran_it_again_but_not_a_retry(ledger: Ledger) -> None:
    day = today() - 5 * DAY
    first = add_live(ledger, day)
    same = {"as_of": day, "version": first.version, "model_sha256": first.model_sha256}
    assert record(ledger, GOOD, run_id="then", **same) == first
    assert record(ledger, GOOD, run_id="backfill", **same).kind == "rerun"


def test_a_retry_records_nothing_new_and_another_decision_does(ledger: Ledger) -> None:
    first = record(ledger, GOOD)
    assert offer(ledger, GOOD) == Recorded(first, stands=True)
    assert offer(ledger, GOOD, run_id="run-2", compared="sha-1") == Recorded(first, stands=True)
    assert record(ledger, BAD, "2", compared="sha-1").seq == 2
    assert offer(ledger, BAD, "2", compared="sha-1", run_id="run-2") == Recorded(ledger.entries()[1], stands=True)
    assert record(ledger, refused("otherwise"), "2", compared="sha-1").seq == 3
    assert record(ledger, GOOD, "3", compared="sha-1").seq == 4
    assert record(ledger, GOOD, "4", compared="sha-3", as_of=D + DAY).seq == 5


def test_a_live_decision_that_is_asked_for_twice_stands(ledger: Ledger) -> None:
    first = record(ledger, GOOD, as_of=today())
    again = offer(ledger, GOOD, as_of=today(), run_id="run-2", compared="sha-1")
    assert again == Recorded(first, stands=True)
    assert len(ledger.entries()) == 1


def test_of_two_live_decisions_at_once_one_is_a_rerun(ledger: Ledger) -> None:
    day = today()
    with ThreadPoolExecutor(6) as pool:
        kinds = list(pool.map(lambda run: record(ledger, GOOD, str(run), as_of=day, run_id=str(run)).kind, range(1, 7)))
    assert sorted(kinds) == ["promotion", *["rerun"] * 5]


def test_of_two_decisions_about_history_at_once_one_compares_again(ledger: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda run: offer(ledger, GOOD, str(run), run_id=str(run)), range(1, 7)))
    assert sum(item is not None for item in found) == 1
    assert len(ledger.entries()) == 1


def test_a_live_decision_is_one_of_that_date_and_no_rerun() -> None:
    entries = [
        entry(1, "promotion", 3, as_of=D, details=HISTORY),
        entry(2, "rerun", None, as_of=D, details=LIVE),
        entry(3, "rollback", 3, as_of=D, details=LIVE),
        entry(4, "refusal", None, as_of=D - DAY, details=LIVE),
        entry(5, "promotion", 3, as_of=D),
    ]
    assert live_decision(entries, D) is None
    refusal = entry(6, "refusal", None, as_of=D, details=LIVE)
    assert live_decision([*entries, refusal], D) is refusal


# ---- what a person has taken back

NOW = cutoff(SCHEDULE, D + 10 * DAY) + timedelta(hours=1)
NIGHT = D + 11 * DAY


def made(
    seq: int, kind: Kind, as_of: date | None, day: date | None = None, version: str = "", details: Any = LIVE
) -> Entry:
    """An entry about an as-of date, effective from a day on."""
    found = entry(seq, kind, None, version=version, as_of=as_of, details=dict(details))
    return replace(found, effective_from=day)


def taken_back(kind: Kind = "retirement", version: str = "", details: dict[str, Any] = LIVE) -> list[Entry]:
    """A promotion of version 1 as of D, refusals after it, and what a person did on the third day."""
    entries = [made(1, "promotion", D, D + DAY, "1", details)]
    entries += [made(1 + n, "refusal", D + n * DAY, None, str(1 + n)) for n in (1, 2) if details is LIVE]
    return [*entries, made(len(entries) + 1, kind, None, D + 3 * DAY, version, {})]


@pytest.mark.parametrize("details", [LIVE, HISTORY])
def test_a_date_whose_version_was_retired_is_decided_once_more_for_the_nights_to_come(details: dict[str, Any]) -> None:
    entries = taken_back(details=details)
    new = ruled(entries, PIPELINE, verdict(GOOD), NOW)
    assert isinstance(new, NewEntry)
    assert (new.kind, new.effective_from, new.details["history"]) == ("promotion", NIGHT, False)
    after = [*entries, made(len(entries) + 1, "promotion", D, NIGHT, "1", new.details)]
    for day in (D + number * DAY for number in range(11)):
        assert champion_as_of(after, day) == champion_as_of(entries, day), "no night that is over"
    assert standing(after, SCHEDULE, D, NOW).role == "rerun", "once"


def test_the_same_run_may_ask_again_and_its_first_answer_is_none() -> None:
    entries = taken_back()
    entries[0] = replace(entries[0], once=verdict(GOOD).once)
    new = ruled(entries, PIPELINE, verdict(GOOD), NOW)
    assert isinstance(new, NewEntry)
    assert new.once not in (None, entries[0].once)


def test_who_was_rolled_back_may_come_again_and_who_was_rolled_back_to_need_not() -> None:
    assert standing(taken_back("rollback", "7"), SCHEDULE, D, NOW).role == "live"
    assert standing(taken_back("rollback", "1"), SCHEDULE, D, NOW).role == "rerun"


def test_a_later_date_that_was_decided_since_supersedes_it() -> None:
    entries = [*taken_back(), made(5, "refusal", D + 4 * DAY)]
    found = standing(entries, SCHEDULE, D, NOW)
    assert (found.role, found.because) == ("superseded", entries[-1])


def test_a_promotion_that_ended_before_is_not_taken_back() -> None:
    promotions = [made(1 + n, "promotion", D + n * DAY, D + (1 + n) * DAY, str(1 + n)) for n in (0, 1)]
    entries = [*promotions, made(3, "retirement", None, D + 5 * DAY)]
    assert standing(entries, SCHEDULE, D, NOW).role == "rerun"
    assert standing(entries, SCHEDULE, D + DAY, NOW).role == "live"


# ---- frozen, retired, overridden


def test_what_the_rule_promotes_under_a_freeze_is_refused_with_who_and_why(ledger: Ledger) -> None:
    ledger.append(NewEntry("parcels", "freeze", "ann", "audit until Friday"))
    found = record(ledger, GOOD, as_of=today())
    assert (found.kind, found.effective_from) == ("refusal", None)
    assert found.reason == ("frozen by ann in entry 1 (audit until Friday); the rule would promote it: it is better")
    assert record(ledger, GOOD, as_of=today()) == found, "a retry"


def test_what_the_rule_refuses_under_a_freeze_is_refused_for_its_own_reason(ledger: Ledger) -> None:
    ledger.append(NewEntry("parcels", "freeze", "ann", "audit"))
    assert record(ledger, BAD, as_of=today()).reason == "it is worse; by far"


def test_after_a_freeze_a_live_date_keeps_its_refusal_and_history_may_be_decided(ledger: Ledger) -> None:
    ledger.append(NewEntry("parcels", "freeze", "ann", "audit"))
    history = record(ledger, GOOD)
    live = record(ledger, GOOD, "2", as_of=today())
    ledger.append(NewEntry("parcels", "unfreeze", "ann", "over"))
    assert record(ledger, GOOD).kind == "promotion", "the same run, cleared"
    assert history.kind == live.kind == "refusal"
    assert record(ledger, GOOD, "2", as_of=today(), compared="sha-1", run_id="run-2").kind == "rerun"


def test_a_retired_model_is_not_promoted_again(ledger: Ledger) -> None:
    own = record(ledger, GOOD, as_of=today())
    retired = NewEntry(
        "parcels", "retirement", "ann", "bad rows", D, own.effective_from, "1", "sha-1", {"follows": None}
    )
    ledger.append(retired)
    again = record(ledger, GOOD, as_of=today())
    assert (again.kind, again.details["taken_back"]) == ("refusal", 2)
    assert again.reason == "its model was retired by ann in entry 2 (bad rows); the rule would promote it: it is better"


def test_a_date_whose_version_was_retired_is_decided_once_more_with_another(ledger: Ledger) -> None:
    own = record(ledger, GOOD, as_of=today())
    retired = NewEntry(
        "parcels", "retirement", "ann", "bad rows", D, own.effective_from, "1", "sha-1", {"follows": None}
    )
    ledger.append(retired)
    other = record(ledger, GOOD, "2", as_of=today(), run_id="run-2")
    assert (other.kind, other.details["taken_back"]) == ("promotion", 2)


def test_a_version_that_was_put_back_is_not_taken_back_any_more() -> None:
    entries = [entry(1, "promotion", 5, version="a"), entry(2, "promotion", 8, version="b", details=LIVE)]
    entries += [entry(3, "rollback", 8, version="a", as_of=None)]
    as_of = entries[1].as_of
    assert as_of is not None
    now = cutoff(SCHEDULE, as_of + 4 * DAY)
    assert standing(entries, SCHEDULE, as_of, now).withdrawn == entries[2]
    back = [*entries, entry(4, "rollback", 9, version="b", as_of=None)]
    found = standing(back, SCHEDULE, as_of, now)
    assert (found.withdrawn, found.role) == (None, "rerun")
    again = [*back, entry(5, "rollback", 10, version="a", as_of=None)]
    assert standing(again, SCHEDULE, as_of, now).withdrawn == again[-1]


def test_a_date_whose_override_was_rolled_back_is_decided_once_more() -> None:
    entries = [entry(1, "promotion", 5, version="a"), entry(2, "refusal", None, version="b", as_of=D, details=LIVE)]
    effective = entries[0].effective_from
    assert effective is not None
    as_of = effective + DAY
    entries[1] = replace(entries[1], as_of=as_of)
    entries += [replace(entry(3, "override", 9, version="b"), as_of=as_of), entry(4, "rollback", 9, version="a")]
    found = standing(entries, SCHEDULE, as_of, cutoff(SCHEDULE, as_of + 4 * DAY))
    assert (found.role, found.withdrawn) == ("live", entries[3])


def test_history_displaces_nobody_who_begins_after_a_gap_of_live_nights() -> None:
    """Nobody scores the first live nights. A person has named who scores the later ones."""
    follows = {"version": "0", "sha256": "sha-0", "as_of": None}
    first = made(1, "promotion", D - DAY, D, "1", HISTORY)
    refused = made(2, "refusal", D + DAY, None, "2")
    later = made(3, "retirement", None, D + 5 * DAY, "1", {"follows": follows})
    nobody = made(4, "retirement", None, D + DAY, "1", {"follows": None})
    entries = [first, refused, later, nobody]
    assert [bool(champion_as_of(entries, D + number * DAY)) for number in (0, 2, 4, 5)] == [True, False, False, True]

    new = ruled(entries, PIPELINE, verdict(GOOD, "3", compared=None), NOW)

    assert isinstance(new, NewEntry)
    assert (new.kind, new.effective_from) == ("rerun", None)
    assert "keep their champion" in new.reason
