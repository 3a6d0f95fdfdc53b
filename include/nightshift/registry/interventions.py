"""The meaning of orders of people for decisions of the rule: pure functions of a pipeline's entries, in their order."""

from collections.abc import Iterable, Sequence
from datetime import date

from nightshift.registry.champions import MAKES, champion_as_of, retirement_of
from nightshift.registry.entry import Entry

_PROMOTES = ("promotion", "approval", "override")
_TAKES_BACK = ("rollback", "retirement")


def freeze_in_force(entries: Iterable[Entry]) -> Entry | None:
    """The freeze that no later entry lifted, if there is one."""
    last = None
    for entry in entries:
        if entry.kind in ("freeze", "unfreeze"):
            last = entry
    return last if last is not None and last.kind == "freeze" else None


def held_by(entries: Sequence[Entry], sha256: str) -> Entry | None:
    """The order because of which a model that the rule promotes is no champion all the same."""
    return freeze_in_force(entries) or retirement_of(entries, sha256)


def taken_back(entries: Sequence[Entry], as_of: date) -> Entry | None:
    """The rollback or retirement that took the newest promotion about a date out of force, or out of its future.

    None where somebody put its model back since.
    """
    own = next((entry for entry in reversed(entries) if entry.as_of == as_of and entry.kind in _PROMOTES), None)
    if own is None or own.effective_from is None:
        return None
    taken: Entry | None = None
    for entry in (entry for entry in entries if entry.seq > own.seq):
        if entry.kind in MAKES and entry.model_sha256 == own.model_sha256:
            taken = None
        elif taken is None and entry.kind in _TAKES_BACK and _takes_back(entries, entry, own):
            taken = entry
    return taken


def _takes_back(entries: Sequence[Entry], entry: Entry, own: Entry) -> bool:
    day = entry.effective_from
    if day is None or own.effective_from is None:
        return False
    if entry.kind == "retirement" and entry.model_sha256:
        return entry.model_sha256 == own.model_sha256
    before = champion_as_of([item for item in entries if item.seq < entry.seq], day)
    return own.effective_from >= day or (before is not None and before.sha256 == own.model_sha256)
