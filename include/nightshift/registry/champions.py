"""Who is champion, as a pure function of the ledger's entries.

All functions take the entries of one pipeline in the order of their sequence, as ``Ledger.entries(pipeline)`` gives
them. A promotion, an approval or a rollback with an effective date makes its version champion from that date on; a
retirement makes none champion. Refusals, reruns and waivers change nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from nightshift.registry.entry import Entry
from nightshift.specs.calendar import current_ds
from nightshift.specs.model import Pipeline, Schedule

_MAKES = ("promotion", "approval", "rollback")
_VOIDS = ("rollback", "retirement")


@dataclass(frozen=True)
class Champion:
    """The version that scores, and the entry that says so. ``as_of`` is None after a rollback that names none."""

    version: str
    sha256: str
    seq: int
    effective_from: date
    as_of: date | None


def champion_as_of(entries: Iterable[Entry], ds: date, known_at: datetime | None = None) -> Champion | None:
    """The champion for ``ds``, by what was recorded until ``known_at`` (an aware datetime; None: by everything).

    The greatest effective date not after ``ds`` counts, of equal ones the later entry. A rollback or retirement
    effective E voids the entries recorded before it that are effective at or after E.
    """
    holding = [(day, entry) for day, entry in _holding(entries, known_at) if day <= ds]
    if not holding:
        return None
    day, entry = max(holding, key=lambda item: (item[0], item[1].seq))
    return _champion(day, entry) if entry.kind in _MAKES else None


def champion_at(entries: Iterable[Entry], schedule: Schedule, moment: datetime) -> Champion | None:
    """The champion at a moment: for the ``ds`` that was current, by what was known then."""
    return champion_as_of(entries, current_ds(schedule, moment), known_at=moment)


def first_champion_date(entries: Iterable[Entry]) -> date | None:
    """The first ``ds`` that has a champion; None where no day ever has one."""
    return min((day for day, entry in _holding(entries, None) if entry.kind in _MAKES), default=None)


def alias_target(entries: Iterable[Entry], pipeline: Pipeline, now: datetime) -> Champion | None:
    """The champion that MLflow's alias shows: that of the current ``ds``, moved into the spec's range."""
    schedule = pipeline.schedule
    ds = max(current_ds(schedule, now), schedule.start)
    return champion_as_of(entries, min(ds, schedule.end) if schedule.end else ds)


def _holding(entries: Iterable[Entry], known_at: datetime | None) -> list[tuple[date, Entry]]:
    """The entries that change the champion and are not voided, with their effective dates, newest first.

    A voided entry that itself voids needs no care: whatever it voids, the entry that voids it voids as well.
    """
    known = [entry for entry in entries if known_at is None or entry.recorded_at <= known_at]
    holding: list[tuple[date, Entry]] = []
    voided_from = date.max
    for entry in sorted(known, key=lambda item: item.seq, reverse=True):
        day = entry.effective_from
        if day is None or entry.kind not in {*_MAKES, *_VOIDS} or day >= voided_from:
            continue
        holding.append((day, entry))
        if entry.kind in _VOIDS:
            voided_from = day
    return holding


def _champion(day: date, entry: Entry) -> Champion:
    return Champion(entry.version, entry.model_sha256, entry.seq, day, entry.as_of)
