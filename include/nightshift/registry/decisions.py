"""What a decision about an as-of date may change, and how it is recorded: one rule, whoever asks.

The rule sees the entries and the moment, never who asked or when: a scheduled run, a backfill, a cleared task and the
command line get the same answer. It is applied behind the ledger's lock, so that the champion that is replaced is the
champion that was compared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from nightshift.errors import PromotionRefused
from nightshift.lineage import recipe
from nightshift.registry.champions import Champion, champion_as_of, decided_from, timeline
from nightshift.registry.effective import effective_from, next_ds
from nightshift.registry.entry import Entry, Kind, NewEntry
from nightshift.registry.interventions import held_by, taken_back
from nightshift.registry.ledger import CLOCKS_DIFFER, Ledger
from nightshift.registry.promotion import Decision
from nightshift.specs.model import Pipeline, Schedule

Role = Literal["live", "history", "rerun", "superseded"]

_DECIDES = ("promotion", "approval", "refusal")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Standing:
    """What a decision about an as-of date is at one moment.

    ``champion`` is whom a promotion would replace, from ``effective_from`` on. A ``rerun`` and one that is
    ``superseded`` decide nothing, because of the entry ``because``. ``over`` says that the night after the date is no
    longer to come. ``withdrawn`` is the rollback or retirement after which the date may be decided once more.
    """

    role: Role
    effective_from: date
    champion: Champion | None
    over: bool
    because: Entry | None = None
    withdrawn: Entry | None = None

    @property
    def champion_sha256(self) -> str:
        """The model of the champion that would be replaced, empty where there is none."""
        return self.champion.sha256 if self.champion else ""


@dataclass(frozen=True)
class Verdict:
    """What a run found about the challenger of an as-of date.

    ``version`` and ``model_sha256`` are empty where there is no challenger (too few days). ``compared`` is the SHA-256
    of the champion that the decision rests on, empty where there was none; None where the decision rests on no
    champion at all.
    """

    as_of: date
    decision: Decision
    version: str
    model_sha256: str
    compared: str | None
    run_id: str
    actor: str

    @property
    def once(self) -> str:
        """The name of the event: a retry, which is the same decision of the same run, is no other one."""
        what = recipe(version=self.version, model=self.model_sha256, decision=vars(self.decision))
        return f"{self.run_id}/{self.as_of}/{what}"


@dataclass(frozen=True)
class Recorded:
    """The entry that answers a verdict; ``stands`` where it was there before."""

    entry: Entry
    stands: bool


def standing(entries: Sequence[Entry], schedule: Schedule, as_of: date, now: datetime) -> Standing:
    """The standing of a decision about ``as_of``, by a pipeline's entries so far and the moment (aware). Pure.

    A date that is decided live stays decided. A date that is over is history where no live decision is as of that day
    or an earlier one: it counts from the day after, unless it would reach into the nights of live decisions. Any other
    decision is live, however late it is recorded: it counts from a night that is not over. It is superseded once a
    later as-of date was decided. A date whose promotion a person has taken back since is decided once more, live.
    Raises PromotionRefused for a date that has not come yet.
    """
    following = next_ds(schedule, now)
    # Tonight, decided by hand before its time, would leave the scheduled decision superseded.
    if as_of >= next_ds(schedule, now + CLOCKS_DIFFER):
        raise PromotionRefused(f"{as_of} has not come yet", allowed=f"as-of dates before {following}")
    over = as_of + _DAY < following
    if withdrawn := taken_back(entries, as_of):
        since = [entry for entry in entries if entry.seq > withdrawn.seq]
        effective = effective_from(schedule, as_of, now, history=False)
        champion, because = champion_as_of(entries, effective), live_decision(since, as_of)
        role: Role = "rerun" if because else "live"
        if because is None and (because := _newest_decided(since, as_of, following)):
            role = "superseded"
        return Standing(role, effective, champion, over, because, withdrawn)
    own = live_decision(entries, as_of)
    first = min(((day, entry.seq, entry) for day, entry in _dated(_first_time(entries))), default=None)
    history = over and (first is None or as_of < first[0])
    later = _newest_decided(entries, as_of, following)
    effective = effective_from(schedule, as_of, now, history=history)
    champion = champion_as_of(entries, effective)
    if own is None and history and first is not None and _reaches(entries, as_of, first[0]):
        own = first[-1]
    if own is not None:
        return Standing("rerun", effective, champion, over, own)
    if history:
        return Standing("history", effective, champion, over)
    return Standing("superseded" if later else "live", effective, champion, over, later)


def ruled(entries: Sequence[Entry], pipeline: Pipeline, verdict: Verdict, now: datetime) -> NewEntry | Entry | None:
    """The entry that a verdict becomes, or the one that answers it already.

    None where the champion that it would replace is not the one that was compared: compare again. What the rule would
    promote is refused while promotions are frozen, where the model is retired, and where a person must approve of it:
    a run that can ask one makes a proposal instead. History is rebuilt by the rule alone. Pure.
    """
    found = standing(entries, pipeline.schedule, verdict.as_of, now)
    if answer := _answer(entries, verdict, found):
        return answer
    decides = found.role in ("live", "history")
    if decides and verdict.compared is not None and verdict.compared != found.champion_sha256:
        return None
    kind: Kind = "refusal"
    held = held_by(entries, verdict.model_sha256) if decides and verdict.decision.promote else None
    if found.role == "rerun":
        kind = "rerun"
    elif decides and verdict.decision.promote and not held and not _unasked(pipeline, found):
        kind = "promotion"
    return NewEntry(
        pipeline=pipeline.name,
        kind=kind,
        actor=verdict.actor,
        reason=_reason(pipeline, verdict, found, held),
        as_of=verdict.as_of,
        effective_from=found.effective_from if kind == "promotion" else None,
        version=verdict.version,
        model_sha256=verdict.model_sha256,
        details=details_of(verdict, found),
        once=_once(verdict, found, held),
    )


def details_of(verdict: Verdict, found: Standing) -> dict[str, Any]:
    """The details of an entry about a verdict: its evidence, whom it was compared with, and what it may change."""
    return {
        **verdict.decision.details,
        "champion_sha256": verdict.compared or "",
        "history": found.role == "history",
        "run_id": verdict.run_id,
        **({"taken_back": found.withdrawn.seq} if found.withdrawn else {}),
    }


def record_decision(ledger: Ledger, pipeline: Pipeline, verdict: Verdict) -> Recorded | None:
    """Records a verdict by the rule of ``ruled``, behind the ledger's lock; None where nothing was recorded.

    The alias is not its business. Raises PromotionRefused, PlatformError.
    """
    stands = False

    def compose(past: list[Entry], now: datetime) -> NewEntry | Entry | None:
        nonlocal stands
        found = ruled(past, pipeline, verdict, now)
        stands = isinstance(found, Entry)
        return found

    entry = ledger.append_seeing(pipeline.name, compose)
    return Recorded(entry, stands) if entry is not None else None


def live_decision(entries: Iterable[Entry], as_of: date) -> Entry | None:
    """The decision about an as-of date that was made live, not while history was rebuilt."""
    return next((entry for entry in _live(entries) if entry.as_of == as_of), None)


def _live(entries: Iterable[Entry]) -> Iterable[Entry]:
    return (entry for entry in entries if entry.kind in _DECIDES and entry.details.get("history") is False)


def _first_time(entries: Iterable[Entry]) -> Iterable[Entry]:
    """Live decisions, without those that decided a date once more: they begin no live time of the pipeline."""
    return (entry for entry in _live(entries) if "taken_back" not in entry.details)


def _once(verdict: Verdict, found: Standing, held: Entry | None) -> str:
    """The name of the event: once a person's order changed what may come of it, the same decision is another event."""
    since = [entry for entry in (found.withdrawn, held) if entry is not None]
    return "/".join([verdict.once, *(str(entry.seq) for entry in since)])


def _dated(entries: Iterable[Entry]) -> Iterable[tuple[date, Entry]]:
    return ((entry.as_of, entry) for entry in entries if entry.as_of is not None)


def _reaches(entries: Sequence[Entry], as_of: date, first_live: date) -> bool:
    """Return whether a promotion from the day after ``as_of`` on would replace the champion of live decisions' nights.

    It does where the first champion of those nights was decided no later: whoever follows a retired model is one, too.
    Nights without any champion are nobody's.
    """
    first = first_live + _DAY
    nights = [first, *(day for day, _ in timeline(entries) if day > first)]
    decided = (decided_from(entries, night) for night in nights)
    return next((day <= as_of + _DAY for day in decided if day is not None), False)


def _newest_decided(entries: Iterable[Entry], as_of: date, until: date) -> Entry | None:
    """The decision about the latest date after ``as_of``. One of a date that has not come supersedes nothing."""
    decided = _dated(entry for entry in entries if entry.kind in _DECIDES)
    later = [(day, entry.seq, entry) for day, entry in decided if as_of < day <= until]
    return max(later)[-1] if later else None


def _answer(entries: Sequence[Entry], verdict: Verdict, found: Standing) -> Entry | None:
    """The entry that answers this verdict already: of the same event, or with nothing new to say."""
    events = (_once(verdict, found, None), _once(verdict, found, held_by(entries, verdict.model_sha256)))
    if retried := next((entry for entry in entries if entry.once in events), None):
        return retried
    if found.role == "rerun" and found.because is not None:
        return found.because if _same_run(verdict, found.because, found.over) else None
    if found.role == "superseded":
        return None
    if found.champion and found.champion.sha256 == verdict.model_sha256:  # the challenger is champion already
        return next(entry for entry in entries if entry.seq == found.champion.seq)
    since = found.withdrawn.seq if found.withdrawn else 0
    own = [entry for entry in entries if entry.seq > since and entry.as_of == verdict.as_of]
    own = [entry for entry in own if entry.model_sha256 == verdict.model_sha256]
    last = next((entry for entry in reversed(own) if entry.kind in _DECIDES), None)
    return last if last and _same_refusal(verdict, last, found) else None


def _same_run(verdict: Verdict, decided: Entry, over: bool) -> bool:
    """Whether a date's live decision is that of this verdict; of a date that is over, it is only its own run's."""
    if decided.model_sha256 != verdict.model_sha256 or (over and decided.details.get("run_id") != verdict.run_id):
        return False
    return decided.kind != "refusal" or (not verdict.decision.promote and decided.reason == verdict.decision.reason)


def _same_refusal(verdict: Verdict, last: Entry, found: Standing) -> bool:
    if last.kind != "refusal" or verdict.decision.promote or last.reason != verdict.decision.reason:
        return False
    compared = last.details.get("champion_sha256")
    return compared == (verdict.compared or "") and verdict.compared in (None, found.champion_sha256)


def _unasked(pipeline: Pipeline, found: Standing) -> bool:
    """Return whether a promotion would be live without the person that the spec requires."""
    return pipeline.promotion.needs_person and found.role == "live"


def _reason(pipeline: Pipeline, verdict: Verdict, found: Standing, held: Entry | None) -> str:
    reason, because = verdict.decision.reason, found.because
    if held is not None:
        what = "frozen" if held.kind == "freeze" else "its model was retired"
        return f"{what} by {held.by} in entry {held.seq} ({held.reason}); the rule would promote it: {reason}"
    if because is None and verdict.decision.promote and _unasked(pipeline, found):
        asks = "a run of the retrain's DAG that is triggered in Airflow does"
        what = "a person must approve, whom no backfill, no shell and no second comparison asks"
        return f"{what}; {asks}; the rule: {reason}"
    if because is None:
        return reason
    if found.role == "superseded":
        return f"superseded: {because.as_of} was decided before {verdict.as_of}, in entry {because.seq}"
    would = "promoted" if verdict.decision.promote else "refused"
    own = because.as_of == verdict.as_of
    keeps = f"{verdict.as_of} keeps its live decision" if own else "the nights of live decisions keep their champion"
    return f"{keeps}, entry {because.seq}; this rerun would be {would}: {reason}"
