"""A day of a source, staged and audited."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TypeVar

from nightshift import storage, tables
from nightshift.errors import GateFailed, InputMissing, NightshiftError, SourceUnseen
from nightshift.gates.partition import Audited, audit_partition, report_unreadable
from nightshift.gates.run import enforce
from nightshift.inputs.gated import Gated
from nightshift.inputs.landed_days import LandedDay, input_fingerprint, refuse_unread
from nightshift.inputs.landing import partition_files
from nightshift.inputs.parse import Landing, parse
from nightshift.job import Job
from nightshift.lineage import Landed, Manifest, find_staged, published_uri
from nightshift.specs.model import Input
from nightshift.storage import StoredFile

Refused = TypeVar("Refused", bound=NightshiftError)


def audited_day(job: Job, contract: Input, table: str, day: LandedDay, gated: Gated) -> Audited:
    """Parse, stage and audit a day; notes its report and its other columns in ``gated``.

    Raises GateFailed or InputMissing where it cannot be read or is blocked.
    """
    dataset, landing = f"inputs/{gated.source}", Landing(gate=contract.gate)
    landed: tuple[Landed, ...] = ()
    try:
        refuse_unread(job, contract, day.files)
        landed = day.landed(table, verify=job.verify_landing)
        staged = _staged(job, contract, table, day, landed, dataset, landing)
    except (GateFailed, InputMissing) as refused:
        error = without_names(refused, day.files, landed)
        why = f"{error.where}: {error.what}"
        gated.pages[day.ds] = report_unreadable(job, dataset, day.ds, contract.gate, why)
        error.links = {"gate report": gated.pages[day.ds]}
        raise error from None
    if staged.differences:
        gated.differences[day.ds] = staged.differences
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


def without_names(error: Refused, files: Sequence[StoredFile], landed: Sequence[Landed]) -> Refused:
    """The error with files by their place in the order of names, and by their content's digest where that is known.

    Upstream chooses their names, and may have put into one whose file it is.
    """
    digests = {item.uri: f" (SHA-256 {item.sha256[:12]})" for item in landed}
    parts = {"what": error.what, "where": error.where, "allowed": error.allowed, "do": error.do}
    for place, file in sorted(enumerate(files, 1), key=lambda item: -len(item[1].uri)):
        folder = file.uri.rpartition("/")[0]
        shown = f"{folder}, file {place} of {len(files)}{digests.get(file.uri, '')}"
        parts = {name: text.replace(file.uri, shown) for name, text in parts.items()}
    return type(error)(**parts)


def _staged(
    job: Job,
    contract: Input,
    table: str,
    day: LandedDay,
    landed: tuple[Landed, ...],
    dataset: str,
    landing: Landing,
) -> Manifest:
    fingerprint = input_fingerprint(landed, contract, job.pipeline.schedule.timezone)
    found = find_staged(table, day.ds, fingerprint)
    if found is not None and _reusable(table, found):
        return replace(found, landing=landed, replaces=day.active, run_id=job.run_id)
    batches = parse(day.files, contract, job.pipeline.schedule.zone, landing)
    schema = tables.arrow_schema({name: column.type for name, column in contract.columns.items()})
    files = tables.write_partition(table, job.attempt, day.ds, fingerprint, schema, batches)
    if landing.unkept and len(landing.rejected) <= landing.allowed:  # most of what does not parse came first
        whole = Landing(gate=contract.gate, keep_all=True)
        for _ in parse(day.files, contract, job.pipeline.schedule.zone, whole):
            pass
        landing.rejected = whole.rejected
    if partition_files(job.settings, contract, date.fromisoformat(day.ds)) != list(day.files):
        raise SourceUnseen(f"the landing files of {day.ds} changed while they were read", where=dataset)
    manifest = job.manifest(
        dataset,
        day.ds,
        fingerprint,
        files=files,
        replaces=day.active,
        landing=landed,
        counts={"landed": landing.rows, "rejected": len(landing.rejected)},
        differences=landing.differences,
    )
    tables.leave_staged(table, manifest)
    return manifest


def _reusable(table: str, staged: Manifest) -> bool:
    """Whether an attempt's files serve again. They lack rejected rows; a publication has a manifest of its own."""
    published = published_uri(table, staged.ds, staged.fingerprint, staged.attempt)
    return not staged.counts["rejected"] and not storage.exists(published)
