"""The gates of features and labels: audit what Spark staged, publish it in one commit."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from nightshift import tables
from nightshift.errors import InputMissing, NightshiftError
from nightshift.features.build import DATASETS, contract, resolve
from nightshift.features.recipes import Dataset
from nightshift.features.unbuilt import Unbuilt, find_unbuilt, forget_unbuilt, tell
from nightshift.features.unlabelled import overdue, record
from nightshift.gates.keys import LOST, differences
from nightshift.gates.partition import Audited, audit_partition, publish_audited, up_to_date
from nightshift.gates.report import warning_lines
from nightshift.gates.run import CheckResult, enforce
from nightshift.job import Job, Outcome, Status
from nightshift.lineage import Manifest, Upstream, find_staged, recipe_of
from nightshift.specs.calendar import label_day

log = logging.getLogger("nightshift.features")


def gate_features(job: Job) -> Outcome:
    """Audit and publish the features of ``ds``. Raises GateFailed."""
    days = job.left("build_features")["features"]
    if job.day not in days:
        return Outcome("gate_features", job.day, "nothing", outside(job))
    return _gate_day(job, "gate_features", "features", job.day, days[job.day])


def outside(job: Job) -> str:
    """Why a day outside the spec's range has nothing to do."""
    schedule = job.pipeline.schedule
    if schedule.end and job.ds > schedule.end:
        return f"{job.day} is after the spec's end: labels alone"
    return f"{job.day} is before the spec's start {schedule.start}: nothing to do"


def gate_labels(job: Job) -> Outcome:
    """Audit and publish the labels that have become mature at the cutoff of ``ds``.

    Raises GateFailed, or InputMissing where a delivery that the labels need has not come or was blocked. Once it has
    been waited for long enough, the day is recorded as unlabelled instead.
    """
    ds = label_day(job.pipeline, job.ds)
    day, days = ds.isoformat(), job.left("build_features")["labels"]
    if day not in days:
        return Outcome("gate_labels", job.day, "nothing", f"labels of {day} are outside the spec's range")
    if days[day]["status"] == "missing":
        gated = job.left("gate_inputs")
        why = "; ".join([*gated.get("label_problems", []), days[day]["why"]])
        # Where a source could not be looked at, nobody knows that its delivery never came.
        if days[day].get("lacks") and not gated.get("label_unknown") and overdue(job.pipeline, ds, datetime.now(UTC)):
            return _unlabelled(job, ds, why)
        raise InputMissing(f"labels of {day} cannot be built: {why}")
    return _gate_day(job, "gate_labels", "labels", day, days[day])


def _unlabelled(job: Job, ds: date, why: str) -> Outcome:
    found = record(job, ds, why)
    wait = f"they were waited for {job.pipeline.label.wait} days longer than label.lag"
    message = f"there are no labels of {ds}, and {wait}: {found.words}"
    counts = {"unlabelled": 1.0, "warnings": 1.0}
    return Outcome("gate_labels", job.day, "nothing", message, counts, warnings=(message,))


def gate_window(job: Job) -> Outcome:
    """Audit and publish what ``build_window`` staged; blocked, missing and unbuilt days are left out and named."""
    left_out: dict[str, list[str]] = {"blocked": [], "missing": []}
    windows: dict[Dataset, _Window] = {}
    unbuilt: dict[str, str] = {}
    counts: dict[str, float] = {}
    links: dict[str, str] = {}
    for dataset in DATASETS:
        window = windows[dataset] = _gate_days(job, dataset, job.left("build_window")[dataset])
        left_out["blocked"] += window.blocked
        left_out["missing"] += window.missing
        unbuilt |= {day: f"{dataset} {why}" for day, why in window.unbuilt.items()}
        links |= window.links
        counts[f"{dataset}_published"] = float(len(window.publication.published))
        counts[f"{dataset}_up_to_date"] = float(window.unchanged + len(window.publication.up_to_date))
    document = {what: sorted(set(days)) for what, days in left_out.items()}
    job.leave("gate_window", {**document, "unbuilt": dict(sorted(unbuilt.items()))})
    warnings = tuple(
        f"{dataset} of {day}: the gate blocked them" for dataset, window in windows.items() for day in window.blocked
    )
    warnings += tuple(f"{day} is left out: {why}" for day, why in sorted(unbuilt.items()))
    counts["warnings"] = float(len(warnings))
    published = counts["features_published"] + counts["labels_published"]
    message = (
        f"published {counts['features_published']:.0f} days of features and {counts['labels_published']:.0f} of "
        f"labels; {len(document['blocked'])} days blocked, {len(document['missing'])} missing"
    )
    if unbuilt:
        message += f", {len(unbuilt)} that cannot be built: {', '.join(sorted(unbuilt))}"
    status: Status = "done" if published or warnings else "up_to_date"
    return Outcome("gate_window", job.day, status, message, counts, links, warnings=warnings)


@dataclass(frozen=True)
class _Window:
    publication: tables.Publication
    unchanged: int
    blocked: list[str]
    missing: list[str]
    unbuilt: dict[str, str]
    links: dict[str, str]


def _gate_days(job: Job, dataset: Dataset, days: dict[str, dict[str, str]]) -> _Window:
    waiting = {day: item["fingerprint"] for day, item in days.items() if item["status"] == "staged"}
    found = {day: _staged(job, dataset, day, waiting[day]) for day in sorted(waiting)}
    unbuilt = {day: item for day, item in found.items() if isinstance(item, Unbuilt)}
    for item in unbuilt.values():
        tell(job.table(dataset), item, job.run_id)
    audits = {day: _audited(job, dataset, item) for day, item in found.items() if not isinstance(item, Unbuilt)}
    blocked = [day for day, audited in audits.items() if audited.report.status == "blocked"]
    links = {f"gate report {dataset} {day}": audits[day].report_uri_html for day in blocked}
    publication = _publish(job, dataset, list(audits.values()))
    missing = [day for day, item in days.items() if item["status"] == "missing"]
    unchanged = sum(item["status"] == "up_to_date" for item in days.values())
    whys = {day: item.why for day, item in unbuilt.items()}
    return _Window(publication, unchanged, blocked, missing, whys, links)


def _gate_day(job: Job, step: str, dataset: Dataset, day: str, item: dict[str, str]) -> Outcome:
    found = tables.state(job.table(dataset))
    fingerprint = item["fingerprint"]
    if recipe_of(found.fingerprint(day)) == recipe_of(fingerprint):
        rows = float(found.partitions[day].rows)
        message = f"{dataset} of {day} are up to date ({rows:.0f} rows, {found.fingerprint(day)})"
        return up_to_date(job, step, message, rows, found.manifest(day))
    staged = _staged(job, dataset, day, fingerprint)
    if isinstance(staged, Unbuilt):
        raise tell(job.table(dataset), staged, job.run_id)
    audited = _audited(job, dataset, staged)
    links = {"gate report": audited.report_uri_html}
    enforce(audited.report, audited.report_uri_html)
    publication = _publish(job, dataset, [audited])
    rows, removed = float(audited.manifest.rows), float(audited.report.removed)
    counts = {"rows": rows, "quarantined": removed, "version": float(publication.version)}
    counts |= {"warnings": float(audited.manifest.warnings)}
    if publication.superseded:
        wanted = resolve(job).wanted(dataset, date.fromisoformat(day))
        tables.refuse_overtaken(job.table(dataset), audited.manifest, "build_features", wanted)
        message = f"{dataset} of {day}: a newer attempt was published meanwhile, this one is discarded"
        return Outcome(step, job.day, "up_to_date", message, counts, links)
    message = (
        f"{dataset} of {day}: {rows:.0f} rows published as version {publication.version}, {removed:.0f} quarantined, "
        f"gate {audited.report.status}"
    )
    warnings = warning_lines(audited.report)
    if not rows:
        message += f"; there is nothing to score for {day}" if dataset == "features" else f"; {day} has no label"
        log.warning("%s", message)
        warnings = (*warnings, message)
        counts["warnings"] += 1
    return Outcome(step, job.day, "done", message, counts, links, warnings=warnings)


def _staged(job: Job, dataset: Dataset, day: str, fingerprint: str) -> Manifest | Unbuilt:
    """What the build left of a day: the manifest of its files, or why it cannot be built."""
    table = job.table(dataset)
    found = find_staged(table, day, fingerprint) or find_unbuilt(table, day, fingerprint)
    if found is None:
        raise NightshiftError(
            f"the staged {dataset} of {day} with fingerprint {fingerprint} are gone",
            where=table,
            do="clear the build task of this run",
        )
    return found


def _audited(job: Job, dataset: Dataset, staged: Manifest) -> Audited:
    gate = job.pipeline.features.gate if dataset == "features" else job.pipeline.label.gate
    reconciled = _reconciled(job, staged) if dataset == "features" else ()
    # With the policy `warn` such a day is published all the same.
    lost = sum(result.observed[LOST] for result in reconciled)
    return audit_partition(
        job,
        dataset=dataset,
        staged=replace(staged, counts={**staged.counts, LOST: lost}) if lost else staged,
        columns=contract(job, dataset),
        key=job.pipeline.features.key,
        gate=gate,
        extra=reconciled,
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
        LOST: found.missing,
        "invented": found.unexpected,
        "repeated": found.repeated,
    }
    name = f"rows equal the keys of {spine}"
    return (CheckResult(name, None, {}, not found.total, observed, found.total, staged.rows),)


def _spine_day(job: Job, ds: str, upstream: Upstream) -> str:
    """The day of the spine whose keys ``ds`` has."""
    own = job.pipeline.spine_day(date.fromisoformat(ds))
    return own.isoformat() if own else max(upstream.days)


def _publish(job: Job, dataset: Dataset, audits: Sequence[Audited]) -> tables.Publication:
    schema = tables.arrow_schema({name: column.type for name, column in contract(job, dataset).items()})

    def still_wanted(manifests: Sequence[Manifest]) -> set[str]:
        now = resolve(job)
        wanted = {item.ds: now.wanted(dataset, date.fromisoformat(item.ds), item.fingerprint) for item in manifests}
        return {item.ds for item in manifests if wanted[item.ds] == recipe_of(item.fingerprint)}

    passed = [audited for audited in audits if audited.report.status != "blocked"]
    publication = publish_audited(job, dataset, schema, passed, still_wanted)
    for manifest in (audited.manifest for audited in passed if audited.manifest.ds in publication.published):
        forget_unbuilt(job.table(dataset), manifest.ds, recipe_of(manifest.fingerprint))
    return publication
