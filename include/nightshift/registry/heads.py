"""Heads of the ledger beside the lake: one empty file for each entry, whose name says all.

A file is created once and never written again, so that appends at once do not meet, and a listing alone shows every
head, also of an object store. Only who may write both the database and this place can change the past unseen.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from nightshift import storage
from nightshift.registry.entry import Entry

# In the details of an entry whose head is kept. Without it an entry is of an earlier version; to take it away is to
# change the chain.
COVERED = "head"
_KEPT = "kept"
_NAME = re.compile(r"(\d{12})\.(\d{8}T\d{12})Z\.([0-9a-f]{64})")
_MOMENT = "%Y%m%dT%H%M%S%f"
MARK = {COVERED: _KEPT}


@dataclass(frozen=True, order=True)
class Head:
    """An entry as it is known elsewhere: its number, its hash and when it was recorded (UTC)."""

    seq: int
    hash: str
    recorded_at: datetime

    @classmethod
    def of(cls, entry: Entry) -> "Head":
        """The head that an entry is."""
        return cls(entry.seq, entry.hash, entry.recorded_at)

    @classmethod
    def read(cls, text: str) -> "Head | None":
        """The head that ``str()`` made this text of; None where it is none."""
        found = _NAME.fullmatch(text)
        try:
            moment = datetime.strptime(found[2], _MOMENT).replace(tzinfo=UTC) if found else None
        except ValueError:
            return None
        return cls(int(found[1]), found[3], moment) if found and moment else None

    def __str__(self) -> str:
        return f"{self.seq:012}.{self.recorded_at.astimezone(UTC):{_MOMENT}}Z.{self.hash}"


@dataclass(frozen=True)
class Kept:
    """The heads beside the lake, and the names of files there that are none."""

    place: str
    heads: tuple[Head, ...]
    others: tuple[str, ...]


def covered(entry: Entry) -> bool:
    """Return whether the entry's head was to be kept."""
    return entry.details.get(COVERED) == _KEPT


def keep(place: str, head: Head) -> bool:
    """Keeps a head; returns whether it was not there yet. Raises OSError."""
    return storage.create_bytes(storage.join(place, str(head)), b"")


def keep_all(place: str, newest_first: Iterable[Entry]) -> None:
    """Keeps the heads of entries until one is there already: of those before it the same was done. Raises OSError.

    Whoever was killed between an entry and its head is completed so by the entry after.
    """
    for entry in newest_first:
        if not covered(entry) or not keep(place, Head.of(entry)):
            return


def kept(place: str) -> Kept:
    """What lies in the place. Raises OSError."""
    heads, others = [], []
    for file in storage.list_files(place):
        name = storage.name_of(file.uri)
        head = Head.read(name)
        if head is None or file.size:
            others.append(name)
        else:
            heads.append(head)
    return Kept(place, tuple(sorted(heads)), tuple(others))
