"""The gates of features and labels: audit what Spark staged, publish it in one commit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from nightshift import tables
from nightshift.errors import InputMissing, NightshiftError
from nightshift.features.build import DATASETS, contract, resolve
from nightshift.features.recipes import Dataset
from nightshift.gates.keys import differences
from nightshift.gates.partition import Audited, audit_partition, publish_audited
from nightshift.gates.run import CheckResult, enforce
from nightshift.job import Job, Outcome
from nightshift.lineage import Manifest, Upstream, find_staged, recipe_of, report_link
from nightshift.specs.calendar import label_day

log = logging.getLogger("nightshift.features")


def gate_features(job: Job) -> Outcome:
    """Audit and publish the features of ``ds``. Raises GateFailed."""
    days = job.left("build_features")["features"]
    if job.day not in days:
        return Outcome("gate_features", job.day, "nothing", f"{job.day} is after the spec's end: labels alone")
    return _gate_day(job, "gate_features", "features", job.day, days[job.day])


def gate_labels(job: Job) -> Outcome:
    """Audit and publish the labels that have become mature at the cutoff of ``ds``.

    Raises GateFailed, or InputMissing where a delivery that the labels need has not come or was blocked.
    """
    day = label_day(job.pipeline, job.ds).isoformat()
    days = job.left("build_features")["labels"]
    if day not in days:
        return Outcome("gate_labels", job.day, "nothing", f"labels of {day} are outside the spec's range")
    if days[day]["status"] == "missing":
        problems = job.left("gate_inputs").get("label_problems", [])
        why = "; ".join([*problems, days[day]["why"]])
        raise InputMissing(f"labels of {day} cannot be built: {why}")
    return _gate_day(job, "gate_labels", "labels", day, days[day])


def gate_window(job: Job) -> Outcome:
    """Audit and publish what ``build_window`` staged; blocked and missing days are left out and named."""
    left_out: dict[str, list[str]] = {"blocked": [], "missing": []}
    counts: dict[str, float] = {}
    links: dict[str, str] = {}
    for dataset in DATASETS:
        window = _gate_days(job, dataset, job.left("build_window")[dataset])
        left_out["blocked"] += window.blocked
        left_out["missing"] += window.missing
        links |= window.links
        counts[f"{dataset}_published"] = float(len(window.publication.published))
        counts[f"{dataset}_up_to_date"] = float(window.unchanged + len(window.publication.up_to_date))
    document = {what: sorted(set(days)) for what, days in left_out.items()}
    job.leave("gate_window", document)
    published = counts["features_published"] + counts["labels_published"]
    message = (
        f"published {counts['features_published']:.0f} days of features and {counts['labels_published']:.0f} of "
        f"labels; {len(document['blocked'])} days blocked, {len(document['missing'])} missing"
    )
    return Outcome("gate_window", job.day, "done" if published else "up_to_date", message, counts, links)


@dataclass(frozen=True)
class _Window:
    publication: tables.Publication
    unchanged: int
    blocked: list[str]
    missing: list[str]
    links: dict[str, str]


def _gate_days(job: Job, dataset: Dataset, days: dict[str, dict[str, str]]) -> _Window:
    waiting = {day: item["fingerprint"] for day, item in days.items() if item["status"] == "staged"}
    audits = {day: _audited(job, dataset, _staged(job, dataset, day, waiting[day])) for day in sorted(waiting)}
    blocked = [day for day, audited in audits.items() if audited.report.status == "blocked"]
    links = {f"gate report {dataset} {day}": audits[day].report_uri_html for day in blocked}
    publication = _publish(job, dataset, list(audits.values()))
    missing = [day for day, item in days.items() if item["status"] == "missing"]
    unchanged = sum(item["status"] == "up_to_date" for item in days.values())
    return _Window(publication, unchanged, blocked, missing, links)


def _gate_day(job: Job, step: str, dataset: Dataset, day: str, item: dict[str, str]) -> Outcome:
    found = tables.state(job.table(dataset))
    fingerprint = item["fingerprint"]
    if recipe_of(found.fingerprint(day)) == recipe_of(fingerprint):
        rows = float(found.partitions[day].rows)
        message = f"{dataset} of {day} are up to date ({rows:.0f} rows, {found.fingerprint(day)})"
        links = report_link(found.manifest(day))
        return Outcome(step, job.day, "up_to_date", message, {"rows": rows}, links)
    audited = _audited(job, dataset, _staged(job, dataset, day, fingerprint))
    links = {"gate report": audited.report_uri_html}
    enforce(audited.report, audited.report_uri_html)
    publication = _publish(job, dataset, [audited])
    rows, removed = float(audited.manifest.rows), float(audited.report.removed)
    counts = {"rows": rows, "quarantined": removed, "version": float(publication.version)}
    counts |= {"warnings": float(audited.manifest.warnings)}
    if publication.superseded:
        tables.refuse_overtaken(job.table(dataset), audited.manifest, "build_features")
        message = f"{dataset} of {day}: a newer attempt was published meanwhile, this one is discarded"
        return Outcome(step, job.day, "up_to_date", message, counts, links)
    message = (
        f"{dataset} of {day}: {rows:.0f} rows published as version {publication.version}, {removed:.0f} quarantined, "
        f"gate {audited.report.status}"
    )
    if not rows and dataset == "features":
        message += f"; there is nothing to score for {day}"
        log.warning("%s", message)
    return Outcome(step, job.day, "done", message, counts, links)


def _staged(job: Job, dataset: Dataset, day: str, fingerprint: str) -> Manifest:
    manifest = find_staged(job.table(dataset), day, fingerprint)
    if manifest is None:
        raise NightshiftError(
            f"the staged {dataset} of {day} with fingerprint {fingerprint} are gone",
            where=job.table(dataset),
            do="clear the build task of this run",
        )
    return manifest


def _audited(job: Job, dataset: Dataset, staged: Manifest) -> Audited:
    gate = job.pipeline.features.gate if dataset == "features" else job.pipeline.label.gate
    return audit_partition(
        job,
        dataset=dataset,
        staged=staged,
        columns=contract(job, dataset),
        key=job.pipeline.features.key,
        gate=gate,
        extra=_reconciled(job, staged) if dataset == "features" else (),
    )


def _reconciled(job: Job, staged: Manifest) -> tuple[CheckResult, ...]:
    """Spine rows = features: every key of the spine has its row, neither lost nor invented."""
    spine = job.pipeline.features.spine
    if spine is None:
        return ()
    upstream = staged.upstream[f"inputs/{spine}"]
    pinned = tables.state(job.table(f"inputs/{spine}"), upstream.version)
    keys = list(job.pipeline.features.key)
    schema = tables.arrow_schema({name: column.type for name, column in job.pipeline.inputs[spine].columns.items()})
    files = pinned.files(_spine_day(job, staged.ds, upstream))
    expected = tables.read(pinned.uri, files, keys, schema).group_by(keys).aggregate([])
    built = tables.read(job.table("features"), staged.files, keys, tables.arrow_schema(job.pipeline.key_types))
    found = differences(expected.cast(built.schema), built)
    observed = {
        "rows": staged.rows,
        f"keys of {spine}": expected.num_rows,
        "lost": found.missing,
        "invented": found.unexpected,
        "repeated": found.repeated,
    }
    name = f"rows equal the keys of {spine}"
    return (CheckResult(name, None, {}, not found.total, observed, found.total, staged.rows),)


def _spine_day(job: Job, ds: str, upstream: Upstream) -> str:
    """The day of the spine whose keys ``ds`` has; it may be absent, and then ``ds`` has none."""
    source = job.pipeline.feature_inputs[job.pipeline.features.spine or ""]
    return max(upstream.days) if source.snapshot else str(source.feature_days(date.fromisoformat(ds))[-1])


def _publish(job: Job, dataset: Dataset, audits: Sequence[Audited]) -> tables.Publication:
    schema = tables.arrow_schema({name: column.type for name, column in contract(job, dataset).items()})

    def still_wanted(manifests: Sequence[Manifest]) -> set[str]:
        now = resolve(job)
        wanted = {item.ds: now.wanted(dataset, date.fromisoformat(item.ds)) for item in manifests}
        return {item.ds for item in manifests if wanted[item.ds] == recipe_of(item.fingerprint)}

    passed = [audited for audited in audits if audited.report.status != "blocked"]
    return publish_audited(job, dataset, schema, passed, still_wanted)
