"""Entries made by hand, for what is pure and for real ledgers, and SQL by hand."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from nightshift.registry.entry import Entry, Kind, NewEntry

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


def promotion(version: str = "1", **changes: Any) -> NewEntry:
    """A promotion of parcels, to be appended."""
    fields: dict[str, Any] = {
        "pipeline": "parcels",
        "kind": "promotion",
        "actor": "tests",
        "reason": "rmse 2 is 3 % better – höher wäre schlechter",
        "as_of": date(2024, 2, 1),
        "effective_from": date(2024, 2, 2),
        "version": version,
        "model_sha256": "5" * 64,
        "details": {"b": [1.5, None], "a": {"z": True}},
    }
    return NewEntry(**{**fields, **changes})


def execute(url: str, *statements: str) -> None:
    """Runs statements in one transaction."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    """What a query returns."""
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def append_at(owner_url: str, previous: Entry, recorded_at: str, **changes: Any) -> None:
    """Continues the chain as the database would have done whose clock said ``recorded_at``."""
    document = {name: value for name, value in previous.document().items() if name != "hash"}
    chain = {"seq": previous.seq + 1, "once": None, "previous_hash": previous.hash, "recorded_at": recorded_at}
    text = json.dumps({**document, **chain, **changes}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    with psycopg.connect(owner_url) as connection:
        connection.execute("ALTER TABLE ledger DISABLE TRIGGER continues")
        values = (text, hashlib.sha256(text.encode()).hexdigest())
        connection.execute("INSERT INTO ledger (content, hash) VALUES (%s, %s)", values)
        connection.execute("ALTER TABLE ledger ENABLE ALWAYS TRIGGER continues")
