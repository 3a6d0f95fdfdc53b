"""Days of a source as they lie in landing and are published: which of them are new or corrected."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from nightshift import storage, tables
from nightshift.earlier_scheme import input_name
from nightshift.errors import GateFailed, InputMissing, SourceUnseen
from nightshift.inputs.landing import delivery, leads_out, partition_files
from nightshift.inputs.limits import Measured
from nightshift.job import Job
from nightshift.lineage import DataFile, Landed, Manifest, find_published, recipe, recipe_of
from nightshift.parts import version
from nightshift.specs.model import Input
from nightshift.storage import StoredFile

CORRECTED = "corrected"
"""What a day is whose files have other content than what is published of it."""


@dataclass(frozen=True)
class LandedDay:
    """A day whose landing files are to be looked at, and what is published for it.

    A delivery that is not whole has no files; ``waits`` says for what it waits, ``unseen`` see ``Delivery``.
    """

    ds: str
    files: tuple[StoredFile, ...]
    waits: str
    active: str
    published: tuple[DataFile, ...]
    damage: str
    unseen: bool = False

    def landed(self, table: str, *, verify: bool = False) -> tuple[Landed, ...]:
        """The files with their content's hash, taken from the publication where size, time and ETag are the same.

        ``verify`` reads them all. Raises SourceUnseen where one cannot be read.
        """
        manifest = find_published(table, self.ds, self.active, self.published) if self.active else None
        known = {item.uri: item for item in manifest.landing} if manifest and not verify else {}
        found = ((file, known.get(file.uri)) for file in self.files)
        return tuple(item if item and _is_same(file, item) else _read(file) for file, item in found)


def look(job: Job, contract: Input, active: tables.TableState, days: Sequence[date]) -> list[LandedDay]:
    """The days as they lie in landing now, and as a state of the source's table has them; sorted."""
    return [_look(job, contract, active, ds) for ds in sorted(days)]


def _look(job: Job, contract: Input, active: tables.TableState, ds: date) -> LandedDay:
    day, found = ds.isoformat(), delivery(job.settings, contract, ds)
    partition = active.partitions.get(day)
    published = partition.files if partition else ()
    fingerprint, damage = active.fingerprint(day), tables.damage_of(active, day)
    return LandedDay(day, found.files, found.waits, fingerprint, published, damage, found.unseen)


def is_stale(job: Job, contract: Input, table: str, day: LandedDay) -> bool:
    """Return whether landing has files that are not what is published; files that were taken away change nothing.

    A day that another program damaged in the table is published again from landing.
    """
    if not day.files or not day.active:
        return bool(day.files)
    try:
        refuse_unread(job, contract, day.files)
        landed = day.landed(table, verify=job.verify_landing)
    except (GateFailed, InputMissing):
        return True  # refused where it is staged, as everything that is wrong with a day
    wanted = input_fingerprint(landed, contract, job.pipeline.schedule.timezone, day.active)
    return recipe_of(day.active) != wanted


def why_stale(job: Job, contract: Input, table: str, day: LandedDay) -> str:
    """In one or two words what makes a stale day stale."""
    if day.damage:
        return "changed by another program in the table"
    if not day.active:
        return "new"
    try:
        refuse_unread(job, contract, day.files)
        landed = day.landed(table, verify=job.verify_landing)
    except (GateFailed, InputMissing):
        return CORRECTED
    return CORRECTED if is_correction(table, day, landed) else "read by another contract"


def refuse_unread(job: Job, contract: Input, files: Sequence[StoredFile]) -> None:
    """Raises GateFailed where files are above their limits, or lie elsewhere; not a byte of them is read."""
    for file in files:
        if leads_out(job.settings, file.uri):
            do = "have the file itself landed, or mount its folder"
            raise GateFailed("a symbolic link leads out of landing", where=file.uri, do=do)
    Measured(contract.limits).files(files)


def is_correction(table: str, day: LandedDay, landed: Sequence[Landed]) -> bool:
    """Return whether files have other content than what is published of their day."""
    published = find_published(table, day.ds, day.active, day.published)
    return published is None or [item.sha256 for item in published.landing] != [item.sha256 for item in landed]


def as_landed(job: Job, contract: Input, manifest: Manifest) -> bool:
    """Return whether landing has the files of a manifest, by their sizes, times and ETags."""
    there = partition_files(job.settings, contract, date.fromisoformat(manifest.ds))
    return len(there) == len(manifest.landing) and all(map(_is_same, there, manifest.landing))


def input_fingerprint(landed: Sequence[Landed], source: Input, timezone: str, published: str = "") -> str:
    """The recipe of an input partition: the content of its files in the order of their names, and the contract.

    One that is ``published`` under the earlier scheme's name of the same recipe keeps that name.
    """
    part = _part(source)
    earlier = input_name([file.sha256 for file in landed], source, timezone, part) if published else ""
    if earlier and earlier == recipe_of(published):
        return earlier
    return recipe(
        contents=[file.sha256 for file in landed],
        columns={name: column.type for name, column in source.columns.items()},
        key=source.key,
        format=[source.file_format, source.delimiter, source.null_values] if source.file_format == "csv" else "parquet",
        timezone=timezone,
        reader=[part, version(part)],
    )


def _part(source: Input) -> str:
    """The part of the library that reads a source, by what that may hold."""
    if source.file_format == "csv":
        return "csv"
    return "parquet_times" if any(column.type == "timestamp" for column in source.columns.values()) else "parquet"


def _is_same(file: StoredFile, landed: Landed) -> bool:
    """Whether a file is still the one that was read. A store's times are whole seconds: its ETag decides."""
    if (file.uri, file.size, file.mtime_ns) != (landed.uri, landed.size, landed.mtime_ns):
        return False
    try:
        return not landed.etag or storage.etag(file.uri) == landed.etag
    except OSError:
        return False


def _read(file: StoredFile) -> Landed:
    digest = hashlib.sha256()
    try:
        system, path = storage.resolve(file.uri)
        with system.open_input_stream(path, compression=None) as stream:
            etag = storage.etag(file.uri) if storage.is_local(file.uri) else storage.etag_of(stream)
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        do = "have it landed again, as a file that the tasks' user may read"
        raise SourceUnseen(f"the file cannot be read ({type(error).__name__})", where=file.uri, do=do) from None
    return Landed(file.uri, file.size, file.mtime_ns, digest.hexdigest(), etag)
