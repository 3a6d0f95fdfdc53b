"""What was said of which fault, kept below the reports: ``<reports>/_notices/<env>/<fault>-<number>/…``.

Files that are written once, and no database: that one is away is among the things to be told. ``<place>.member.json``
is a run or night that has the fault. Who wants to say something first writes ``<channel>.<what>.<n>.claim.json``, which
only one can; ``<channel>.<what>.said.json`` follows when it is said. Whoever died in between has a claim that gets old.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from nightshift import storage
from nightshift.lineage import sha256
from nightshift.notices.trouble import Trouble
from nightshift.settings import Settings

KEPT = timedelta(days=30)
# A run that nobody repaired for so long is news to nobody.
OPEN = timedelta(days=7)
# Longer than the time-outs of a service that does not answer.
LEASE = timedelta(minutes=1)
_LONGEST_LEASE = timedelta(minutes=10)
_BEGAN = "began.json"
_CLOSED = "closed.json"


@dataclass(frozen=True)
class Fault:
    """A fault as it is kept: its folder, its id, which of its kind it is, and its files by name with their times."""

    folder: str
    fault: str
    number: int
    files: Mapping[str, datetime] = field(repr=False)

    @property
    def since(self) -> datetime:
        """The moment at which it was first seen."""
        return min(self.files.values())

    @property
    def closed(self) -> bool:
        """Return whether nothing more is to be said of it."""
        return _CLOSED in self.files

    @property
    def members(self) -> frozenset[str]:
        """The names of the files of its members."""
        return frozenset(name for name in self.files if name.endswith(".member.json"))

    def troubles(self) -> list[Trouble]:
        """Its members as they were when each was first seen, in that order."""
        return [found[2] for found in sorted(_member(storage.join(self.folder, name)) for name in self.members)]

    def said(self, channel: str, what: str) -> bool:
        """Return whether a channel was told something."""
        return f"{channel}.{what}.said.json" in self.files

    def told(self) -> list[str]:
        """The channels that were told something of it."""
        return sorted({name.split(".")[0] for name in self.files if name.endswith(".said.json")})


class Record:
    """The faults of one environment. ``now`` is a clock, in UTC."""

    def __init__(self, settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.root, self.now = storage.join(settings.reports, "_notices", settings.env), now

    def began(self) -> datetime:
        """The moment of the first look there was: of what ended before it nobody is told."""
        uri = storage.join(self.root, _BEGAN)
        storage.create_json(uri, {"at": self.now().isoformat()})
        return datetime.fromisoformat(storage.read_json(uri)["at"])

    def faults(self) -> list[Fault]:
        """Every fault that is kept, the oldest first; one listing."""
        folders: dict[str, dict[str, datetime]] = {}
        for file in storage.list_files(self.root, recursive=True):
            folder, _, name = file.uri.rpartition("/")
            if name != _BEGAN:
                written = datetime.fromtimestamp(file.mtime_ns / 1e9, UTC)
                folders.setdefault(folder, {})[storage.name_of(file.uri)] = written
        found = []
        for folder, files in folders.items():
            fault, _, number = folder.rpartition("/")[2].rpartition("-")
            found.append(Fault(folder, fault, int(number), files))
        return sorted(found, key=lambda item: (item.since, item.fault))

    def keep(self, kept: Iterable[Fault], fault: str, troubles: Sequence[Trouble]) -> None:
        """Keep the members of a fault that are new to it; two who do so at once keep them in the same place."""
        last = max((item for item in kept if item.fault == fault), key=lambda item: item.number, default=None)
        number = last.number + last.closed if last else 0
        folder = storage.join(self.root, f"{fault}-{number}")
        for trouble in troubles:
            name = f"{sha256(trouble.member)[:24]}.member.json"
            if last is None or last.closed or name not in last.files:
                document = {"at": self.now().isoformat(), "trouble": trouble.document()}
                storage.create_json(storage.join(folder, name), document)

    def once(self, fault: Fault, channel: str, what: str, say: Callable[[], None]) -> bool:
        """Say something to a channel, unless it was said or is being said; return whether it has been by now.

        Raises what ``say`` raises: it is tried again after a while, which doubles.
        """
        if fault.said(channel, what):
            return True
        claims = sorted(
            (written for name, written in fault.files.items() if _is_claim(name, channel, what)), reverse=True
        )
        lease = min(LEASE * 2 ** max(len(claims) - 1, 0), _LONGEST_LEASE)
        if claims and self.now() - claims[0] < lease:
            return False
        claim = storage.join(fault.folder, f"{channel}.{what}.{len(claims)}.claim.json")
        if not storage.create_json(claim, {"at": self.now().isoformat()}):
            return False  # another was quicker
        say()
        storage.create_json(storage.join(fault.folder, f"{channel}.{what}.said.json"), {"at": self.now().isoformat()})
        return True

    def close(self, fault: Fault) -> None:
        """Keep that nothing more is to be said of a fault; the same fault later is another one."""
        storage.create_json(storage.join(fault.folder, _CLOSED), {"at": self.now().isoformat()})

    def forget(self, faults: Iterable[Fault]) -> None:
        """Remove what was closed long ago."""
        for fault in faults:
            if fault.closed and self.now() - fault.files[_CLOSED] > KEPT:
                storage.delete_folder(fault.folder)


@lru_cache(4096)
def _member(uri: str) -> tuple[str, str, Trouble]:
    """When a member was first seen, its name, and its trouble then; such a file never changes."""
    document = storage.read_json(uri)
    trouble = Trouble.read(document["trouble"])
    return str(document["at"]), trouble.member, trouble


def _is_claim(name: str, channel: str, what: str) -> bool:
    return name.startswith(f"{channel}.{what}.") and name.endswith(".claim.json")
