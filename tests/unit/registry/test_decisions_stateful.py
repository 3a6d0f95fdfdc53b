"""Any order of retrains, cutoffs, rollbacks and clocks: who is replaced is who was compared."""

from dataclasses import dataclass
from datetime import date, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from nightshift.registry.champions import Champion, champion_as_of
from nightshift.registry.decisions import Verdict, ruled, standing
from nightshift.registry.effective import next_ds
from nightshift.registry.entry import Entry, NewEntry, chained
from nightshift.registry.promotion import Decision
from nightshift.specs.calendar import current_ds, cutoff
from tests.conftest import make_pipeline

BACK = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 5, 9))
MODELS = st.integers(1, 40)
PIPELINE = make_pipeline()
SCHEDULE = PIPELINE.schedule
FIRST = date(2024, 3, 1)
DAY = timedelta(days=1)
DECIDES = ("promotion", "refusal")


@dataclass(frozen=True)
class Run:
    """A retrain that has compared and has not recorded yet."""

    as_of: date
    model: int
    number: int


class Decisions(RuleBasedStateMachine):
    """The pipeline's entries, a clock that goes on, and runs that compare at one moment and record at another."""

    compared = Bundle("compared")

    def __init__(self) -> None:
        super().__init__()
        self.now = cutoff(SCHEDULE, FIRST + 10 * DAY) + timedelta(hours=1)
        self.entries: list[Entry] = []
        self.runs = 0
        self.served: dict[date, Champion | None] = {}

    def append(self, new: NewEntry) -> Entry:
        last = self.entries[-1] if self.entries else None
        recorded = max(self.now, last.recorded_at) if last else self.now
        self.entries.append(chained(new, "local", recorded, last))
        return self.entries[-1]

    def compare(self, run: Run) -> Verdict:
        """The better model by its number, which is its version."""
        champion = standing(self.entries, SCHEDULE, run.as_of, self.now).champion
        promote = champion is None or run.model > int(champion.version)
        decision = Decision(promote, (f"{run.model} against {champion.version if champion else 'none'}",))
        digest = champion.sha256 if champion else ""
        return Verdict(run.as_of, decision, str(run.model), f"sha-{run.model}", digest, f"run-{run.number}", "tests")

    @rule(hours=st.sampled_from((1, 12, 24, 24, 72)))
    def time_passes(self, hours: int) -> None:
        """Nights that begin are scored by the champion of that moment."""
        before, self.now = current_ds(SCHEDULE, self.now), self.now + timedelta(hours=hours)
        for number in range(1, (current_ds(SCHEDULE, self.now) - before).days + 1):
            day = before + number * DAY
            self.served[day] = champion_as_of(self.entries, day)

    @rule(target=compared, back=BACK, model=MODELS)
    def run_compares(self, back: int, model: int) -> tuple[Run, Verdict]:
        """A scheduled run, a backfill or a cleared one: the rule cannot know."""
        self.runs += 1
        run = Run(max(current_ds(SCHEDULE, self.now) - back * DAY, FIRST), model, self.runs)
        return run, self.compare(run)

    @rule(back=BACK, model=MODELS, hours=st.sampled_from((1, 1, 24, 50)))
    def run_is_quick(self, back: int, model: int, hours: int) -> None:
        """A night as most are, and time until the next."""
        self.run_records(self.run_compares(back, model))
        self.time_passes(hours)

    @rule(found=consumes(compared), target=compared)
    def run_records(self, found: tuple[Run, Verdict]) -> tuple[Run, Verdict]:
        """It is compared again where the champion changed; a retry may follow."""
        run, verdict = found
        before, role = list(self.entries), standing(self.entries, SCHEDULE, run.as_of, self.now).role
        new = ruled(before, PIPELINE, verdict, self.now)
        if new is None:
            return run, self.compare(run)
        if isinstance(new, Entry):
            assert new in before
            return found
        entry = self.append(new)
        if entry.kind in DECIDES and not entry.reason.startswith("superseded"):
            self.check_replaced(verdict, before, role == "history", entry)
        self.check_nights_that_are_over(before, role)
        return found

    def check_replaced(self, verdict: Verdict, before: list[Entry], history: bool, entry: Entry) -> None:
        """The promise."""
        effective = verdict.as_of + DAY
        if not history:
            effective = max(effective, next_ds(SCHEDULE, self.now))
            assert cutoff(SCHEDULE, effective) > self.now
        assert entry.effective_from in (None, effective)
        replaced = champion_as_of(before, effective)
        assert entry.details["champion_sha256"] == (replaced.sha256 if replaced else "")
        if entry.effective_from:
            assert replaced is None or int(entry.version) > int(replaced.version)

    def check_nights_that_are_over(self, before: list[Entry], role: str) -> None:
        """History changes those before the first live decision, and gives a champion to those that have none."""
        live = [entry for entry in before if entry.details.get("history") is False and entry.kind in DECIDES]
        dates = [entry.as_of for entry in live if "taken_back" not in entry.details]
        first = min((day for day in dates if day), default=None)
        for day in self.served:
            then = champion_as_of(before, day)
            if role == "history" and (first is None or day <= first or then is None):
                continue
            assert champion_as_of(self.entries, day) == then

    @precondition(lambda self: self.runs % 4 == 3)
    @rule(version=MODELS, back=st.integers(-1, 5))
    def person_rolls_back(self, version: int, back: int) -> None:
        day = current_ds(SCHEDULE, self.now) - back * DAY
        self.append(NewEntry("parcels", "rollback", "ann", "", None, day, str(version), f"sha-{version}"))

    @precondition(lambda self: self.runs % 4 == 2)
    @rule(back=st.integers(-1, 5))
    def person_retires(self, back: int) -> None:
        day = current_ds(SCHEDULE, self.now) - back * DAY
        self.append(NewEntry("parcels", "retirement", "ann", "", None, day))

    @precondition(lambda self: self.runs % 4 == 1)
    @rule(back=st.integers(-1, 5), old=MODELS, other=st.booleans())
    def person_retires_a_champion(self, back: int, old: int, other: bool) -> None:
        """An older model follows, or nobody."""
        day = current_ds(SCHEDULE, self.now) - back * DAY
        champion = champion_as_of(self.entries, day)
        if champion is None or champion.version == str(old):
            return
        follows = {"version": str(old), "sha256": f"sha-{old}", "as_of": None} if other else None
        details = {"follows": follows}
        new = NewEntry("parcels", "retirement", "ann", "", None, day, champion.version, champion.sha256, details)
        self.append(new)

    @precondition(lambda self: self.runs % 5 == 4)
    @rule()
    def clock_of_an_old_ledger_jumped(self) -> None:
        """An entry that was recorded years ahead, effective as it said; as versions before this rule made them."""
        ahead = self.now + timedelta(days=700)
        new = NewEntry("parcels", "promotion", "old", "", FIRST, ahead.date(), "9", "sha-9", {"history": True})
        last = self.entries[-1] if self.entries else None
        self.entries.append(chained(new, "local", max(ahead, last.recorded_at) if last else ahead, last))

    @invariant()
    def no_date_has_two_live_decisions(self) -> None:
        """Unless a person has taken back what was decided: once more for each time that it happened."""
        live = [entry for entry in self.entries if entry.kind in DECIDES and entry.details.get("history") is False]
        dates = [(entry.as_of, entry.details.get("taken_back")) for entry in live]
        assert len(dates) == len(set(dates))
        live = [entry for entry in live if "taken_back" not in entry.details]
        in_turn = [entry.as_of for entry in live if not entry.reason.startswith("superseded")]
        assert in_turn == sorted(in_turn, key=str)

    @invariant()
    def history_is_before_the_first_live_decision(self) -> None:
        first: date | None = None
        for entry in self.entries:
            if entry.kind not in DECIDES or entry.actor != "tests" or entry.as_of is None:
                continue
            if entry.details["history"]:
                assert first is None or entry.as_of < first
            elif "taken_back" not in entry.details:
                first = min(first or entry.as_of, entry.as_of)


TestDecisions = Decisions.TestCase
TestDecisions.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_effective_dates_follow_no_stamp_of_the_future() -> None:
    machine = Decisions()
    machine.clock_of_an_old_ledger_jumped()
    run = Run(current_ds(SCHEDULE, machine.now), 5, 1)
    new = ruled(machine.entries, PIPELINE, machine.compare(run), machine.now)
    assert isinstance(new, NewEntry)
    assert new.effective_from == next_ds(SCHEDULE, machine.now)
