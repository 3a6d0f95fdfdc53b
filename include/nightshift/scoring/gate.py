"""The gate of predictions: every shard there, every key once, every score as it should be; then published."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from nightshift import metrics, storage, tables
from nightshift.errors import InputMissing, ModelNotFound, NightshiftError
from nightshift.gates.keys import Differences, differences
from nightshift.gates.partition import Audited, audit_partition, publish_audited, up_to_date
from nightshift.gates.report import warning_lines
from nightshift.gates.results import CheckResult
from nightshift.gates.run import enforce
from nightshift.job import Job, Outcome
from nightshift.lineage import Manifest, Upstream, libraries, recipe_of
from nightshift.scoring.coverage import counts_of, coverage, unscored
from nightshift.scoring.plan import (
    ScoringPlan,
    ShardResult,
    prediction_columns,
    read_result,
    started_folder,
)
from nightshift.scoring.planning import planned, resolve
from nightshift.scoring.reconcile import not_finite, same_rows
from nightshift.specs.model import Column

log = logging.getLogger("nightshift.scoring")

PREDICTIONS = "predictions"


def gate_predictions(job: Job) -> Outcome:
    """Audit the shards' predictions and publish them.

    Raises GateFailed, or NightshiftError where shards have no result.
    """
    left, plan = job.left("plan_scoring"), planned(job)
    if plan is None:
        return Outcome("gate_predictions", job.day, "nothing", f"{job.day} is after the spec's end: labels alone")
    found = tables.state(plan.table)
    published = found.fingerprint(job.day)
    if recipe_of(published) == plan.fingerprint:
        metrics.count(job.settings, "partitions_up_to_date", 1, pipeline=job.pipeline.name, dataset=PREDICTIONS)
        message = f"predictions of {job.day} are up to date ({plan.rows} rows, {published})"
        manifest = found.manifest(job.day)
        return up_to_date(job, "gate_predictions", message, float(plan.rows), manifest)
    results = _results(plan, left["plan"])
    lost = unscored(job, tables.state(job.table("features"), left["features_version"]).manifest(job.day))
    staged = _manifest(job, plan, results, left, lost)
    tables.leave_staged(plan.table, staged)
    audited = audit_partition(
        job,
        dataset=PREDICTIONS,
        staged=staged,
        columns=prediction_contract(job, plan.model_digits),
        key=job.pipeline.features.key,
        gate=job.pipeline.scoring.gate,
        extra=(*_reconciled(job, plan, staged), *coverage(job.day, plan.rows, lost, found)),
    )
    enforce(audited.report, audited.report_uri_html)
    return _published(job, plan, audited, results)


def prediction_contract(job: Job, model_digits: str) -> dict[str, Column]:
    """The contract of predictions: keys, a probability where the objective is binary, the one model."""
    score = Column(type="number", min=0, max=1) if job.pipeline.label.objective == "binary" else Column(type="number")
    model = Column(type="string", allowed=(model_digits,), public=True)
    return {**job.pipeline.key_contract, "score": score, "model": model}


def _results(plan: ScoringPlan, plan_uri: str) -> list[ShardResult]:
    found = [read_result(plan_uri, shard.number) for shard in plan.shards]
    missing = [shard.number for shard, result in zip(plan.shards, found, strict=True) if result is None]
    if missing:
        raise NightshiftError(
            f"{len(missing)} of {len(plan.shards)} shards have no result: {', '.join(map(str, missing))}",
            where=plan_uri,
            do=f"clear the failed score tasks of {plan.ds}; shards that are done are not scored again",
        )
    return [result for result in found if result is not None]


def _manifest(
    job: Job, plan: ScoringPlan, results: list[ShardResult], left: dict[str, Any], lost: Mapping[str, int]
) -> Manifest:
    return job.manifest(
        PREDICTIONS,
        job.day,
        plan.fingerprint,
        files=tuple(result.file for result in results),
        replaces=left["replaces"],
        upstream={"features": Upstream(left["features_version"], {job.day: plan.features})},
        counts={"features": plan.rows, "shards": len(results), **counts_of(lost)},
        model_sha256=plan.model_sha256,
        ledger_head=left["ledger_head"],
        libraries=libraries() | {name: version for item in results for name, version in item.libraries.items()},
    )


def _reconciled(job: Job, plan: ScoringPlan, staged: Manifest) -> tuple[CheckResult, ...]:
    """What Great Expectations cannot ask: the same keys as the features, in full, and finite scores."""
    key, rows = list(job.pipeline.features.key), staged.rows
    features = tables.state(job.table("features"), staged.upstream["features"].version)
    files = features.files(job.day)
    same = same_rows(tables.read_batches(features.uri, files, key), tables.read_batches(plan.table, staged.files, key))
    found = Differences(0, 0, 0)
    if not same:
        found = differences(tables.read(features.uri, files, key), tables.read(plan.table, staged.files, key))
    infinite = not_finite(tables.read_batches(plan.table, staged.files, ["score"]))
    keys = {"missing": found.missing, "unexpected": found.unexpected, "repeated": found.repeated}
    gap = abs(rows - plan.rows)
    return (
        CheckResult("every key of the features has one prediction", None, {}, not found.total, keys, found.total, rows),
        CheckResult("predictions = features", None, {}, not gap, {"rows": rows, "features": plan.rows}, gap, rows),
        CheckResult("scores are finite", "score", {}, not infinite, {"not finite": infinite}, infinite, rows),
    )


def _published(job: Job, plan: ScoringPlan, audited: Audited, results: list[ShardResult]) -> Outcome:
    schema = tables.arrow_schema(prediction_columns(plan.key))

    def still_wanted(manifests: Sequence[Manifest]) -> set[str]:
        wanted = _wanted(job, audited.manifest.fingerprint)
        return {manifest.ds for manifest in manifests if recipe_of(manifest.fingerprint) == wanted}

    publication = publish_audited(job, PREDICTIONS, schema, [audited], still_wanted)
    rows = audited.manifest.rows
    counts = {"rows": float(rows), "quarantined": float(audited.report.removed), "version": float(publication.version)}
    counts |= {"warnings": float(audited.manifest.warnings)}
    links = {"gate report": audited.report_uri_html}
    warnings = warning_lines(audited.report)
    if publication.superseded:
        wanted = _wanted(job, audited.manifest.fingerprint)
        tables.refuse_overtaken(job.table(PREDICTIONS), audited.manifest, "plan_scoring", wanted)
        message = f"predictions of {job.day}: a newer attempt was published meanwhile, this one is discarded"
        return Outcome("gate_predictions", job.day, "up_to_date", message, counts, links)
    _emit(job, plan, rows, results)
    message = (
        f"predictions of {job.day}: {rows} rows published as version {publication.version}, "
        f"{audited.report.removed} quarantined, gate {audited.report.status}"
    )
    if tables.state(job.table("features")).fingerprint(job.day) != plan.features:
        log.warning("%s: the features were republished meanwhile", job.day)
        message += "; the features were republished meanwhile: clear plan_scoring to score them"
    return Outcome("gate_predictions", job.day, "done", message, counts, links, warnings=warnings)


def _wanted(job: Job, published: str) -> str:
    """The recipe that predictions of ``ds`` have now; empty where nothing can be scored."""
    try:
        return resolve(job, published).fingerprint
    except (InputMissing, ModelNotFound):
        return ""


def _emit(job: Job, plan: ScoringPlan, rows: int, results: list[ShardResult]) -> None:
    name = job.pipeline.name
    started = len(storage.list_files(started_folder(plan.uri)))
    metrics.count(job.settings, "scored_rows", rows, pipeline=name)
    metrics.count(job.settings, "shards", len(results), pipeline=name)
    metrics.count(job.settings, "shard_retries", max(0, started - len(results)), pipeline=name)
    for result in results:
        metrics.timing(job.settings, "shard_seconds", result.seconds, pipeline=name)
