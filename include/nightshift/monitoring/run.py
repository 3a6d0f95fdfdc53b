"""Evaluate every day whose predictions and labels are both published, once for each state of the two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightshift import metrics, tables
from nightshift.earlier_scheme import library_code
from nightshift.job import Job, Outcome, Status
from nightshift.lineage import Manifest, Upstream, recipe
from nightshift.monitoring import decay
from nightshift.monitoring.late_labels import without_labels
from nightshift.monitoring.skew import differing_days
from nightshift.parts import version

MONITORING = "monitoring"
# After a change of the code above all of history is stale: one run does so many days, the newest first.
MOST_DAYS = 100

_QUALITY = tuple(name for names in decay.QUALITY.values() for name in names)
COLUMNS: Mapping[str, str] = {
    "model": "string",
    "rows": "integer",
    "unlabelled": "integer",
    "label_mean": "number",
    "score_mean": "number",
    **dict.fromkeys(_QUALITY, "number"),
}


@dataclass(frozen=True)
class _Survey:
    """The three tables, each at one version."""

    predictions: tables.TableState
    labels: tables.TableState
    evaluated: tables.TableState
    code: str

    def wanted(self, day: str) -> str:
        """The fingerprint that the evaluation of a day should have; empty without sound predictions and labels."""
        if self.predictions.damage(day) or self.labels.damage(day):
            return ""
        predictions, labels = self.predictions.fingerprint(day), self.labels.fingerprint(day)
        if not predictions or not labels:
            return ""
        names = [recipe(predictions=predictions, labels=labels, code=code) for code in (self.code, *_earlier_code())]
        published = self.evaluated.fingerprint(day)
        return published if published in names else names[0]

    @property
    def damaged(self) -> list[str]:
        """The scored days of which predictions or labels were changed by another program, oldest first."""
        return [
            ds for ds in sorted(self.predictions.partitions) if self.predictions.damage(ds) or self.labels.damage(ds)
        ]

    @property
    def stale(self) -> list[str]:
        """The days to evaluate, oldest first."""
        days = sorted(set(self.predictions.partitions) & set(self.labels.partitions))
        wanted = {day: self.wanted(day) for day in days}
        return [day for day in days if wanted[day] and self.evaluated.fingerprint(day) != wanted[day]]


def monitor(job: Job) -> Outcome:
    """Evaluate the stale days and publish one row for each in ``monitoring``."""
    survey = _survey(job)
    days = survey.stale[-MOST_DAYS:]
    if not days:
        metrics.count(job.settings, "partitions_up_to_date", 1, pipeline=job.pipeline.name, dataset=MONITORING)
        return _said_of(job, survey, "up_to_date", "every day with predictions and labels is evaluated", {})
    rows = {day: _evaluated(job, survey, day) for day in days}
    manifests = [_staged(job, survey, day, rows[day]) for day in days]

    def still_wanted(manifests: Sequence[Manifest]) -> set[str]:
        now = _survey(job)
        return {manifest.ds for manifest in manifests if now.wanted(manifest.ds) == manifest.fingerprint}

    publication = tables.publish(job.table(MONITORING), tables.arrow_schema(COLUMNS), manifests, still_wanted)
    _emit(job, publication, rows[days[-1]])
    left = len(survey.stale) - len(days)
    message = f"days evaluated: {len(days)} ({days[0]} to {days[-1]}); {days[-1]}: {_said(rows[days[-1]])}"
    if left:
        message += f"; older days left to the next run: {left}"
    counts = {"days": float(len(days)), "version": float(publication.version)}
    empty = [f"{day}: no row has a prediction and a label" for day in days if not rows[day]["rows"]]
    status: Status = "done" if publication.published else "up_to_date"
    return _said_of(job, survey, status, message, counts, empty)


def _said_of(
    job: Job, survey: _Survey, status: Status, message: str, counts: Mapping[str, float], warnings: Sequence[str] = ()
) -> Outcome:
    """The outcome, with what is not evaluated: days that wait for labels, never got them, or are damaged."""
    late = without_labels(job, survey.predictions, survey.labels)
    lines = [*warnings, *(f"labels of {day} never came: recorded as unlabelled" for day in late.recorded)]
    lines += [
        f"labels of {day} have come and are not built: backfill the night in which they were due"
        for day in late.unbuilt
    ]
    lines += [f"labels of {day} {item.why} (run {item.run_id})" for day, item in late.failed.items()]
    lines += [f"labels of {day} are waited for still, a look at them failed: {why}" for day, why in late.unseen.items()]
    lines += [f"{day} is not evaluated, another program changed it" for day in survey.damaged]
    differing = differing_days(job, survey.predictions, tables.state(job.table("features")))
    metrics.gauge(job.settings, "features_differ", len(differing), pipeline=job.pipeline.name)
    found = {
        **counts,
        "waiting": float(len(late.waiting)),
        "unlabelled": float(len(late.unlabelled)),
        "unbuilt": float(len(late.unbuilt) + len(late.failed)),
        "features_differ": float(len(differing)),
        "warnings": float(len(lines)),
    }
    return Outcome("monitor", job.day, status, message, found, warnings=tuple(lines))


def _survey(job: Job) -> _Survey:
    predictions, labels, evaluated = (
        tables.state(job.table(dataset)) for dataset in ("predictions", "labels", MONITORING)
    )
    return _Survey(predictions, labels, evaluated, recipe(evaluation=version("evaluation"), columns=COLUMNS))


def _earlier_code() -> list[str]:
    return [recipe(decay=code, columns=COLUMNS) for code in library_code("evaluation")]


def _evaluated(job: Job, survey: _Survey, day: str) -> dict[str, Any]:
    """The row of a day: counts, and every metric that is defined.

    Labels that were published before the spec named the column have none: their rows are unlabelled for now.
    """
    key, label = list(job.pipeline.features.key), job.pipeline.label
    predictions = tables.read(survey.predictions.uri, survey.predictions.files(day), [*key, "score", "model"])
    schema = tables.arrow_schema({name: column.type for name, column in job.pipeline.label_contract.items()})
    labels = tables.read(survey.labels.uri, survey.labels.files(day), [*key, label.column], schema)
    labels = labels.filter(pc.is_valid(labels[label.column]))
    both = predictions.join(labels, key, join_type="inner", use_threads=False)
    found = decay.evaluate(label.objective, _vector(both[label.column]), _vector(both["score"]))
    model = predictions["model"][0].as_py() if predictions.num_rows else None
    return {"model": model, "rows": both.num_rows, "unlabelled": predictions.num_rows - both.num_rows, **found}


def _vector(values: pa.ChunkedArray) -> decay.Vector:
    return np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64)


def _staged(job: Job, survey: _Survey, day: str, row: dict[str, Any]) -> Manifest:
    table, fingerprint = job.table(MONITORING), survey.wanted(day)
    schema = tables.arrow_schema(COLUMNS)
    batch = pa.RecordBatch.from_pylist([{name: row.get(name) for name in COLUMNS}], schema=schema)
    manifest = job.manifest(
        MONITORING,
        day,
        fingerprint,
        files=tables.write_partition(table, job.attempt, day, fingerprint, schema, [batch]),
        replaces=survey.evaluated.fingerprint(day),
        upstream={
            "predictions": Upstream(survey.predictions.version, {day: survey.predictions.fingerprint(day)}),
            "labels": Upstream(survey.labels.version, {day: survey.labels.fingerprint(day)}),
        },
        counts={"rows": row["rows"], "unlabelled": row["unlabelled"]},
    )
    tables.leave_staged(table, manifest)
    return manifest


def _emit(job: Job, publication: tables.Publication, newest: dict[str, Any]) -> None:
    name = job.pipeline.name
    for what, days in (
        ("partitions_published", publication.published),
        ("partitions_up_to_date", publication.up_to_date),
        ("partitions_superseded", publication.superseded),
    ):
        if days:
            metrics.count(job.settings, what, len(days), pipeline=name, dataset=MONITORING)
    for what in ("label_mean", "score_mean", *_QUALITY):
        if what in newest:
            metrics.gauge(job.settings, what, newest[what], pipeline=name)


def _said(row: dict[str, Any]) -> str:
    quality = ", ".join(f"{name} {row[name]:.4g}" for name in _QUALITY if name in row)
    return f"{quality or 'no metric is defined'} of {row['rows']} rows"
