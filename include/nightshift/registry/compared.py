"""The ledger against what other places know of it: pure functions of what was read in each."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from nightshift.finding import Finding
from nightshift.registry.entry import Entry
from nightshift.registry.heads import Head, Kept, covered

# In the details of a `restore`: hashes of what the restored ledger does not have, by the place that knew them.
LOST = "lost"
_CUT = (
    "restore the ledger from a backup that has them (`nightshift restore`, which records it), and find out who "
    "administers the database"
)


@dataclass(frozen=True)
class Chain:
    """The ledger's entries, up to the first bad one where it is ``broken``."""

    entries: Sequence[Entry]
    broken: bool = False
    by_hash: Mapping[str, Entry] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_hash", {entry.hash: entry for entry in self.entries})

    @property
    def end(self) -> int:
        """The number of the last entry that is known to be good."""
        return len(self.entries)

    @property
    def since(self) -> int | None:
        """The first entry whose head was to be kept elsewhere; None where all are of earlier versions."""
        return next((entry.seq for entry in self.entries if covered(entry)), None)

    @property
    def restores(self) -> list[Entry]:
        """The entries of people who put a backup in the ledger's place."""
        return [entry for entry in self.entries if entry.kind == "restore"]

    def lost(self, place: str = "") -> set[str]:
        """The hashes that restored backups did not have, all or those of one place."""
        lost = [entry.details.get(LOST, {}) for entry in self.restores]
        return {digest for by in lost for name, hashes in by.items() if place in ("", name) for digest in hashes}


def beside(chain: Chain, kept: Kept) -> Iterator[Finding]:
    """Compares the heads beside the lake."""
    for name in kept.others:
        yield Finding("head", f"{kept.place}/{name}", "it is no head: the file was changed, or put there", "remove it")
    names = {head.hash: head for head in kept.heads}
    since = chain.since
    missing = [entry for entry in chain.entries if entry.hash not in names and since is not None and entry.seq >= since]
    for entry in missing:
        head = Head.of(entry)
        do = f"look at who can write there; where all else agrees, create the empty file {head}"
        if entry.seq == chain.end:
            do += "; the next entry does so where only a process was killed, or the place was away"
        yield Finding("head", kept.place, f"the head of entry {entry.seq} is not there", do)
    for digest in sorted(chain.lost("heads") - names.keys()):
        yield Finding("head", kept.place, f"the head {digest[:16]} is gone, which a restore left out and recorded")
    for head in kept.heads:
        known = chain.by_hash.get(head.hash)
        if known is not None and Head.of(known) != head:
            yield Finding("head", f"{kept.place}/{head}", f"it is not what entry {known.seq} is: the file was renamed")
    yield from unknown(chain, kept.heads, kept.place, chain.lost())


def unknown(chain: Chain, heads: Sequence[Head], place: str, lost: Set[str]) -> Iterator[Finding]:
    """Finds heads that the ledger does not have: beyond its end, or instead of an entry that it has.

    ``lost`` are hashes that a restore explains there.
    """
    left = [head for head in heads if head.hash not in chain.by_hash and head.hash not in lost]
    if chain.broken:  # what comes after the first bad entry is not known
        left = [head for head in left if head.seq <= chain.end]
    if beyond := [head for head in left if head.seq > chain.end]:
        first, last = min(beyond), max(beyond)
        yield Finding(
            "tail",
            place,
            f"heads are kept up to entry {last.seq} of {last.recorded_at:%Y-%m-%d %H:%M} UTC, the ledger ends at entry "
            f"{chain.end}: entries from {first.seq} on were cut off, or an older ledger was put in its place",
            _CUT,
        )
    for head in (head for head in left if head.seq <= chain.end):
        yield Finding(
            "fork",
            place,
            f"another entry {head.seq} was recorded on {head.recorded_at:%Y-%m-%d %H:%M} UTC than the ledger has: an "
            "older ledger was put in its place and went on, or the chain was written anew, or the head is forged",
            _CUT,
        )


def in_mlflow(chain: Chain, env: str, models: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Finding]:
    """Compares the tag of each registered model, by its name; ``names`` are those names by pipeline."""
    newest: dict[str, Entry] = {names[entry.pipeline]: entry for entry in chain.entries if entry.pipeline in names}
    for name in sorted(newest.keys() | models.keys()):
        where, entry, tag = f"MLflow's model {name}", newest.get(name), models.get(name)
        said, _, text = (tag or "").partition(" ")
        head = Head.read(text) if said == env else None
        if head is None:
            if entry is not None and covered(entry) and not chain.broken:
                yield from _without(where, entry, tag)
        elif (known := chain.by_hash.get(head.hash)) is None:
            yield from unknown(chain, [head], where, chain.lost("mlflow"))
        elif Head.of(known) != head or (entry is not None and known.pipeline != entry.pipeline):
            yield Finding(
                "mlflow", where, f"its head is not what entry {known.seq} is: the tag was changed", _mends(entry)
            )
        elif entry is not None and known.seq < entry.seq and not chain.broken:
            yield Finding(
                "mlflow",
                where,
                f"its head is entry {known.seq}, the newest of the pipeline is {entry.seq}: MLflow was away when that "
                "was recorded, or the tag was changed",
                _mends(entry),
            )


def _without(where: str, entry: Entry, tag: str | None) -> Iterator[Finding]:
    if tag:
        yield Finding("mlflow", where, "its tag is no head of this ledger: it was changed", _mends(entry))
    elif tag is not None:
        why = f"it has no head, though entry {entry.seq} is there: MLflow was away then, or the tag was removed"
        yield Finding("mlflow", where, why, _mends(entry))
    elif entry.version:
        yield Finding("mlflow", where, f"it is gone, though entry {entry.seq} names its version {entry.version}")


def _mends(entry: Entry | None) -> str:
    return f"the next decision or order about {entry.pipeline} sets it" if entry else ""


def in_manifests(chain: Chain, heads: Mapping[str, str]) -> Iterator[Finding]:
    """Compares the heads that manifests name, each with the place of one that names it."""
    if chain.broken:
        return
    lost = chain.lost()
    for digest, place in heads.items():
        if digest not in chain.by_hash and digest not in lost:
            yield Finding(
                "unknown",
                place,
                f"it was scored when the ledger's head was {digest[:16]}, which the ledger does not have: entries were "
                "cut off, or an older ledger was put in its place",
                _CUT,
            )
