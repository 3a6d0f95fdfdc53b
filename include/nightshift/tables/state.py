"""What a table holds at one version, read from its list of active files in one call.

A published partition is exactly the files of one publication. What another program appended, removed or rewrote shows
in that list: a file that is not in a place of ours, or fewer files than were published. The number of a day's files is
kept in the milliseconds of their modification time, which one publication gives to all of them (ADR 0022). Partitions
that were published before that was kept are compared with their manifests, when they are asked for.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from nightshift import storage
from nightshift.errors import NightshiftError, PartitionDamaged
from nightshift.lineage import DataFile, Manifest, find_published, kept_manifests, sha256

if TYPE_CHECKING:
    from deltalake import DeltaTable

_PLACE = re.compile(r"attempt=[^/]+/ds=([^/]+)/fingerprint=([^/]+)/[^/]+")


@dataclass(frozen=True)
class Partition:
    """The active files of one day.

    ``damage`` says what another program did to them, as far as the list of files shows it; ``counted`` is false where
    that list does not prove that all files of the publication are there.
    """

    ds: str
    fingerprint: str
    files: tuple[DataFile, ...]
    damage: str = ""
    counted: bool = True

    @property
    def rows(self) -> int:
        """The rows of all files."""
        return sum(file.rows or 0 for file in self.files)


@dataclass(frozen=True)
class TableState:
    """A table at one version; version -1 and no partitions where there is no table yet.

    ``strays`` are files that another program added for no business date: no reader finds them.
    """

    uri: str
    version: int
    partitions: Mapping[str, Partition]
    strays: tuple[str, ...] = ()
    _compared: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def fingerprint(self, ds: str) -> str:
        """The fingerprint of a published day, empty where there is none.

        A damaged day has one that no recipe has: it is never up to date, and nothing is made of it.
        """
        partition = self.partitions.get(ds)
        if partition is None:
            return ""
        if self.damage(ds):
            return f"damaged-{sha256(' '.join(file.path for file in partition.files))[:8]}"
        return partition.fingerprint

    def damage(self, ds: str) -> str:
        """In which way the files of a day are not those of its publication; empty where they are, or there are none."""
        partition = self.partitions.get(ds)
        if partition is None or partition.damage or partition.counted:
            return partition.damage if partition else ""
        if ds not in self._compared:
            self._compared[ds] = _difference(self.uri, partition)
        return self._compared[ds]

    def files(self, ds: str) -> tuple[DataFile, ...]:
        """The files of a day, none where it is not published. Raises PartitionDamaged."""
        partition = self.partitions.get(ds)
        if damage := self.damage(ds):
            raise PartitionDamaged(
                f"another program changed the partition {ds}: {damage}", where=self.uri, do=PartitionDamaged.REPAIR
            )
        return partition.files if partition else ()

    def uris(self, ds: str) -> list[str]:
        """The absolute locations of a day's files. Raises PartitionDamaged."""
        return [storage.join(self.uri, file.path) for file in self.files(ds)]

    def manifest(self, ds: str) -> Manifest | None:
        """The manifest of the publication whose files a day has; None where it is gone, or the day is damaged."""
        partition = self.partitions.get(ds)
        return find_published(self.uri, ds, partition.fingerprint, partition.files) if partition else None


def state(uri: str, version: int | None = None) -> TableState:
    """The state of a table, now or at a version. Raises NightshiftError where the version is not there."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        table = DeltaTable(uri, version=version)
    except TableNotFoundError:
        return TableState(uri, -1, {})
    except DeltaError as error:
        raise NightshiftError(f"version {version} of the table cannot be read", where=uri) from error
    if (columns := table.metadata().partition_columns) != ["ds"]:
        raise NightshiftError(
            f"another program made the table anew, partitioned by {', '.join(columns) or 'nothing'}",
            where=uri,
            allowed="a table that is partitioned by ds",
            do="restore the version before it: `DeltaTable(…).restore(VERSION)`",
        )
    partitions, strays = _partitions(pa.table(table.get_add_actions(flatten=True)), _shortened(table))
    return TableState(uri, table.version(), partitions, strays)


def _shortened(table: "DeltaTable") -> set[str]:
    """The files of which a deletion vector hides rows. Raises NightshiftError where a vector cannot be read."""
    from deltalake.exceptions import DeltaError

    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return set()
    try:
        return set(pa.table(table.deletion_vectors()).column("filepath").to_pylist())
    except DeltaError as error:
        raise NightshiftError(
            "the deletion vectors of the table cannot be read",
            where=table.table_uri,
            do="restore the version before they were written: `DeltaTable(…).restore(VERSION)`",
        ) from error


def _partitions(actions: pa.Table, shortened: Collection[str]) -> tuple[dict[str, Partition], tuple[str, ...]]:
    if actions.num_rows == 0:
        return {}, ()
    names = ("path", "partition.ds", "size_bytes", "num_records", "modification_time")
    columns = (actions.column(name).to_pylist() for name in names)
    files: dict[str, list[DataFile]] = {}
    moments: dict[str, set[int]] = {}
    strays = []
    for path, ds, size, rows, moment in sorted(zip(*columns, strict=True), key=lambda row: row[0]):
        if not _is_day(ds):
            strays.append(path)
            continue
        files.setdefault(ds, []).append(DataFile(path, size, rows))
        moments.setdefault(ds, set()).add(moment)
    cut = {ds: sum(any(uri.endswith(item.path) for uri in shortened) for item in found) for ds, found in files.items()}
    return {ds: _partition(ds, files[ds], moments[ds], cut[ds] if shortened else 0) for ds in sorted(files)}, tuple(
        strays
    )


def _partition(ds: str, files: Sequence[DataFile], moments: Collection[int], shortened: int) -> Partition:
    places = [_PLACE.fullmatch(file.path) for file in files]
    own = [place.group(2) for place in places if place and place.group(1) == ds]
    fingerprints, uncounted = set(own), sum(file.rows is None for file in files)
    damage = ""
    if len(own) < len(files):
        damage = f"{len(files) - len(own)} of its {len(files)} files are not Nightshift's"
    elif len(fingerprints) > 1:
        damage = f"its files carry {len(fingerprints)} fingerprints"
    elif shortened:
        damage = f"deletion vectors hide rows of {shortened} of its {len(files)} files"
    elif uncounted:
        damage = f"the rows of {uncounted} of its {len(files)} files are not counted"
    counted = len(moments) == 1 and next(iter(moments)) % 1000 == len(files) % 1000
    return Partition(ds, min(fingerprints, default=""), tuple(files), damage, counted)


def _difference(uri: str, partition: Partition) -> str:
    """How a partition differs from every kept manifest of its fingerprint; empty where it does not, or none is kept."""
    kept = kept_manifests(uri, partition.ds, partition.fingerprint)
    active = {file.path for file in partition.files}
    gone = [len({file.path for file in manifest.files} - active) for manifest in kept]
    same = any({file.path for file in manifest.files} == active for manifest in kept)
    if not kept or same:
        return ""
    return (
        f"{min(gone)} files of its publication are not active" if min(gone) else "files of two publications are active"
    )


def _is_day(text: str | None) -> bool:
    try:
        return text is not None and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
