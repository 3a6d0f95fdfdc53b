from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nightshift.registry.champions import (
    Champion,
    alias_target,
    alias_targets,
    champion_as_of,
    champion_at,
    first_champion_date,
    reigns_from,
    timeline,
)
from nightshift.registry.entry import KINDS, Entry
from nightshift.specs.calendar import current_ds, cutoff
from tests.conftest import make_pipeline
from tests.unit.registry.entries import EPOCH, day, entry

DAYS = range(1, 13)
CHANGES = ("promotion", "approval", "rollback", "override", "retirement")


def version_as_of(entries: list[Entry], number: int, recorded: int | None = None) -> str | None:
    known_at = EPOCH + timedelta(hours=recorded) if recorded is not None else None
    champion = champion_as_of(entries, day(number), known_at)
    return champion.version if champion else None


def versions(entries: list[Entry], last: int = 8) -> str:
    return " ".join(version_as_of(entries, number) or "-" for number in range(1, last + 1))


def test_a_promotion_counts_from_its_effective_date_until_the_next_one() -> None:
    entries = [entry(1, "promotion", 3, version="a"), entry(2, "promotion", 6, version="b")]
    assert versions(entries) == "- - a a a b b b"
    assert champion_as_of(entries, day(7)) == Champion("b", "sha-b", 2, day(6), day(5))


def test_the_greatest_effective_date_counts_not_the_last_entry() -> None:
    assert versions([entry(1, "promotion", 5, version="late"), entry(2, "promotion", 2, version="backdated")]) == (
        "- backdated backdated backdated late late late late"
    )


def test_of_equal_effective_dates_the_later_entry_counts_whatever_the_order_given() -> None:
    entries = [entry(2, "promotion", 2, version="second"), entry(1, "promotion", 2, version="first")]
    assert version_as_of(entries, 2) == "second"


def test_refusals_and_reruns_change_nothing() -> None:
    entries = [entry(1, "promotion", 2, version="a"), entry(2, "refusal", None), entry(3, "rerun", None, version="b")]
    assert versions(entries, 3) == "- a a"
    assert versions([*entries, entry(4, "refusal", 3, version="c")], 3) == "- a a"


def test_an_approval_with_an_effective_date_promotes() -> None:
    assert versions([entry(1, "approval", None, version="a"), entry(2, "approval", 2, version="b")], 3) == "- b b"


def test_a_rollback_voids_what_was_recorded_before_and_is_effective_from_then_on() -> None:
    entries = [
        entry(1, "promotion", 1, version="good"),
        entry(2, "promotion", 4, version="bad"),
        entry(3, "promotion", 6, version="worse"),
        entry(4, "rollback", 4, version="good"),
    ]
    assert versions(entries) == "good good good good good good good good"
    assert versions([*entries, entry(5, "promotion", 6, version="new")]) == "good good good good good new new new"
    later = [*entries[:3], entry(4, "rollback", 5, version="good")]
    assert versions(later) == "good good good bad good good good good"


def test_a_retirement_leaves_no_champion_until_the_next_promotion() -> None:
    entries = [entry(1, "promotion", 2, version="a"), entry(2, "promotion", 5, version="b"), entry(3, "retirement", 4)]
    assert versions(entries) == "- a a - - - - -"
    assert versions([*entries, entry(4, "promotion", 6, version="c")]) == "- a a - - c c c"
    backdated = [*entries, entry(4, "promotion", 3, version="c")]
    assert versions(backdated) == "- a c - - - - -"


def retirement(seq: int, effective: int, version: str, follows: str | None = None, **more: Any) -> Entry:
    found = {"version": follows, "sha256": f"sha-{follows}", "as_of": None} if follows else None
    return entry(seq, "retirement", effective, version=version, details={"follows": found}, **more)


def test_a_retired_version_is_champion_of_no_day_from_then_on_whatever_makes_it_so() -> None:
    entries = [entry(1, "promotion", 1, version="a"), entry(2, "promotion", 3, version="b")]
    entries += [entry(3, "promotion", 7, version="c"), retirement(4, 5, "b", "a")]
    assert versions(entries) == "a a b b a a c c"
    assert champion_as_of(entries, day(5)) == Champion("a", "sha-a", 4, day(5), None)
    assert versions([*entries, entry(5, "rollback", 4, version="b")]) == "a a b b a a a a"
    assert versions([*entries, entry(5, "override", 6, version="b")]) == "a a b b a a c c"
    assert versions([*entries, retirement(5, 6, "a")]) == "a a b b a - c c", "who followed is retired, too"
    assert versions([*entries, retirement(5, 2, "a", "z")]) == "a z b b z z c c"


def test_a_retirement_of_who_is_not_champion_changes_no_day() -> None:
    entries = [entry(1, "promotion", 1, version="a"), entry(2, "promotion", 3, version="b")]
    assert versions([*entries, retirement(3, 4, "a")], 5) == versions(entries, 5)


def test_a_retirement_is_not_voided_by_a_rollback() -> None:
    entries = [entry(1, "promotion", 1, version="a"), retirement(2, 3, "a"), entry(3, "rollback", 2, version="a")]
    assert versions(entries, 5) == "a a - - -"


def test_an_override_promotes_and_a_freeze_changes_nothing() -> None:
    entries = [entry(1, "promotion", 1, version="a"), entry(2, "freeze", None), entry(3, "override", 3, version="b")]
    assert versions(entries, 4) == "a a b b"


def test_the_timeline_has_each_change_once() -> None:
    entries = [entry(1, "promotion", 1, version="a"), entry(2, "promotion", 3, version="b")]
    entries += [entry(3, "rollback", 3, version="a"), retirement(4, 5, "a"), entry(5, "promotion", 8, version="c")]
    found = [((first - day(0)).days, champion.version if champion else None) for first, champion in timeline(entries)]
    assert found == [(1, "a"), (3, "a"), (5, None), (8, "c")]
    assert [first for first, _ in reigns_from(entries, day(4))] == [day(4), day(5), day(8)]


def test_what_was_recorded_later_is_not_known() -> None:
    entries = [
        entry(1, "promotion", 2, version="a", recorded=1),
        entry(2, "promotion", 2, version="b", recorded=5),
        entry(3, "rollback", 2, version="a", recorded=9),
    ]
    assert [version_as_of(entries, 2, hour) for hour in (0, 1, 4, 5, 8, 9)] == [None, "a", "a", "b", "b", "a"]


def test_champion_at_uses_the_current_ds_and_what_was_known() -> None:
    schedule = make_pipeline().schedule
    moment = cutoff(schedule, day(4))
    recorded = moment - timedelta(minutes=1)
    entries = [
        replace(entry(1, "promotion", 2, version="a"), recorded_at=datetime(2024, 3, 2, tzinfo=UTC)),
        replace(entry(2, "promotion", 4, version="b"), recorded_at=recorded),
        replace(entry(3, "promotion", 4, version="c"), recorded_at=moment + timedelta(seconds=1)),
    ]

    def version_at(at: datetime) -> str | None:
        champion = champion_at(entries, schedule, at)
        return champion.version if champion else None

    assert version_at(cutoff(schedule, day(2)) - timedelta(seconds=1)) is None
    assert version_at(moment - timedelta(seconds=1)) == "a"
    assert version_at(moment) == "b"
    assert version_at(moment + timedelta(seconds=1)) == "c"


def test_first_champion_date() -> None:
    assert first_champion_date([entry(1, "refusal", None), entry(2, "retirement", 1)]) is None
    entries = [entry(1, "promotion", 5, version="a"), entry(2, "promotion", 3, version="b")]
    assert first_champion_date(entries) == day(3)
    assert first_champion_date([*entries, entry(3, "retirement", 2)]) is None
    assert first_champion_date([*entries, entry(3, "rollback", 3, version="c")]) == day(3)


def test_the_alias_stays_within_the_range_of_the_spec() -> None:
    schedule = {"cutoff": "02:00", "timezone": "America/New_York", "start": "2024-03-02", "end": "2024-03-05"}
    pipeline = make_pipeline(schedule=schedule)
    entries = [entry(1, "promotion", number, version=str(number)) for number in (2, 4, 5, 7)]

    def target(at: datetime) -> str | None:
        champion = alias_target(entries, pipeline, at)
        return champion.version if champion else None

    assert target(datetime(2020, 1, 1, tzinfo=UTC)) == "2"
    assert target(datetime(2024, 3, 3, 12, tzinfo=UTC)) == "2"
    assert target(datetime(2024, 3, 4, 12, tzinfo=UTC)) == "4"
    assert target(datetime(2030, 1, 1, tzinfo=UTC)) == "5"
    endless = make_pipeline(schedule={name: value for name, value in schedule.items() if name != "end"})
    champion = alias_target(entries, endless, datetime(2030, 1, 1, tzinfo=UTC))
    assert champion is not None
    assert champion.version == "7"


def test_who_counts_since_the_alias_was_set_is_no_fault_of_the_alias() -> None:
    """It is set after each entry; a champion of a later night is shown after the next one."""
    endless = make_pipeline(schedule={"cutoff": "02:00", "timezone": "America/New_York", "start": "2024-02-01"})
    entries = [entry(1, "promotion", 1, version="a"), entry(2, "promotion", 5, recorded=80, version="b")]

    def targets(known: list[Entry], at: datetime) -> list[str | None]:
        return [found and found.version for found in alias_targets(known, endless, at)]

    assert targets(entries, datetime(2024, 3, 4, 12, tzinfo=UTC)) == ["a"]
    assert targets(entries, datetime(2024, 3, 6, 12, tzinfo=UTC)) == ["b", "a"]
    assert targets([*entries, entry(3, "refusal", None, recorded=128)], datetime(2024, 3, 6, 12, tzinfo=UTC)) == ["b"]
    assert targets([], datetime(2024, 3, 6, 12, tzinfo=UTC)) == [None]


@st.composite
def ledgers(draw: st.DrawFn) -> list[Entry]:
    """Any history: backdated entries, ties, rollbacks, retirements, several entries at one moment."""
    made: list[Entry] = []
    recorded = 0
    for seq in range(1, draw(st.integers(0, 12)) + 1):
        recorded += draw(st.integers(0, 3))
        kind = draw(st.sampled_from(("promotion", *KINDS)))
        changes = kind in CHANGES and not (kind == "approval" and draw(st.booleans()))
        effective = draw(st.integers(DAYS[0], DAYS[-1])) if changes else None
        known = sorted({item.version for item in made if item.version})
        version, details = f"v{seq}", {}
        if kind == "retirement":
            version = draw(st.sampled_from(("", *known)))
            follower = draw(st.sampled_from((None, *known)))
            details = {
                "follows": {"version": follower, "sha256": f"sha-{follower}", "as_of": None} if follower else None
            }
        elif known and kind == "rollback" and draw(st.booleans()):
            version = draw(st.sampled_from(known))
        made.append(entry(seq, kind, effective, recorded=recorded, version=version, details=details))
    return made


def replay(entries: list[Entry], known_at: datetime | None) -> dict[int, str | None]:
    """Day by day, written on its own: each day has the list of what was said to start on it.

    Entries are replayed as they came. A rollback or retirement first empties its day and all later ones. What a day's
    list says last starts on that day and goes on until the next day that has a list. Who is retired by a day is
    replaced there by who follows, as the latest retirement until that day says.
    """
    known = [item for item in entries if known_at is None or item.recorded_at <= known_at]
    starts: dict[int, list[str | None]] = {number: [] for number in DAYS}
    for item in known:
        if item.effective_from is None or (item.kind == "retirement" and item.version):
            continue
        first = (item.effective_from - day(0)).days
        if item.kind in ("rollback", "retirement"):
            for number in range(first, DAYS[-1] + 1):
                starts[number].clear()
        starts[first].append(None if item.kind == "retirement" else item.version)
    champions: dict[int, str | None] = {}
    champion: str | None = None
    for number in DAYS:
        if starts[number]:
            champion = starts[number][-1]
        champions[number] = not_retired(champion, known, number)
    return champions


def not_retired(version: str | None, known: list[Entry], number: int) -> str | None:
    asked: list[str] = []
    while version is not None and version not in asked:
        asked.append(version)
        found = [item for item in known if item.kind == "retirement" and item.version == version]
        found = [item for item in found if item.effective_from and item.effective_from <= day(number)]
        if not found:
            return version
        latest = max(found, key=lambda item: (str(item.effective_from), item.seq))
        version = (latest.details["follows"] or {}).get("version")
    return None


@given(ledgers(), st.none() | st.integers(-1, 30), st.randoms(use_true_random=False))
def test_champions_equal_a_naive_replay(entries: list[Entry], hours: int | None, random: object) -> None:
    expected = replay(entries, EPOCH + timedelta(hours=hours) if hours is not None else None)
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert {number: version_as_of(shuffled, number, hours) for number in DAYS} == expected


@given(ledgers())
def test_the_first_champion_date_is_the_first_day_of_a_replay_with_one(entries: list[Entry]) -> None:
    replayed = replay(entries, None)
    first = next((day(number) for number in DAYS if replayed[number] is not None), None)
    assert first_champion_date(entries) == first


@given(ledgers(), st.integers(0, 24 * 14))
def test_champion_at_is_champion_as_of_the_current_ds_known_then(entries: list[Entry], hours: int) -> None:
    schedule = make_pipeline().schedule
    moment = EPOCH + timedelta(hours=hours)
    assert champion_at(entries, schedule, moment) == champion_as_of(entries, current_ds(schedule, moment), moment)


@given(ledgers())
def test_the_timeline_says_what_each_day_says(entries: list[Entry]) -> None:
    reigns = timeline(entries)
    for number in DAYS:
        found = [champion for first, champion in reigns if first <= day(number)]
        assert (found[-1] if found else None) == champion_as_of(entries, day(number))
    assert all(one[1] != other[1] for one, other in pairwise(reigns))
