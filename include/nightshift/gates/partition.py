"""The gate of one staged partition: audit, remove what the policy lets go, report, publish."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow as pa

from nightshift import metrics, storage, tables
from nightshift.errors import NightshiftError
from nightshift.gates.frames import audit_staged
from nightshift.gates.kept import contents
from nightshift.gates.quarantine import QUARANTINE, Rejected, Removal, remove_rows
from nightshift.gates.results import CheckResult, GateReport, Status
from nightshift.gates.run import Audit
from nightshift.gates.single_precision import collapsed, extremes, model_numbers, range_checks
from nightshift.gates.suite import contract_checks, custom_checks
from nightshift.job import Job, Outcome
from nightshift.lineage import GateSummary, Manifest, report_link, sha256
from nightshift.specs.model import Column, Gate

__all__ = [
    "Audited",
    "Rejected",
    "audit_partition",
    "audit_published",
    "emit_report",
    "publish_audited",
    "report_unreadable",
    "up_to_date",
    "write_report",
]


@dataclass(frozen=True)
class Audited:
    """A partition after its gate: what may be published, what left, and the report (JSON beside the HTML page)."""

    manifest: Manifest
    quarantine: Manifest | None
    report: GateReport
    report_uri_html: str


def audit_partition(
    job: Job,
    *,
    dataset: str,
    staged: Manifest,
    columns: Mapping[str, Column],
    key: Sequence[str],
    gate: Gate,
    rejected: Sequence[Rejected] = (),
    extra: Sequence[CheckResult] = (),
) -> Audited:
    """Audit a staged partition, write its report, and take out the rows that the policy sends to quarantine.

    ``rejected`` are rows that could not be read and so are not in the staged files; ``extra`` are results of checks
    that Great Expectations cannot make. Does not raise where the gate blocks: ``report.status`` says it.
    """
    table = job.table(dataset)
    widths = extremes(table, staged.files, model_numbers(job.pipeline, dataset))
    landed = staged.counts.get("landed", staged.rows + len(rejected))
    room = int(gate.limit * landed + 1e-9) - len(rejected) if gate.policy == "quarantine" else 0
    checks = (*contract_checks(columns, key), *custom_checks(gate), *range_checks(widths))
    found = audit_staged(job, table, staged, checks, columns, key, gate.rows, max(room, 0))
    results = (*_unreadable(rejected, landed), *extra, *found.results, *collapsed(table, staged.files, widths))
    status = _status(gate, found, results, len(rejected), room)
    removal = Removal(staged, None, 0)
    if status != "blocked":
        removal = remove_rows(job, dataset, staged, columns, key, found.failing, rejected)
        reconciled = _reconciled(landed, removal)
        results = (*results, reconciled)
        status = status if reconciled.success else "blocked"
    return _reported(job, dataset, gate, status, landed, results, removal)


def audit_published(
    job: Job, *, dataset: str, published: Manifest, columns: Mapping[str, Column], key: Sequence[str], gate: Gate
) -> tuple[GateReport, str]:
    """Judge a published partition by the gate of today: its report, and the URI of the report's page.

    Nothing is taken out and nothing is counted as a metric; ``removed`` says how many rows would be.
    """
    table = job.table(dataset)
    widths = extremes(table, published.files, model_numbers(job.pipeline, dataset))
    room = int(gate.limit * published.rows + 1e-9) if gate.policy == "quarantine" else 0
    checks = (*contract_checks(columns, key), *custom_checks(gate), *range_checks(widths))
    found = audit_staged(job, table, published, checks, columns, key, gate.rows, room)
    results = (*found.results, *collapsed(table, published.files, widths))
    report = GateReport(
        pipeline=job.pipeline.name,
        dataset=dataset,
        ds=published.ds,
        attempt=job.attempt,
        status=_status(gate, found, results, 0, room),
        rows=published.rows,
        removed=len(found.failing),
        results=results,
        policy=gate.policy,
        limit=gate.limit,
        run_id=job.run_id,
        fingerprint=published.fingerprint,
        created_at=_now(),
    )
    return report, write_report(job, report)[1]


def report_unreadable(job: Job, dataset: str, ds: str, gate: Gate, why: str) -> str:
    """Write the report of a partition that could not be staged at all; returns the URI of its page.

    ``why`` names file and row, never a cell.
    """
    result = CheckResult("the landing files can be read", None, {}, success=False, error=why)
    report = GateReport(
        job.pipeline.name, dataset, ds, job.attempt, "blocked", 0, 0, (result,), gate.policy, gate.limit, job.run_id,
        created_at=_now(),
    )  # fmt: skip
    emit_report(job, report)
    return write_report(job, report)[1]


def publish_audited(
    job: Job,
    dataset: str,
    schema: pa.Schema,
    audited: Sequence[Audited],
    still_wanted: tables.StillWanted | None = None,
    confirm: tables.Confirm | None = None,
) -> tables.Publication:
    """Publish what gates let through, in one commit: first the rows in quarantine, then the dataset.

    Readers of the quarantine join on the dataset's fingerprint, so rows of a publication that never comes do not
    count. Blocked partitions are left out. ``confirm`` is of whoever works behind a lock. Returns the publication of
    the dataset.
    """
    passed = [item for item in audited if item.report.status != "blocked"]
    if not passed:
        return tables.Publication(tables.state(job.table(dataset)).version)
    left = [item.quarantine for item in passed if item.quarantine is not None]
    if left:
        own = [item.manifest for item in passed if item.quarantine is not None]

        def follows(_: Sequence[Manifest]) -> set[str]:
            found = tables.outcomes(tables.state(job.table(dataset)), own, still_wanted)
            return {ds for ds, outcome in found.items() if outcome == "publish"}

        tables.publish(job.table(f"quarantine/{dataset}"), QUARANTINE, left, follows, confirm)
    publication = tables.publish(job.table(dataset), schema, [item.manifest for item in passed], still_wanted, confirm)
    for name in ("published", "up_to_date", "superseded"):
        number = len(getattr(publication, name))
        metrics.count(job.settings, f"partitions_{name}", number, pipeline=job.pipeline.name, dataset=dataset)
    return publication


def up_to_date(job: Job, step: str, message: str, rows: float, published: Manifest | None) -> Outcome:
    """The outcome of a gate's step for a partition that was published before; warnings of its gate still hold."""
    number = published.warnings if published else 0
    warnings = (f"{message.partition(' (')[0]}; {number} expectations failed that only warn",) if number else ()
    counts = {"rows": rows, "warnings": float(number)}
    return Outcome(step, job.day, "up_to_date", message, counts, report_link(published), warnings=warnings)


def _status(gate: Gate, found: Audit, results: Sequence[CheckResult], rejected: int, room: int) -> Status:
    warned = any(result.only_warns and not result.success for result in results)
    failed = [result for result in results if not result.success and not result.only_warns]
    if not failed:
        return "warned" if warned else "passed"
    if gate.policy == "warn":
        return "warned"
    stays = [result for result in failed if not result.row_level] + [item for item in found.results if item.error]
    kept = any(not result.success and result.row_level for result in found.results) and not found.failing
    if gate.policy == "block" or stays or kept or room < 0:
        return "blocked"
    return "quarantined"


def _unreadable(rejected: Sequence[Rejected], landed: int) -> list[CheckResult]:
    counts: dict[str, int] = {}
    for name in (name for row in rejected for name in row.expectation.split("; ")):
        counts[name] = counts.get(name, 0) + 1
    return [
        CheckResult(name, None, {}, success=False, unexpected=number, rows=landed, row_level=True)
        for name, number in sorted(counts.items())
    ]


def _reconciled(landed: int, removal: Removal) -> CheckResult:
    """Every row that came is published or in quarantine: counted in the files that were written."""
    published, gone = removal.manifest.rows, removal.quarantine.rows if removal.quarantine else 0
    observed = {"rows in": landed, "published": published, "quarantined": gone}
    difference = abs(landed - published - gone)
    return CheckResult("rows in = published + quarantined", None, {}, not difference, observed, difference, landed)


def _reported(
    job: Job,
    dataset: str,
    gate: Gate,
    status: Status,
    landed: int,
    results: tuple[CheckResult, ...],
    removal: Removal,
) -> Audited:
    manifest = removal.manifest
    report = GateReport(
        pipeline=job.pipeline.name,
        dataset=dataset,
        ds=manifest.ds,
        attempt=job.attempt,
        status=status,
        rows=landed,
        removed=0 if status == "blocked" else removal.removed,
        results=results,
        policy=gate.policy,
        limit=gate.limit,
        run_id=job.run_id,
        fingerprint=manifest.fingerprint,
        created_at=_now(),
    )
    uri, page, digest = write_report(job, report)
    emit_report(job, report)
    summary = GateSummary(uri, digest, status, report.warnings)
    counts = {**manifest.counts, "rows": manifest.rows, "quarantined": report.removed}
    quarantine = replace(removal.quarantine, gate=summary) if removal.quarantine and status != "blocked" else None
    return Audited(replace(manifest, gate=summary, counts=counts), quarantine, report, page)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_report(job: Job, report: GateReport) -> tuple[str, str, str]:
    """The URIs of the report and of its page, and the report's SHA-256. A report is never overwritten."""
    folder = storage.join(job.settings.reports, report.pipeline, report.dataset, f"ds={report.ds}")
    uri, page = (storage.join(folder, f"{report.attempt}.{kind}") for kind in ("json", "html"))
    content, shown = contents(report)
    if not storage.create_bytes(uri, content) or not storage.create_bytes(page, shown):
        raise NightshiftError("there is a gate report of this attempt already", where=uri, do="clear the task")
    return uri, page, sha256(content)


def emit_report(job: Job, report: GateReport) -> None:
    """Sends what a report counts as metrics."""
    tags = {"pipeline": report.pipeline, "dataset": report.dataset}
    metrics.count(job.settings, "rows_in", report.rows, **tags)
    metrics.count(job.settings, "rows_out", report.published, **tags)
    metrics.count(job.settings, "rows_quarantined", report.removed, **tags)
    metrics.count(job.settings, "gate_results", 1, status=report.status, **tags)
    metrics.count(job.settings, "expectations_failed", len(report.failed), **tags)
