"""Days of one source: which are new or corrected, and how these are parsed, audited and published."""

import hashlib
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import date

from nightshift import metrics, storage, tables
from nightshift.database import advisory_lock
from nightshift.errors import GateFailed, InputMissing, NightshiftError, PartitionDamaged
from nightshift.gates.partition import Audited, audit_partition, publish_audited, report_unreadable
from nightshift.gates.run import enforce
from nightshift.inputs.earlier_contract import refuse_earlier_contract
from nightshift.inputs.landing import leads_out, partition_files
from nightshift.inputs.parse import Landing, parse
from nightshift.job import Job, new_attempt
from nightshift.lineage import (
    DataFile,
    Landed,
    Manifest,
    find_published,
    find_staged,
    published_uri,
    recipe,
    recipe_of,
)
from nightshift.specs.model import Input
from nightshift.storage import StoredFile

log = logging.getLogger("nightshift.inputs")

# Raise one when the same files and contract are read differently. The second concerns Parquet with timestamps alone: at
# 2 their INT96 is read as UTC.
_READER, _READER_OF_TIMES = 1, 2
_DAYS_A_COMMIT = 8


@dataclass
class Gated:
    """What became of the days of a source.

    ``absent`` days have neither landed nor been published. ``kept`` days were corrected, but the correction failed
    its gate: the publication before it stays. ``blocked`` ones failed and have no publication. Both hold the error.
    Of ``dirty`` days rows went to quarantine, or an expectation failed that only warns; ``warned`` counts the latter.
    ``empty`` days were published, but their files had no row. ``restored`` says what another program had done to days
    that were published again from landing. ``active`` is what was found published: fingerprint and files, by day.
    """

    source: str
    published: list[str] = field(default_factory=list)
    up_to_date: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    kept: dict[str, NightshiftError] = field(default_factory=dict)
    blocked: dict[str, NightshiftError] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=lambda: {"rows_landed": 0, "rows_published": 0, "rows_quarantined": 0})
    pages: dict[str, str] = field(default_factory=dict)
    dirty: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    warned: int = 0
    restored: dict[str, str] = field(default_factory=dict)
    active: dict[str, tuple[str, tuple[DataFile, ...]]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Day:
    """A day whose landing files are to be looked at, and what is published for it."""

    ds: str
    files: tuple[StoredFile, ...]
    active: str
    published: tuple[DataFile, ...]
    damage: str

    def landed(self, table: str) -> tuple[Landed, ...]:
        """The files with their content's hash, taken from the publication where size and time are the same."""
        manifest = find_published(table, self.ds, self.active, self.published) if self.active else None
        known = {(item.uri, item.size, item.mtime_ns): item.sha256 for item in manifest.landing} if manifest else {}
        seen = [(file.uri, file.size, file.mtime_ns) for file in self.files]
        return tuple(Landed(*file, sha256=known.get(file) or _sha256(file[0])) for file in seen)


def gate_days(job: Job, source: str, days: Sequence[date]) -> Gated:
    """Parse, audit and publish the days of a source whose landing files are new or corrected, several in a commit.

    A lock on each (source, day) keeps two runs from doing the same work. Does not raise where a gate blocks. Raises
    SchemaChanged where a day of an earlier contract would be read as if it followed the present one.
    """
    gated, stale = Gated(source), list[str]()
    contract, table = job.pipeline.inputs[source], job.table(f"inputs/{source}")
    for day in _look(job, contract, table, days):
        if _is_stale(job, contract, table, day):
            stale.append(day.ds)
            continue
        if day.damage and not day.files:
            what = f"another program changed the partition {day.ds}, whose landing files are gone: {day.damage}"
            gated.blocked[day.ds] = PartitionDamaged(what, where=table, do=PartitionDamaged.REPAIR)
            continue
        if day.active and not day.files:
            refuse_earlier_contract(source, contract, table, day.ds, day.published, "its landing files are gone")
        gated.active[day.ds] = (day.active, day.published)
        (gated.up_to_date if day.files or day.active else gated.absent).append(day.ds)
    tags = {"pipeline": job.pipeline.name, "dataset": f"inputs/{source}"}
    metrics.count(job.settings, "partitions_up_to_date", len(gated.up_to_date), **tags)
    for start in range(0, len(stale), _DAYS_A_COMMIT):
        chunk = stale[start : start + _DAYS_A_COMMIT]
        with ExitStack() as locks:
            for ds in chunk:
                locks.enter_context(advisory_lock(job.settings, f"{job.pipeline.name}/inputs/{source}/{ds}"))
            _gate_chunk(job, contract, table, chunk, gated)
        if len(stale) > _DAYS_A_COMMIT:
            log.info("%s: %d of %d new or corrected days are done", source, start + len(chunk), len(stale))
    return gated


def landing_changes(job: Job, source: str, days: Sequence[date]) -> dict[str, str]:
    """The days that ``gate_days`` would publish: ``new``, ``corrected``, or ``read by another contract``.

    Size and time are compared; content is read only where they differ.
    """
    contract, table = job.pipeline.inputs[source], job.table(f"inputs/{source}")
    stale = [day for day in _look(job, contract, table, days) if _is_stale(job, contract, table, day)]
    return {day.ds: _why_stale(job, table, day) for day in stale}


def input_fingerprint(landed: Sequence[Landed], source: Input, timezone: str) -> str:
    """The recipe of an input partition: the content of its files in the order of their names, and the contract."""
    return recipe(
        contents=[file.sha256 for file in landed],
        columns={name: column.type for name, column in source.columns.items()},
        order=list(source.columns),
        key=source.key,
        format=[source.file_format, source.delimiter, source.null_values] if source.file_format == "csv" else "parquet",
        timezone=timezone,
        reader=_reader(source),
    )


def _reader(source: Input) -> int:
    """The version of the reader, by what a source may hold."""
    times = any(column.type == "timestamp" for column in source.columns.values())
    return _READER_OF_TIMES if times and source.file_format == "parquet" else _READER


def _look(job: Job, contract: Input, table: str, days: Sequence[date]) -> list[_Day]:
    active = tables.state(table)
    return [
        _Day(
            ds.isoformat(),
            tuple(partition_files(job.settings, contract, ds)),
            active.fingerprint(ds.isoformat()),
            partition.files if (partition := active.partitions.get(ds.isoformat())) else (),
            active.damage(ds.isoformat()),
        )
        for ds in sorted(days)
    ]


def _is_stale(job: Job, contract: Input, table: str, day: _Day) -> bool:
    """Whether landing has files that are not what is published; files that were taken away change nothing.

    A day that another program damaged in the table is published again from landing.
    """
    if not day.files or not day.active:
        return bool(day.files)
    if any(leads_out(job.settings, file.uri) for file in day.files):
        return True  # refused where it is read, as everything that is wrong with a day
    wanted = input_fingerprint(day.landed(table), contract, job.pipeline.schedule.timezone)
    return recipe_of(day.active) != wanted


def _why_stale(job: Job, table: str, day: _Day) -> str:
    if day.damage:
        return "changed by another program in the table"
    published = find_published(table, day.ds, day.active, day.published) if day.active else None
    if published is None or any(leads_out(job.settings, file.uri) for file in day.files):
        return "corrected" if day.active else "new"
    same = [item.sha256 for item in published.landing] == [item.sha256 for item in day.landed(table)]
    return "read by another contract" if same else "corrected"


def _gate_chunk(job: Job, contract: Input, table: str, chunk: Sequence[str], gated: Gated) -> None:
    """Audit and publish some days whose locks are held; another run may have done it meanwhile."""
    job = replace(job, attempt=new_attempt())
    passed: list[Audited] = []
    for day in _look(job, contract, table, [date.fromisoformat(ds) for ds in chunk]):
        if not _is_stale(job, contract, table, day):
            gated.up_to_date.append(day.ds)
            continue
        try:
            audited = _audited(job, contract, table, day, gated)
        except (GateFailed, InputMissing) as error:
            log.warning("%s of %s: %s", gated.source, day.ds, error)
            if day.active and not day.damage:
                why = f"its landing files do not follow the present one: {error.what}"
                refuse_earlier_contract(gated.source, contract, table, day.ds, day.published, why)
            (gated.kept if day.active and not day.damage else gated.blocked)[day.ds] = error
        else:
            passed.append(audited)
            if day.damage:
                log.warning("%s of %s: another program changed the table: %s", gated.source, day.ds, day.damage)
                gated.restored[day.ds] = day.damage
    schema = tables.arrow_schema({name: column.type for name, column in contract.columns.items()})

    def still_wanted(manifests: Sequence[Manifest]) -> set[str]:
        return {manifest.ds for manifest in manifests if _as_landed(job, contract, manifest)}

    publication = publish_audited(job, f"inputs/{gated.source}", schema, passed, still_wanted)
    gated.published += publication.published
    gated.up_to_date += publication.up_to_date
    for ds in publication.superseded:
        gated.kept[ds] = InputMissing(
            f"the landing files of {ds} changed while they were gated", where=f"inputs/{gated.source}"
        )
    gated.dirty += [audited.manifest.ds for audited in passed if audited.report.failed]
    gated.warned += sum(audited.manifest.warnings for audited in passed)
    for audited in passed:
        if not audited.report.rows:
            log.warning("%s of %s: the landing files have no row", gated.source, audited.manifest.ds)
            gated.empty.append(audited.manifest.ds)
        gated.rows["rows_landed"] += audited.report.rows
        gated.rows["rows_published"] += audited.manifest.rows
        gated.rows["rows_quarantined"] += audited.report.removed


def _audited(job: Job, contract: Input, table: str, day: _Day, gated: Gated) -> Audited:
    """Parse, stage and audit a day. Raises GateFailed or InputMissing where it cannot be read or is blocked."""
    dataset, landing = f"inputs/{gated.source}", Landing()
    try:
        staged = _staged(job, contract, table, day, dataset, landing)
    except (GateFailed, InputMissing) as error:
        why = f"{error.where}: {error.what}"
        gated.pages[day.ds] = report_unreadable(job, dataset, day.ds, contract.gate, why)
        error.links = {"gate report": gated.pages[day.ds]}
        raise
    audited = audit_partition(
        job,
        dataset=dataset,
        staged=staged,
        columns=contract.columns,
        key=contract.key,
        gate=contract.gate,
        rejected=landing.rejected,
    )
    gated.pages[day.ds] = audited.report_uri_html
    enforce(audited.report, audited.report_uri_html)
    return audited


def _staged(job: Job, contract: Input, table: str, day: _Day, dataset: str, landing: Landing) -> Manifest:
    for file in day.files:
        if leads_out(job.settings, file.uri):
            do = "have the file itself landed, or mount its folder"
            raise GateFailed("a symbolic link leads out of landing", where=file.uri, do=do)
    landed = day.landed(table)
    fingerprint = input_fingerprint(landed, contract, job.pipeline.schedule.timezone)
    found = find_staged(table, day.ds, fingerprint)
    if found is not None and _reusable(table, found):
        return replace(found, landing=landed, replaces=day.active, run_id=job.run_id)
    batches = parse(day.files, contract, job.pipeline.schedule.zone, landing)
    schema = tables.arrow_schema({name: column.type for name, column in contract.columns.items()})
    files = tables.write_partition(table, job.attempt, day.ds, fingerprint, schema, batches)
    if partition_files(job.settings, contract, date.fromisoformat(day.ds)) != list(day.files):
        raise InputMissing(f"the landing files of {day.ds} changed while they were read", where=dataset)
    manifest = job.manifest(
        dataset,
        day.ds,
        fingerprint,
        files=files,
        replaces=day.active,
        landing=landed,
        counts={"landed": landing.rows, "rejected": len(landing.rejected)},
    )
    tables.leave_staged(table, manifest)
    return manifest


def _as_landed(job: Job, contract: Input, manifest: Manifest) -> bool:
    """Whether landing has the files of a manifest, by their sizes and times."""
    there = partition_files(job.settings, contract, date.fromisoformat(manifest.ds))
    files = [(file.uri, file.size, file.mtime_ns) for file in there]
    return files == [(file.uri, file.size, file.mtime_ns) for file in manifest.landing]


def _reusable(table: str, staged: Manifest) -> bool:
    """Whether an attempt's files serve again. They lack rejected rows; a publication has a manifest of its own."""
    published = published_uri(table, staged.ds, staged.fingerprint, staged.attempt)
    return not staged.counts["rejected"] and not storage.exists(published)


def _sha256(uri: str) -> str:
    system, path = storage.resolve(uri)
    digest = hashlib.sha256()
    with system.open_input_stream(path, compression=None) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
