"""Days of one source: those that are new or corrected are parsed, audited and published."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date

from nightshift import metrics, tables
from nightshift.database import Lock, advisory_lock
from nightshift.errors import GateFailed, InputMissing, PartitionDamaged, SourceUnseen
from nightshift.gates.partition import Audited, publish_audited
from nightshift.inputs.columns import Differences, merged, news
from nightshift.inputs.earlier_contract import refuse_earlier_contract
from nightshift.inputs.gated import Gated
from nightshift.inputs.landed_days import as_landed, is_correction, is_stale, look, why_stale
from nightshift.inputs.refusals import Refusal, find_refusal, leave_refusal
from nightshift.inputs.staging import audited_day
from nightshift.job import Job, new_attempt
from nightshift.lineage import Manifest
from nightshift.specs.model import Input

log = logging.getLogger("nightshift.inputs")

_DAYS_A_COMMIT = 8


def gate_days(job: Job, source: str, days: Sequence[date]) -> Gated:
    """Parse, audit and publish the days of a source whose landing files are new or corrected, several in a commit.

    A lock on each (source, day) keeps two runs from doing the same work. Does not raise where a gate blocks. Raises
    SchemaChanged where a day of an earlier contract would be read as if it followed the present one.
    """
    gated, stale = Gated(source), list[str]()
    contract, table = job.pipeline.inputs[source], job.table(f"inputs/{source}")
    before = tables.state(table)
    for day in look(job, contract, before, days):
        if is_stale(job, contract, table, day):
            stale.append(day.ds)
            continue
        if day.waits:
            gated.waiting[day.ds] = day.waits
        if day.unseen:
            gated.unseen.append(day.ds)
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
        with ExitStack() as opened:
            names = [f"{job.pipeline.name}/inputs/{source}/{ds}" for ds in chunk]
            locks = [opened.enter_context(advisory_lock(job.settings, name)) for name in names]
            _gate_chunk(job, contract, table, chunk, gated, locks)
        if len(stale) > _DAYS_A_COMMIT:
            log.info("%s: %d of %d new or corrected days are done", source, start + len(chunk), len(stale))
    gated.new_differences = _new_differences(before, gated.differences)
    return gated


@dataclass(frozen=True)
class LandingNews:
    """The days that ``gate_days`` would gate: ``new``, ``corrected``, ``read by another contract``.

    ``refused`` are those of them whose very files the gate of now has refused before, and will again.
    """

    changes: dict[str, str]
    refused: dict[str, Refusal]

    @property
    def coming(self) -> dict[str, str]:
        """The days that will be published, as far as anybody knows."""
        return {day: why for day, why in self.changes.items() if day not in self.refused}


def landing_news(job: Job, source: str, days: Sequence[date]) -> LandingNews:
    """What of landing is not published. Size and time are compared; content is read only where they differ."""
    contract, table = job.pipeline.inputs[source], job.table(f"inputs/{source}")
    stale = [day for day in look(job, contract, tables.state(table), days) if is_stale(job, contract, table, day)]
    refused = {day.ds: found for day in stale if (found := find_refusal(job, contract, table, day))}
    return LandingNews({day.ds: why_stale(job, contract, table, day) for day in stale}, refused)


def landing_changes(job: Job, source: str, days: Sequence[date]) -> dict[str, str]:
    """The days of ``landing_news`` and what each is, refused or not."""
    return landing_news(job, source, days).changes


def _gate_chunk(
    job: Job, contract: Input, table: str, chunk: Sequence[str], gated: Gated, locks: Sequence[Lock]
) -> None:
    """Audit and publish some days whose locks are held; another run may have done it before they were."""
    job = replace(job, attempt=new_attempt())
    passed: list[Audited] = []
    corrected: list[str] = []
    for day in look(job, contract, tables.state(table), [date.fromisoformat(ds) for ds in chunk]):
        if not is_stale(job, contract, table, day):
            gated.up_to_date.append(day.ds)
            continue
        try:
            audited = audited_day(job, contract, table, day, gated)
        except (GateFailed, InputMissing) as error:
            log.warning("%s of %s: %s", gated.source, day.ds, error)
            if day.active and not day.damage:
                why = f"its landing files do not follow the present one: {error.what}"
                refuse_earlier_contract(gated.source, contract, table, day.ds, day.published, why)
            leave_refusal(job, contract, table, day, error)
            (gated.kept if day.active and not day.damage else gated.blocked)[day.ds] = error
        else:
            passed.append(audited)
            if day.active and not day.damage and is_correction(table, day, audited.manifest.landing):
                corrected.append(day.ds)
            if day.damage:
                log.warning("%s of %s: another program changed the table: %s", gated.source, day.ds, day.damage)
                gated.restored[day.ds] = day.damage
    schema = tables.arrow_schema({name: column.type for name, column in contract.columns.items()})

    def still_wanted(manifests: Sequence[Manifest]) -> set[str]:
        return {manifest.ds for manifest in manifests if as_landed(job, contract, manifest)}

    def confirm() -> None:
        for lock in locks:
            lock.confirm()

    publication = publish_audited(job, f"inputs/{gated.source}", schema, passed, still_wanted, confirm)
    gated.published += publication.published
    gated.corrected += [ds for ds in corrected if ds in publication.published]
    gated.up_to_date += publication.up_to_date
    for ds in publication.superseded:
        gated.kept[ds] = SourceUnseen(
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


def _new_differences(before: tables.TableState, found: Mapping[str, Differences]) -> dict[str, Differences]:
    """The differences that neither the day itself nor the published day before it had: each is named once."""

    def published(ds: str) -> Differences:
        manifest = before.manifest(ds)
        return manifest.differences if manifest else {}

    fresh = {}
    for ds in sorted(found):
        earlier = max((day for day in {*before.partitions, *found} if day < ds), default="")
        known = found[earlier] if earlier in found else published(earlier)
        fresh[ds] = news(found[ds], merged(known, published(ds)))
    return {ds: differences for ds, differences in fresh.items() if differences}
