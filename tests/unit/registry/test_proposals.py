"""What may become of a proposal: any order of runs, answers, orders of people and clocks, and a real ledger."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nightshift.actor import SERVICE
from nightshift.errors import PromotionRefused
from nightshift.registry.champions import champion_as_of
from nightshift.registry.conclusion import approve, refuse
from nightshift.registry.decisions import Verdict, ruled, standing
from nightshift.registry.effective import next_ds
from nightshift.registry.entry import Entry, NewEntry, chained
from nightshift.registry.ledger import Ledger
from nightshift.registry.promotion import Decision, refused
from nightshift.registry.proposals import (
    ENDS,
    Answer,
    Proposal,
    concluded,
    fate,
    find_proposal,
    open_proposal,
    proposals,
    proposed,
    why_not_by,
)
from nightshift.registry.window import APPROVE, LONGEST, PROPOSAL, REASON, REJECT, answered
from nightshift.specs.calendar import current_ds, cutoff
from tests.conftest import make_pipeline, spec_document
from tests.postgres import of_people

PIPELINE = make_pipeline(
    promotion={**spec_document()["promotion"], "approval": "required", "approve_within": "2d"},
    schedule={**spec_document()["schedule"], "end": None},
)
SCHEDULE = PIPELINE.schedule
FIRST = date(2024, 3, 1)
DAY = timedelta(days=1)
PEOPLE = st.sampled_from(("ada", "ben", "Ada ", SERVICE, ""))
ORDERED = st.sampled_from(("", "", "ada", "ben", SERVICE))
BACK = st.sampled_from((0, 0, 0, 1, 2, 5))
MODELS = st.integers(1, 20)


class Proposals(RuleBasedStateMachine):
    """The better model is that of the greater number, which is its version."""

    def __init__(self) -> None:
        super().__init__()
        self.now = cutoff(SCHEDULE, FIRST + 10 * DAY) + timedelta(hours=1)
        self.entries: list[Entry] = []
        self.runs = 0

    def append(self, new: NewEntry) -> Entry:
        last = self.entries[-1] if self.entries else None
        self.entries.append(chained(new, "local", self.now, last))
        return self.entries[-1]

    def verdict(self, back: int, model: int) -> tuple[Verdict, int | None]:
        """What a run would compare now: with the champion, and with the open proposal."""
        self.runs += 1
        as_of = max(current_ds(SCHEDULE, self.now) - back * DAY, FIRST)
        champion = standing(self.entries, SCHEDULE, as_of, self.now).champion
        rival = open_proposal(self.entries, SCHEDULE, self.now)
        decision = Decision(champion is None or model > int(champion.version), (f"{model} is better",))
        if decision.promote and rival and model < int(rival.entry.version):
            decision = refused("the rule does not prefer it")
        digest = champion.sha256 if champion else ""
        found = Verdict(as_of, decision, str(model), f"sha-{model}", digest, f"run-{self.runs}", "tests")
        return found, rival.seq if rival else None

    @rule(hours=st.sampled_from((1, 12, 24, 24, 72)))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(back=BACK, model=MODELS, ordered_by=ORDERED, late=st.sampled_from((0, 0, 0, 30)))
    def run_asks(self, back: int, model: int, ordered_by: str, late: int) -> None:
        """A night's run, some time after it has compared; promote follows where nothing is proposed."""
        verdict, rival = self.verdict(back, model)
        self.now += timedelta(hours=late)
        before, open_before = list(self.entries), open_proposal(self.entries, SCHEDULE, self.now)
        new = None
        if verdict.decision.promote:
            new = proposed(before, PIPELINE, verdict, rival, ordered_by, self.now)
        if isinstance(new, NewEntry):
            entry = self.append(new)
            supersedes = proposals([entry])[0].supersedes
            assert supersedes == (open_before.seq if open_before else None)
            if open_before:
                assert int(entry.version) > int(open_before.entry.version)
        elif new is None:
            self.run_asks_nobody_with(verdict)

    @rule(back=BACK, model=MODELS)
    def run_asks_nobody(self, back: int, model: int) -> None:
        """A backfill, or a shell."""
        self.run_asks_nobody_with(self.verdict(back, model)[0])

    def run_asks_nobody_with(self, verdict: Verdict) -> None:
        new = ruled(self.entries, PIPELINE, verdict, self.now)
        if isinstance(new, NewEntry):
            assert new.kind != "promotion" or new.details["history"]
            self.append(new)

    @precondition(lambda self: proposals(self.entries))
    @rule(which=st.integers(0, 3), by=PEOPLE, choice=st.sampled_from(("approve", "approve", "approve", "reject")))
    def somebody_answers(self, which: int, by: str, choice: Any) -> None:
        """In the newest windows, or in one of nights ago that is still there."""
        item = proposals(self.entries)[::-1][: which + 1][-1]
        before = list(self.entries)
        new = concluded(before, PIPELINE, item.seq, Answer(choice, by, by, "why"), self.now)
        if isinstance(new, Entry):
            assert new.details[ENDS] == item.seq
            return
        entry = self.append(new)
        if entry.kind == "approval":
            self.check_approved(item, entry, before, by)
        again = concluded(self.entries, PIPELINE, item.seq, Answer("approve", "eve", "eve", "why"), self.now)
        assert again == entry

    def check_approved(self, item: Proposal, entry: Entry, before: list[Entry], by: str) -> None:
        """The promises."""
        assert entry.effective_from is not None
        replaced = champion_as_of(before, entry.effective_from)
        assert entry.details["champion_sha256"] == item.champion_sha256 == (replaced.sha256 if replaced else "")
        assert replaced is None or int(entry.version) > int(replaced.version)
        if not item.history:
            assert entry.effective_from == max(item.as_of + DAY, next_ds(SCHEDULE, self.now))
        assert self.now < item.expires_at
        assert by.strip().casefold() not in ("", SERVICE, item.ordered_by)
        assert item.ordered_by != SERVICE
        assert all(other.supersedes != item.seq for other in proposals(before))
        assert entry.actor == by

    @precondition(lambda self: open_proposal(self.entries, SCHEDULE, self.now))
    @rule()
    def another_person_approves_what_waits(self) -> None:
        """As most do, so that there are champions."""
        self.somebody_answers(0, "eve", "approve")

    @precondition(lambda self: self.runs % 2 == 1)
    @rule(version=MODELS, back=st.integers(-1, 3))
    def person_rolls_back(self, version: int, back: int) -> None:
        day = current_ds(SCHEDULE, self.now) - back * DAY
        self.append(NewEntry("parcels", "rollback", "ann", "", None, day, str(version), f"sha-{version}"))

    @precondition(lambda self: self.runs % 4 == 2)
    @rule(version=MODELS)
    def person_retires(self, version: int) -> None:
        day, details = current_ds(SCHEDULE, self.now), {"follows": None}
        self.append(NewEntry("parcels", "retirement", "ann", "", None, day, str(version), f"sha-{version}", details))

    @precondition(lambda self: self.runs % 4 == 1)
    @rule(kind=st.sampled_from(("freeze", "unfreeze", "unfreeze")))
    def person_freezes(self, kind: Any) -> None:
        self.append(NewEntry("parcels", kind, "ann", ""))

    @invariant()
    def one_at_most_waits(self) -> None:
        states = [fate(self.entries, SCHEDULE, item, self.now).state for item in proposals(self.entries)]
        assert sum(state in ("open", "held") for state in states) <= 1

    @invariant()
    def nothing_is_ended_twice(self) -> None:
        ends = [entry.details[ENDS] for entry in self.entries if ENDS in entry.details]
        assert len(ends) == len(set(ends))


TestProposals = Proposals.TestCase
TestProposals.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


# ---- who may


@pytest.mark.parametrize(
    ("ordered_by", "names", "words"),
    [
        ("", ("ada",), ""),
        ("ben", ("ada",), ""),
        ("ada", ("ada",), "ada ordered its run"),
        ("ada", ("Ada Lovelace", " ADA "), "ada ordered its run"),
        ("", ("", ""), "nobody has signed in"),
        ("", ("Airflow",), "no person"),
        (SERVICE, ("ada",), "it is not known who ordered its run"),
    ],
)
def test_who_may_approve(ordered_by: str, names: tuple[str, ...], words: str) -> None:
    entry = chained(_proposal(datetime(2024, 3, 5, tzinfo=UTC), ordered_by), "local", datetime.now(UTC), None)
    why = why_not_by(proposals([entry])[0], *names)
    assert (words in why) if words else not why


def _proposal(now: datetime, ordered_by: str = "", **changes: Any) -> NewEntry:
    verdict = Verdict(
        current_ds(SCHEDULE, now), Decision(True, ("it is better",)), "1", "sha-1", "", "run-1", "tests", **changes
    )
    found = proposed([], PIPELINE, verdict, None, ordered_by, now)
    assert isinstance(found, NewEntry)
    return found


# ---- how Airflow's record is read

WHERE = {"dag_id": "parcels__retrain", "run_id": "r", "task_id": "approval"}
EVENT = {
    "chosen_options": [APPROVE],
    "params_input": {REASON: "ticket  4711", PROPOSAL: 7},
    "responded_at": datetime(2024, 3, 5, tzinfo=UTC),
    "responded_by_user": {"id": "7", "name": "ada"},
    "timedout": False,
}


def test_an_answer_is_whom_airflow_names() -> None:
    answer, why = answered(EVENT, 7, WHERE)
    assert not why
    assert answer == Answer("approve", "ada", "7", "ticket 4711", "2024-03-05T00:00:00+00:00", **WHERE)
    assert answered({**EVENT, "chosen_options": [REJECT]}, 7, WHERE)[0].choice == "reject"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"responded_by_user": None}, "nobody had signed in"),  # as of an answer by a task's own token
        ({"responded_by_user": {"id": "7", "name": "root (uid 0)"}}, "nobody can tell who it is"),
        ({"params_input": {PROPOSAL: 7}}, "ada gave no reason"),
        ({"params_input": {REASON: "x" * (LONGEST + 1), PROPOSAL: 7}}, "ada gave no reason"),
        ({"params_input": {REASON: "a\x1b[2Jb", PROPOSAL: 7}}, "ada gave no reason"),
        ({"params_input": {REASON: "why", PROPOSAL: 6}}, "another proposal than 7"),
        ({"params_input": {REASON: "why"}}, "another proposal than 7"),
        ({"chosen_options": ["Approve", "Reject"]}, "chose neither"),
        ({"chosen_options": []}, "chose neither"),
        ({"error": "broken", "error_type": "unknown"}, "could not read"),
    ],
)
def test_an_answer_that_cannot_count_is_asked_again(changes: dict[str, Any], words: str) -> None:
    assert words in answered({**EVENT, **changes}, 7, WHERE)[1]


@pytest.mark.parametrize("event", [{"error": "late", "error_type": "timeout"}, {**EVENT, "timedout": True}])
def test_nobody_answered(event: dict[str, Any]) -> None:
    assert answered(event, 7, WHERE) == (Answer("expire", **WHERE), "")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "chosen_options": st.lists(st.sampled_from((APPROVE, REJECT, "x")), max_size=2),
            "params_input": st.dictionaries(st.sampled_from((REASON, PROPOSAL)), st.none() | st.integers() | st.text()),
            "responded_by_user": st.none() | st.fixed_dictionaries({"id": st.text(), "name": st.text()}),
            "responded_at": st.none(),
        },
    )
)
def test_no_record_approves_without_a_person_and_a_reason(event: dict[str, Any]) -> None:
    answer, why = answered(event, 7, WHERE)
    assert why or (answer.by and answer.reason)


# ---- on a real ledger


def appended(ledger: Ledger, ordered_by: str = "") -> Entry:
    entry = ledger.append_seeing("parcels", lambda _past, now: _proposal(now, ordered_by))
    assert entry is not None
    return entry


def end(ledger: Ledger, seq: int, answer: Answer) -> Entry:
    """By the role that may, as the API server and the task ``promote`` do between them."""
    entry = refuse(ledger, PIPELINE, seq, answer) or approve(of_people(ledger), PIPELINE, seq, answer)
    assert entry is not None
    return entry


def test_an_approval_is_its_persons_and_says_where_airflow_has_it(ledger: Ledger) -> None:
    proposal = appended(ledger)
    assert (proposal.kind, proposal.effective_from) == ("proposal", None)
    assert champion_as_of(ledger.entries(), date.max) is None
    answer = Answer("approve", "ada", "7", "ticket 4711", "2024-03-05T00:00:00+00:00", **WHERE)
    found = end(ledger, proposal.seq, answer)
    assert (found.kind, found.actor, found.version) == ("approval", "ada", "1")
    assert found.reason == "approved by ada: ticket 4711; the rule: it is better"
    assert found.details["answer"] == answer.document()
    assert found.details[ENDS] == proposal.seq
    champion = champion_as_of(ledger.entries(), date.max)
    assert champion is not None
    assert champion.seq == found.seq
    assert ledger.verify() == 2


def test_of_two_answers_at_once_one_counts(ledger: Ledger) -> None:
    proposal = appended(ledger)
    answers = [Answer("approve", "ada", "ada", "yes"), Answer("reject", "ben", "ben", "no")] * 4
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda answer: end(ledger, proposal.seq, answer).seq, answers))
    assert len(found) == 1
    assert len(ledger.entries()) == 2


def test_a_rejection_and_an_expiry_are_refusals_with_their_reasons(ledger: Ledger) -> None:
    found = end(ledger, appended(ledger).seq, Answer("reject", "ada", "ada", "a strike"))
    assert (found.kind, found.actor, found.reason) == ("refusal", "ada", "rejected by ada: a strike")
    assert found.effective_from is None


def test_the_orderer_approves_nothing(ledger: Ledger) -> None:
    found = end(ledger, appended(ledger, "ada").seq, Answer("approve", "ada", "ada", "mine"))
    assert found.kind == "refusal"
    assert "ada ordered its run, and another person must approve it; ada had approved it" in found.reason


def test_too_late_is_expired(ledger: Ledger) -> None:
    proposal = proposals([appended(ledger)])[0]
    late = proposal.expires_at
    found = concluded([proposal.entry], PIPELINE, proposal.seq, Answer("approve", "ada", "ada", "yes"), late)
    assert found.kind == "refusal"
    assert found.reason.startswith("expired: ")
    assert fate([proposal.entry], SCHEDULE, proposal, late).state == "expired"
    assert fate([proposal.entry], SCHEDULE, proposal, late - timedelta(seconds=1)).state == "open"


def test_a_frozen_one_waits_until_it_may_be_answered(ledger: Ledger) -> None:
    proposal = proposals([appended(ledger)])[0]
    ledger.append(NewEntry("parcels", "freeze", "ann", "audit"))
    assert fate(ledger.entries(), SCHEDULE, proposal, datetime.now(UTC)).state == "held"
    ledger.append(NewEntry("parcels", "unfreeze", "ann", "over"))
    assert fate(ledger.entries(), SCHEDULE, proposal, datetime.now(UTC)).state == "open"


def test_a_late_approval_of_an_older_date_counts_though_a_newer_one_was_refused() -> None:
    """The refusal changed no champion: what was compared is what is replaced."""
    now = cutoff(SCHEDULE, FIRST + 3 * DAY) + timedelta(hours=1)
    first = chained(_proposal(now), "local", now, None)
    worse = Verdict(FIRST + 4 * DAY, refused("worse"), "2", "sha-2", "", "run-2", "tests")
    later = ruled([first], PIPELINE, worse, now + DAY)
    assert isinstance(later, NewEntry)
    past = [first, chained(later, "local", now + DAY, first)]
    found = concluded(past, PIPELINE, first.seq, Answer("approve", "ada", "ada", "yes"), now + DAY)
    assert (found.kind, found.effective_from) == ("approval", FIRST + 5 * DAY)


def test_a_champion_that_changed_supersedes(ledger: Ledger) -> None:
    proposal = appended(ledger)
    day = next_ds(SCHEDULE, datetime.now(UTC))
    ledger.append(NewEntry("parcels", "override", "ann", "strike", None, day, "9", "sha-9"))
    found = end(ledger, proposal.seq, Answer("approve", "ada", "ada", "yes"))
    assert found.kind == "refusal"
    assert "superseded: the champion that it was compared with is champion no more, version 9, by entry 2 is" in (
        found.reason
    )


def test_the_same_decision_is_one_proposal(ledger: Ledger) -> None:
    assert appended(ledger).seq == appended(ledger).seq
    with pytest.raises(PromotionRefused, match="the ledger has no proposal 9"):
        find_proposal(ledger.entries(), 9)


def test_without_a_person_nothing_is_promoted_live() -> None:
    now = datetime.now(UTC)
    verdict = Verdict(current_ds(SCHEDULE, now), Decision(True, ("better",)), "1", "sha-1", "", "run-1", "tests")
    found = ruled([], PIPELINE, verdict, now)
    assert isinstance(found, NewEntry)
    assert (found.kind, found.effective_from) == ("refusal", None)
    assert found.reason.startswith("a person must approve")
    old = ruled([], PIPELINE, replace(verdict, as_of=FIRST), now)
    assert isinstance(old, NewEntry)
    assert old.kind == "promotion", "history is rebuilt by the rule"
