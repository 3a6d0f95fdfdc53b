"""Deliveries that will not come: who said so and why is in the ledger, like every other decision of people.

A waiver lets the features of days go on without one day of one source. It is in no fingerprint: the absence is. Where
the delivery comes after all, the days that read it are stale like any other.
"""

from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import Protocol

from nightshift.errors import NightshiftError
from nightshift.registry.entry import CLAIMED, Entry, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings


class Waived(Protocol):
    """Says which days of a source are waived, each in ISO format."""

    def __call__(self, source: str) -> frozenset[str]:
        """The days; none where nothing was waived."""
        ...


def nothing_waived(source: str) -> frozenset[str]:
    """No day of any source."""
    return frozenset()


def waiver(pipeline: str, source: str, ds: date, actor: str, reason: str, claimed: str = "") -> NewEntry:
    """The entry that waives a day of a source; there is one for each."""
    details = {"source": source, "ds": ds.isoformat(), **({CLAIMED: claimed} if claimed else {})}
    return NewEntry(pipeline, "waiver", actor, reason, details=details, once=f"waiver:{source}:{ds}")


def waived_days(entries: Iterable[Entry], source: str) -> frozenset[str]:
    """The days of a source that the entries of a pipeline waive. Pure."""
    waivers = (entry.details for entry in entries if entry.kind == "waiver")
    return frozenset(details["ds"] for details in waivers if details["source"] == source)


def waived(settings: Settings, pipeline: str) -> Waived:
    """The days that the ledger waives, read with the first question: only a night that lacks something asks.

    A lake of one's own needs no ledger: where none answers, nothing is waived there.
    """

    @cache
    def entries() -> tuple[Entry, ...]:
        try:
            return tuple(Ledger.of(settings).entries(pipeline))
        except NightshiftError:
            if settings.private:
                return ()
            raise

    return lambda source: waived_days(entries(), source)
