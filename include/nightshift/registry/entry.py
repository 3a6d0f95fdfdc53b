"""An entry of the ledger: its fields, and its canonical text, which is what is hashed and stored."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from nightshift.actor import named
from nightshift.errors import LedgerCorrupt
from nightshift.lineage import sha256

Kind = Literal[
    "promotion", "refusal", "approval", "rollback", "retirement", "rerun", "waiver", "freeze", "unfreeze", "override",
    "restore", "proposal",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)
# What a person decides: a database role of its own appends these and no others, and the tasks' role none of them.
PEOPLES: tuple[Kind, ...] = (
    "approval", "rollback", "retirement", "override", "freeze", "unfreeze", "waiver", "restore",
)  # fmt: skip
# In the details of an entry of a person: who was said to have ordered it, without having signed in as that.
CLAIMED = "claimed"
# In the details of an entry that comes after one of the future: what the clocks said.
CLOCK = "clock"


@dataclass(frozen=True)
class NewEntry:
    """What is to be appended.

    ``effective_from`` is the first ``ds`` that the entry concerns; None where it changes no champion (a refusal, a
    rerun, a proposal, a waiver, a freeze). ``version`` is the registered version: the challenger of a decision, the one
    that a rollback returns to, an override promotes or a retirement retires; empty for a waiver or a freeze. ``once``
    names the event within its pipeline: a second append of it returns the first entry. ``details`` is JSON without NaN
    and infinities, and never holds the value of a cell.
    """

    pipeline: str
    kind: Kind
    actor: str
    reason: str
    as_of: date | None = None
    effective_from: date | None = None
    version: str = ""
    model_sha256: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    once: str | None = None


@dataclass(frozen=True)
class Entry:
    """An entry as it was recorded. ``seq`` counts from 1 without gaps in each environment, ``recorded_at`` is UTC."""

    seq: int
    env: str
    pipeline: str
    kind: Kind
    recorded_at: datetime
    effective_from: date | None
    as_of: date | None
    version: str
    model_sha256: str
    actor: str
    reason: str
    details: dict[str, Any]
    once: str | None
    previous_hash: str
    hash: str

    @property
    def known_at(self) -> datetime:
        """Since when it is known: after an entry of the future by the clocks of then, not by the chain's order."""
        clock = self.details.get(CLOCK)
        return datetime.fromisoformat(clock) if clock else self.recorded_at

    @property
    def by(self) -> str:
        """The actor, and whom the order was said to come from where that is another person than who signed in."""
        return named(self.actor, str(self.details.get(CLAIMED, "")))

    def document(self) -> dict[str, Any]:
        """The entry as plain data, for ``--json``."""
        return {**json.loads(content(self)), "hash": self.hash}


def chained(new: NewEntry, env: str, recorded_at: datetime, previous: Entry | None) -> Entry:
    """The entry that ``new`` becomes after ``previous``. Raises ValueError where ``details`` is not JSON."""
    entry = Entry(
        seq=previous.seq + 1 if previous else 1,
        env=env,
        pipeline=new.pipeline,
        kind=new.kind,
        recorded_at=recorded_at.astimezone(UTC),
        effective_from=new.effective_from,
        as_of=new.as_of,
        version=new.version,
        model_sha256=new.model_sha256,
        actor=new.actor,
        reason=new.reason,
        details=dict(new.details),
        once=new.once,
        previous_hash=previous.hash if previous else "",
        hash="",
    )
    text = content(entry)
    return read(text, sha256(text))


def content(entry: Entry) -> str:
    """The canonical text of all fields but the hash: JSON with sorted keys, no white space, ISO dates."""
    document = {
        **{name: value for name, value in vars(entry).items() if name != "hash"},
        "recorded_at": entry.recorded_at.isoformat(timespec="microseconds"),
        "effective_from": entry.effective_from and entry.effective_from.isoformat(),
        "as_of": entry.as_of and entry.as_of.isoformat(),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def read(text: str, hash_: str) -> Entry:
    """The entry of a canonical text. Raises LedgerCorrupt where it is none."""
    try:
        document = json.loads(text)
        days = {name: _day(document[name]) for name in ("effective_from", "as_of")}
        recorded_at = datetime.fromisoformat(document["recorded_at"])
        entry = Entry(**{**document, **days, "recorded_at": recorded_at, "hash": hash_})
        if content(entry) == text:
            return entry
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise LedgerCorrupt("the content of a ledger entry is not an entry", do="run `nightshift ledger verify`")


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text is not None else None
