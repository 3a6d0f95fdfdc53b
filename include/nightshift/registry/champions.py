"""Who is champion, as a pure function of the ledger's entries.

All functions take the entries of one pipeline in the order of their sequence, as ``Ledger.entries(pipeline)`` gives
them. A promotion, an approval, a rollback or an override with an effective date makes its version champion from that
date on. A retirement takes its model out of every day from its date on, whatever makes it champion there, and names who
follows. Refusals, reruns, waivers and freezes change nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from nightshift.registry.entry import Entry, Kind
from nightshift.specs.calendar import current_ds
from nightshift.specs.model import Pipeline, Schedule

MAKES: tuple[Kind, ...] = ("promotion", "approval", "rollback", "override")
FOLLOWS = "follows"  # in a retirement's details: the model that scores instead of the retired one, or None


@dataclass(frozen=True)
class Champion:
    """The version that scores, and the entry that says so. ``as_of`` is None where the entry names none."""

    version: str
    sha256: str
    seq: int
    effective_from: date
    as_of: date | None


Reign = tuple[date, Champion | None]


def champion_as_of(entries: Iterable[Entry], ds: date, known_at: datetime | None = None) -> Champion | None:
    """The champion for ``ds``, by what was recorded until ``known_at`` (an aware datetime; None: by everything).

    The greatest effective date not after ``ds`` counts, of equal ones the later entry. A rollback effective E voids the
    entries recorded before it that are effective at or after E, but no retirement. A retired model is never champion.
    """
    known = _known(entries, known_at)
    holding = [(day, entry) for day, entry in _holding(known) if day <= ds]
    retirements = [entry for entry in known if _retires(entry)]
    return _scoring(max(holding, key=_rank), retirements, ds) if holding else None


def decided_from(entries: Iterable[Entry], ds: date) -> date | None:
    """The effective date of the entry that decides who scores ``ds``; None where nobody does.

    What is effective after it decides the day instead. Of one who follows a retired model it is that model's date.
    """
    known = _known(entries, None)
    holding = [(day, entry) for day, entry in _holding(known) if day <= ds]
    return max(holding, key=_rank)[0] if holding and champion_as_of(known, ds) else None


def champion_at(entries: Iterable[Entry], schedule: Schedule, moment: datetime) -> Champion | None:
    """The champion at a moment: for the ``ds`` that was current, by what was known then."""
    return champion_as_of(entries, current_ds(schedule, moment), known_at=moment)


def timeline(entries: Iterable[Entry]) -> list[Reign]:
    """Each day on which the champion changes, with who scores from then on; None where nobody does."""
    known = _known(entries, None)
    holding = sorted(_holding(known), key=_rank)
    begins = dict(holding)  # of equal days the later entry stays
    retirements = [entry for entry in known if _retires(entry)]
    days = {*begins, *(entry.effective_from for entry in retirements if entry.effective_from)}
    reigns: list[Reign] = []
    holder: tuple[date, Entry] | None = None
    for ds in sorted(days):
        if ds in begins:
            holder = (ds, begins[ds])
        found = _scoring(holder, retirements, ds) if holder else None
        if not reigns or reigns[-1][1] != found:
            reigns.append((ds, found))
    return reigns


def reigns_from(entries: Iterable[Entry], first: date) -> list[Reign]:
    """The champion of ``first``, and the changes after it."""
    entries = list(entries)
    later = [(day, champion) for day, champion in timeline(entries) if day > first]
    return [(first, champion_as_of(entries, first)), *later]


def reigning(reigns: Sequence[Reign], ds: date) -> Champion | None:
    """The champion of ``ds`` by reigns in the order of their days; None before the first, and where nobody reigns."""
    return next((champion for day, champion in reversed(reigns) if day <= ds), None)


def first_champion_date(entries: Iterable[Entry]) -> date | None:
    """The first ``ds`` that has a champion; None where no day ever has one."""
    return next((day for day, champion in timeline(entries) if champion), None)


def alias_target(entries: Iterable[Entry], pipeline: Pipeline, now: datetime) -> Champion | None:
    """The champion that MLflow's alias shows: that of the current ``ds``, moved into the spec's range."""
    return champion_as_of(entries, _alias_day(pipeline.schedule, now))


def alias_targets(entries: Sequence[Entry], pipeline: Pipeline, now: datetime) -> list[Champion | None]:
    """The champions that the alias may name: today's first, then those of the days since the newest entry.

    The alias is set after each entry. A champion that only counts from a later night is shown after the next one.
    """
    today = _alias_day(pipeline.schedule, now)
    since = _alias_day(pipeline.schedule, entries[-1].known_at) if entries else today
    reigns = reigns_from(entries, min(since, today))
    return [champion for day, champion in reversed(reigns) if day <= today]


def _alias_day(schedule: Schedule, now: datetime) -> date:
    ds = max(current_ds(schedule, now), schedule.start)
    return min(ds, schedule.end) if schedule.end else ds


def retirement_of(entries: Iterable[Entry], sha256: str) -> Entry | None:
    """The newest retirement of a model, if it is retired from any day on."""
    return next((entry for entry in reversed(list(entries)) if _retires(entry) and entry.model_sha256 == sha256), None)


def _known(entries: Iterable[Entry], known_at: datetime | None) -> list[Entry]:
    """The entries that were recorded until then, newest first."""
    known = [entry for entry in entries if known_at is None or entry.known_at <= known_at]
    return sorted(known, key=lambda item: item.seq, reverse=True)


def _holding(known: Sequence[Entry]) -> list[tuple[date, Entry]]:
    """The entries that change the champion and are not voided, with their effective dates, newest first.

    A voided entry that itself voids needs no care: whatever it voids, the entry that voids it voids as well.
    """
    holding: list[tuple[date, Entry]] = []
    voided_from = date.max
    for entry in known:
        day = entry.effective_from
        if day is None or day >= voided_from or not (entry.kind in MAKES or _ends_all(entry)):
            continue
        holding.append((day, entry))
        if entry.kind == "rollback" or _ends_all(entry):
            voided_from = day
    return holding


def _rank(item: tuple[date, Entry]) -> tuple[date, int]:
    return item[0], item[1].seq


def _retires(entry: Entry) -> bool:
    return entry.kind == "retirement" and bool(entry.model_sha256) and entry.effective_from is not None


def _ends_all(entry: Entry) -> bool:
    """A retirement that names no model, as no command writes any more: it voids like a rollback, to nobody."""
    return entry.kind == "retirement" and not entry.model_sha256


def _scoring(holder: tuple[date, Entry], retirements: Sequence[Entry], ds: date) -> Champion | None:
    """The champion of ``ds`` where ``holder`` decides it: its version, or who follows that if it is retired by then.

    ``retirements`` are all that name a model, newest first.
    """
    day, entry = holder
    if entry.kind not in MAKES:
        return None
    champion = Champion(entry.version, entry.model_sha256, entry.seq, day, entry.as_of)
    retired: set[str] = set()
    while found := _retired_by(retirements, champion.sha256, ds):
        follower = _follower(found, champion)
        retired.add(champion.sha256)
        if follower is None or follower.sha256 in retired:  # no command lets retired models follow each other
            return None
        champion = follower
    return champion


def _retired_by(retirements: Sequence[Entry], sha256: str, ds: date) -> Entry | None:
    """The retirement of a model that a day goes by: of those until then the latest, since one moved ahead adds days."""
    own = [(entry.effective_from, entry) for entry in retirements if entry.model_sha256 == sha256]
    return max(((day, entry) for day, entry in own if day and day <= ds), key=_rank, default=(ds, None))[1]


def _follower(retirement: Entry, retired: Champion) -> Champion | None:
    follows, day = retirement.details.get(FOLLOWS), retirement.effective_from
    if not follows or day is None:
        return None
    as_of = date.fromisoformat(follows["as_of"]) if follows["as_of"] else None
    champion = Champion(follows["version"], follows["sha256"], retirement.seq, day, as_of)
    return replace(champion, effective_from=max(day, retired.effective_from))
