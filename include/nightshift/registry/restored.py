"""A restored ledger explains itself: an entry says who restored what, and which entries it left out."""

from collections.abc import Callable

from nightshift.errors import NightshiftError
from nightshift.registry.compared import LOST
from nightshift.registry.detection import Verified, unknown_to, verify
from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings

# A restore is of all pipelines.
ALL = "*"


def known_before(settings: Settings, report: Callable[[str], None]) -> Verified | None:
    """What is known of the ledger in use; None where it cannot be read. ``report`` gets a line for each finding."""
    try:
        found = verify(settings)
    except NightshiftError as error:
        report(f"the ledger in use cannot be read: {error.what}")
        return None
    for finding in found.findings:
        report(f"before: {finding}")
    return found


def record_restore(settings: Settings, before: Verified | None, actor: str, reason: str) -> Entry:
    """Appends the entry of a restore to the restored ledger and returns it.

    What was known anywhere, before or now, and the restored ledger does not have, is named in it: so heads of entries
    that were left out are explained, these and no others.
    """
    ledger = Ledger.of_people(settings)
    now = verify(settings)
    here = now.chain.entries
    lost = {place: set(hashes) for place, hashes in unknown_to(here, now).items()}
    for place, hashes in (unknown_to(here, before) if before is not None else {}).items():
        # Tags of MLflow are those of its own backup now.
        lost.setdefault(place, set()).update(hashes if place != "heads" else ())
    details = {
        "entries": now.chain.end,
        "head": now.head,
        "before": {"entries": before.chain.end, "head": before.head} if before is not None else None,
        LOST: {place: sorted(hashes) for place, hashes in lost.items()},
    }
    return ledger.append(NewEntry(ALL, "restore", actor, reason, details=details))
