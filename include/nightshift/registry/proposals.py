"""Proposals: what the rule would promote and a person decides; pure functions of a pipeline's entries, in their order.

A proposal is an entry that changes no champion. What ends it is another entry, an ``approval`` or a ``refusal`` that
names it. Everything else that may become of it follows from the entries and the moment: no process has to be alive for
a proposal to expire, or to be superseded.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from nightshift.actor import SERVICE, person
from nightshift.errors import PromotionRefused
from nightshift.registry.champions import Champion, champion_as_of
from nightshift.registry.decisions import Standing, Verdict, details_of, live_decision, standing
from nightshift.registry.effective import effective_from
from nightshift.registry.entry import Entry, Kind, NewEntry
from nightshift.registry.interventions import held_by
from nightshift.specs.model import Pipeline, Schedule, seconds

State = Literal["open", "held", "approved", "refused", "expired", "superseded"]
Choice = Literal["approve", "reject", "expire"]

# In the details of an approval or a refusal: the proposal that it ends.
ENDS = "proposal"
# What an approval or a refusal has of its proposal's details.
_KEPT = ("champion_sha256", "history", "run_id", "taken_back")


@dataclass(frozen=True)
class Proposal:
    """A proposal's entry, read.

    ``champion_sha256`` is the model that it was compared with, empty where there was none. ``ordered_by`` is who
    ordered its run, empty where the schedule did. ``supersedes`` is the open proposal that the rule prefers it to.
    """

    entry: Entry
    as_of: date
    champion_sha256: str
    history: bool
    run_id: str
    ordered_by: str
    expires_at: datetime
    supersedes: int | None

    @property
    def seq(self) -> int:
        """The number of its entry."""
        return self.entry.seq

    @property
    def model(self) -> Champion:
        """The model that is proposed, as the champion that it may become."""
        entry = self.entry
        return Champion(entry.version, entry.model_sha256, entry.seq, self.as_of + timedelta(days=1), self.as_of)


@dataclass(frozen=True)
class Answer:
    """The end of the window on a proposal, by Airflow's record of it.

    ``by`` and ``login`` are the name and the id of whom Airflow had authenticated, empty where nobody answered. ``at``
    is Airflow's time of the answer, in ISO format; ``dag_id``, ``run_id`` and ``task_id`` are where its record is.
    """

    choice: Choice
    by: str = ""
    login: str = ""
    reason: str = ""
    at: str = ""
    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""

    def document(self) -> dict[str, Any]:
        """The answer as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Fate:
    """The state of a proposal so far, why (empty while it is open), and the entry that ended it, if one did."""

    state: State
    why: str = ""
    entry: Entry | None = None


def proposals(entries: Sequence[Entry]) -> list[Proposal]:
    """All proposals, in the order in which they were made."""
    return [_read(entry) for entry in entries if entry.kind == "proposal"]


def find_proposal(entries: Sequence[Entry], seq: int) -> Proposal:
    """The proposal of that number. Raises PromotionRefused where there is none."""
    found = next((item for item in proposals(entries) if item.seq == seq), None)
    if found is None:
        raise PromotionRefused(f"the ledger has no proposal {seq}", do="look at `nightshift proposals`")
    return found


def fate(entries: Sequence[Entry], schedule: Schedule, proposal: Proposal, now: datetime) -> Fate:
    """Return what became of a proposal until a moment (aware).

    Of one that is ``held`` promotions are frozen: it can be answered once they are not.
    """
    if end := ended(entries, proposal.seq):
        return Fate("approved" if end.kind == "approval" else "refused", end.reason, end)
    return _obstacle(entries, schedule, proposal, now) or Fate("open")


def open_proposal(entries: Sequence[Entry], schedule: Schedule, now: datetime) -> Proposal | None:
    """The proposal that waits for a person; there is one at most, since another one supersedes it or is none."""
    waiting = (item for item in proposals(entries) if fate(entries, schedule, item, now).state in ("open", "held"))
    return next(waiting, None)


def why_not_by(proposal: Proposal, *names: str) -> str:
    """Why somebody, by any of the names that Airflow knows, may not approve a proposal; empty where they may.

    What the schedule ordered any person approves; what a person ordered, another one.
    """
    known = {person(name) for name in names if person(name)}
    if not known:
        return "nobody has signed in"
    if SERVICE in known:
        return f"{SERVICE} is the platform's own account, and no person"
    if proposal.ordered_by == SERVICE:
        return "it is not known who ordered its run, so that nobody is known to be another person"
    if proposal.ordered_by and person(proposal.ordered_by) in known:
        return f"{proposal.ordered_by} ordered its run, and another person must approve it"
    return ""


def proposed(
    entries: Sequence[Entry], pipeline: Pipeline, verdict: Verdict, rival: int | None, ordered_by: str, now: datetime
) -> NewEntry | Entry | None:
    """The proposal that a verdict of the rule becomes, or the open one of the same model.

    ``rival`` is the open proposal that the rule prefers this one to. None where a person is not to be asked: the date
    is decided already, promotions are frozen or the model is retired; ``ruled`` then says so. None as well where
    ``compared_still`` is False.
    """
    found = standing(entries, pipeline.schedule, verdict.as_of, now)
    if found.role not in ("live", "history") or held_by(entries, verdict.model_sha256):
        return None
    waiting = open_proposal(entries, pipeline.schedule, now)
    if waiting is not None and waiting.entry.model_sha256 == verdict.model_sha256:
        return waiting.entry
    if not compared_still(entries, pipeline.schedule, verdict, rival, now):
        return None
    expires_at = now + timedelta(seconds=seconds(pipeline.promotion.approve_within))
    return NewEntry(
        pipeline=pipeline.name,
        kind="proposal",
        actor=verdict.actor,
        reason=verdict.decision.reason,
        as_of=verdict.as_of,
        version=verdict.version,
        model_sha256=verdict.model_sha256,
        details={
            **details_of(verdict, found),
            "ordered_by": ordered_by,
            "expires_at": expires_at.isoformat(timespec="seconds"),
            "supersedes": rival,
        },
        once=_once(verdict, rival, found),
    )


def compared_still(
    entries: Sequence[Entry], schedule: Schedule, verdict: Verdict, rival: int | None, now: datetime
) -> bool:
    """Return whether the champion and the open proposal that a verdict rests on are those of now."""
    waiting = open_proposal(entries, schedule, now)
    same = waiting is not None and waiting.entry.model_sha256 == verdict.model_sha256
    if not same and (waiting.seq if waiting else None) != rival:
        return False
    return verdict.compared == standing(entries, schedule, verdict.as_of, now).champion_sha256


def concluded(
    entries: Sequence[Entry], pipeline: Pipeline, seq: int, answer: Answer, now: datetime
) -> NewEntry | Entry:
    """The entry that ends a proposal: an approval, or a refusal that says why; the one that did so, where it is ended.

    An approval promotes only if the champion that it replaces is still the one that was compared, in time, and if its
    giver may. Raises PromotionRefused where there is no such proposal.
    """
    proposal = find_proposal(entries, seq)
    if end := ended(entries, seq):
        return end
    obstacle = _obstacle(entries, pipeline.schedule, proposal, now)
    reason, kind = _conclusion(proposal, answer, obstacle)
    entry, by_person = proposal.entry, kind == "approval" or answer.choice == "reject"
    effective = effective_from(pipeline.schedule, proposal.as_of, now, history=proposal.history)
    kept = {name: value for name, value in entry.details.items() if name in _KEPT}
    return NewEntry(
        pipeline=pipeline.name,
        kind=kind,
        actor=answer.by if by_person else entry.actor,
        reason=reason,
        as_of=proposal.as_of,
        effective_from=effective if kind == "approval" else None,
        version=entry.version,
        model_sha256=entry.model_sha256,
        details={**kept, ENDS: seq, "answer": answer.document()},
        once=f"proposal/{seq}",
    )


def _conclusion(proposal: Proposal, answer: Answer, obstacle: Fate | None) -> tuple[str, Kind]:
    if answer.choice == "reject":
        return f"rejected by {answer.by}: {answer.reason}", "refusal"
    if answer.choice == "expire":
        return (obstacle.why if obstacle else f"nobody answered proposal {proposal.seq}"), "refusal"
    why = obstacle.why if obstacle else why_not_by(proposal, answer.by, answer.login)
    if why:
        return f"{why}; {answer.by or 'nobody'} had approved it", "refusal"
    return f"approved by {answer.by}: {answer.reason}; the rule: {proposal.entry.reason}", "approval"


def _obstacle(entries: Sequence[Entry], schedule: Schedule, proposal: Proposal, now: datetime) -> Fate | None:
    """Why an approval would promote nothing now, if so."""
    if why := _superseded(entries, schedule, proposal, now):
        return Fate("superseded", f"superseded: {why}")
    if now >= proposal.expires_at:
        return Fate("expired", f"expired: not answered and recorded before {proposal.expires_at:%Y-%m-%d %H:%M} UTC")
    held = held_by(entries, proposal.entry.model_sha256)
    if held is None:
        return None
    by = f"by {held.by} in entry {held.seq} ({held.reason})"
    if held.kind == "freeze":
        return Fate("held", f"promotions are frozen {by}")
    return Fate("superseded", f"superseded: its model was retired {by}")


def _superseded(entries: Sequence[Entry], schedule: Schedule, proposal: Proposal, now: datetime) -> str:
    """The reason why the question that a proposal asks is no longer the one of now; empty where it is."""
    newer = next((item for item in proposals(entries) if item.supersedes == proposal.seq), None)
    if newer is not None:
        return f"the rule prefers version {newer.entry.version}, proposal {newer.seq}"
    since = [entry for entry in entries if entry.seq > proposal.seq]
    if decided := live_decision(since, proposal.as_of):
        return f"{proposal.as_of} was decided since, in entry {decided.seq}"
    if proposal.history and standing(entries, schedule, proposal.as_of, now).role != "history":
        return f"{proposal.as_of} was history, and live decisions were made since"
    effective = effective_from(schedule, proposal.as_of, now, history=proposal.history)
    champion = champion_as_of(entries, effective)
    if (champion.sha256 if champion else "") == proposal.champion_sha256:
        return ""
    present = f"version {champion.version}, by entry {champion.seq}" if champion else "nobody"
    return f"the champion that it was compared with is champion no more, {present} is"


def ended(entries: Sequence[Entry], seq: int) -> Entry | None:
    """The approval or refusal that ended a proposal, if one did."""
    ends = (entry for entry in entries if entry.kind in ("approval", "refusal") and entry.details.get(ENDS) == seq)
    return next(ends, None)


def _once(verdict: Verdict, rival: int | None, found: Standing) -> str:
    """The name of the event: the same decision once an order, another champion or another rival came is another."""
    since = found.withdrawn.seq if found.withdrawn else 0
    return f"proposal/{verdict.once}/{(verdict.compared or '')[:16]}/{rival or 0}/{since}"


def _read(entry: Entry) -> Proposal:
    details = entry.details
    assert entry.as_of is not None  # noqa: S101
    return Proposal(
        entry=entry,
        as_of=entry.as_of,
        champion_sha256=details["champion_sha256"],
        history=details["history"],
        run_id=details["run_id"],
        ordered_by=details["ordered_by"],
        expires_at=datetime.fromisoformat(details["expires_at"]),
        supersedes=details["supersedes"],
    )
