"""Entries made by hand, for what is pure."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from nightshift.registry.entry import Entry, Kind

EPOCH = datetime(2024, 3, 1, tzinfo=UTC)


def day(number: int) -> date:
    """Day 1 is 2024-03-01."""
    return date(2024, 2, 29) + timedelta(days=number)


def entry(seq: int, kind: Kind, effective: int | None, *, recorded: int = 0, version: str = "", **more: Any) -> Entry:
    """An entry recorded so many hours after ``EPOCH``, effective on a numbered day."""
    fields: dict[str, Any] = {
        "env": "local",
        "pipeline": "parcels",
        "as_of": day(effective - 1) if effective is not None else None,
        "model_sha256": f"sha-{version}" if version else "",
        "actor": "tests",
        "reason": "",
        "details": {},
        "once": None,
        "previous_hash": "",
        "hash": f"hash-{seq}",
        **more,
    }
    return Entry(
        seq=seq,
        kind=kind,
        effective_from=day(effective) if effective is not None else None,
        recorded_at=EPOCH + timedelta(hours=recorded),
        version=version,
        **fields,
    )
