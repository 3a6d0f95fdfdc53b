"""Any order of retrains, nights and people's orders: a model of its own says who scores each day."""

from datetime import date, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nightshift.errors import OrderRefused
from nightshift.orders.order import Order, plan
from nightshift.registry.champions import champion_as_of
from nightshift.registry.decisions import Verdict, ruled, standing
from nightshift.registry.effective import next_ds
from nightshift.registry.entry import Entry, NewEntry, chained
from nightshift.registry.promotion import Decision
from nightshift.specs.calendar import current_ds, cutoff
from tests.conftest import make_pipeline

PIPELINE = make_pipeline(schedule={"cutoff": "02:00", "timezone": "America/New_York", "start": "2024-02-01"})
SCHEDULE = PIPELINE.schedule
DAY = timedelta(days=1)
FIRST = date(2024, 3, 1)
DAYS = [FIRST + number * DAY for number in range(50)]
BACK = st.sampled_from((None, None, -1, 0, 1, 2, 5))
NUMBERS = st.integers(1, 9)


class Orders(RuleBasedStateMachine):
    """The ledger's entries, and beside them what was said to start on each day and who was retired, as it happened."""

    def __init__(self) -> None:
        super().__init__()
        self.now = cutoff(SCHEDULE, FIRST + 12 * DAY) + timedelta(hours=1)
        self.entries: list[Entry] = []
        self.starts: dict[date, str] = {}
        self.retired: dict[str, dict[date, str | None]] = {}
        self.frozen = False
        self.runs = 0
        self.broken: frozenset[str] = frozenset()

    def append(self, new: NewEntry) -> Entry:
        last = self.entries[-1] if self.entries else None
        self.entries.append(chained(new, "local", max(self.now, last.recorded_at) if last else self.now, last))
        return self.entries[-1]

    # ---- the world

    @rule(hours=st.sampled_from((1, 12, 24)))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @precondition(lambda self: self.runs % 5 == 4)
    @rule(versions=st.sets(NUMBERS, max_size=3))
    def files_go_and_come(self, versions: set[int]) -> None:
        self.broken = frozenset(map(str, versions))

    @rule(number=NUMBERS)
    def night_as_most_are(self, number: int) -> None:
        self.retrain(0, number)
        self.now += timedelta(hours=24)

    @rule(back=st.sampled_from((0, 1, 3)), number=NUMBERS)
    def retrain(self, back: int, number: int) -> None:
        """Of a new date, a late one or a rerun; the greater number is the better model."""
        as_of = current_ds(SCHEDULE, self.now) - back * DAY
        champion = standing(self.entries, SCHEDULE, as_of, self.now).champion
        promote = champion is None or number > int(champion.version)
        self.runs += 1
        digest = champion.sha256 if champion else ""
        verdict = Verdict(
            as_of, Decision(promote, ("by number",)), str(number), f"sha-{number}", digest, f"run-{self.runs}", "rule"
        )  # fmt: skip
        new = ruled(self.entries, PIPELINE, verdict, self.now)
        assert new is not None
        if isinstance(new, Entry):
            return
        if new.kind == "promotion":
            assert not self.frozen
            assert str(number) not in self.retired
            assert promote
            assert new.effective_from is not None
            self.starts[new.effective_from] = str(number)
        elif new.kind == "refusal" and promote and not new.reason.startswith("superseded"):
            assert new.reason.startswith("frozen by" if self.frozen else "its model was retired by")
        self.append(new)

    # ---- people

    def ordered(self, kind: Any, version: str = "", back: int | None = None) -> NewEntry | None:
        """The entry of an order that was taken; None where it was refused, which changes nothing."""
        first = None if back is None else current_ds(SCHEDULE, self.now) - back * DAY
        asked = Order(kind, "ann", "why", version, first)

        def serves(model: Any) -> str:
            return "gone" if model.version in self.broken else ""

        try:
            new = plan("parcels", SCHEDULE, self.entries, asked, self.now, serves).new
        except OrderRefused:
            return None
        if kind in ("rollback", "override"):
            assert new.version not in self.broken
            assert new.version not in self.retired
        before = self.champions()
        self.append(new)
        if new.version:
            effective = first or next_ds(SCHEDULE, self.now)
            assert new.effective_from == effective
            assert [day for day in DAYS if day < effective and self.champions()[day] != before[day]] == []
        return new

    @rule(version=st.none() | NUMBERS, back=BACK)
    def rollback(self, version: int | None, back: int | None) -> None:
        new = self.ordered("rollback", str(version) if version else "", back)
        if new and new.effective_from:
            self.starts = {day: found for day, found in self.starts.items() if day < new.effective_from}
            self.starts[new.effective_from] = new.version

    @precondition(lambda self: self.runs % 3 == 2)
    @rule(version=NUMBERS, back=BACK)
    def retire(self, version: int, back: int | None) -> None:
        before, new = self.champions(), self.ordered("retirement", str(version), back)
        if new is None or new.effective_from is None:
            return
        follower = new.details["follows"]["version"] if new.details["follows"] else None
        assert follower not in self.broken
        assert follower not in self.retired
        self.retired.setdefault(str(version), {})[new.effective_from] = follower
        for day, champion in self.champions().items():
            assert champion == before[day] or before[day] == str(version)

    @rule(version=NUMBERS)
    def override(self, version: int) -> None:
        if (new := self.ordered("override", str(version))) and new.effective_from:
            self.starts[new.effective_from] = str(version)

    @precondition(lambda self: not self.frozen and self.runs % 4 == 3)
    @rule()
    def freeze(self) -> None:
        assert self.ordered("freeze")
        assert self.ordered("freeze") is None
        self.frozen = True

    @rule()
    def unfreeze(self) -> None:
        assert (self.ordered("unfreeze") is not None) == self.frozen
        self.frozen = False

    # ---- who scores

    def champions(self) -> dict[date, str | None]:
        found = {day: champion_as_of(self.entries, day) for day in DAYS}
        return {day: champion.version if champion else None for day, champion in found.items()}

    @invariant()
    def each_day_is_scored_as_the_model_says(self) -> None:
        champion: str | None = None
        for day, found in self.champions().items():
            scores = champion = self.starts.get(day, champion)
            while scores in self.retired and min(self.retired[scores]) <= day:
                followers = self.retired[scores]
                scores = followers[max(first for first in followers if first <= day)]
            assert found == scores
            assert found is None or found not in self.retired or day < min(self.retired[found])


TestOrders = Orders.TestCase
TestOrders.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
