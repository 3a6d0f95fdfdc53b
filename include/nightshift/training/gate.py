"""The gate of the training set: features joined with labels, judged as one table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from nightshift.gates.frames import frame_of
from nightshift.gates.partition import emit_report, write_report
from nightshift.gates.results import CheckResult, GateReport, Status, label
from nightshift.gates.run import audit
from nightshift.gates.single_precision import collapsed, extremes, model_numbers
from nightshift.gates.suite import Check, checked_columns, custom_checks
from nightshift.job import Job
from nightshift.lineage import DataFile
from nightshift.specs.model import Column, Pipeline
from nightshift.training.training_set import TrainingDay, TrainingSet, joined

DATASET = "training_set"
_SOME = 1e-12


@dataclass(frozen=True)
class Gated:
    """The report of a training set, and its HTML page."""

    report: GateReport
    page: str


def checks_of(pipeline: Pipeline) -> tuple[Check, ...]:
    """The checks of a training set: labels for enough rows, in range, of both classes; and ``training.gate``."""
    label, contract = pipeline.label, pipeline.label_contract[pipeline.label.column]
    # Whatever the spec lets go, nothing is learned where no row has a label.
    arguments = {"column": label.column, "mostly": max(round(1 - label.missing, 12), _SOME)}
    checks = [Check("expect_column_values_to_not_be_null", arguments, row_level=False)]
    bounds = {
        name: value for name, value in (("min_value", contract.min), ("max_value", contract.max)) if value is not None
    }
    if bounds:
        arguments = {"column": label.column, **bounds}
        checks.append(Check("expect_column_values_to_be_between", arguments, row_level=False))
    if label.objective == "binary":
        arguments = {"column": label.column, "value_set": [0, 1]}
        checks.append(Check("expect_column_distinct_values_to_equal_set", arguments, row_level=False))
    return (*checks, *custom_checks(pipeline.training.gate))


def audited(job: Job, rows: TrainingSet) -> Gated:
    """Audit the joined rows of all days and write the report; does not raise where the gate blocks.

    Only the columns that checks name are read, a day at a time; they are judged together, in this process: a check
    such as the mean of the label is about the whole training set.
    """
    pipeline = job.pipeline
    columns: dict[str, Column] = {**pipeline.feature_contract, **pipeline.label_contract}
    checks = checks_of(pipeline)
    names = [name for name in checked_columns(checks, (), list(columns)) if name != pipeline.label.column]
    tables = [joined(pipeline, rows, day, names) for day in rows.days]
    frame = frame_of(pa.concat_tables(tables))
    results = (*audit(frame, checks, columns).results, *_collapsed(job, rows))
    report = GateReport(
        pipeline=pipeline.name,
        dataset=DATASET,
        ds=job.day,
        attempt=job.attempt,
        status=_status(job, results),
        rows=len(frame),
        removed=0,
        results=results,
        policy=pipeline.training.gate.policy,
        run_id=job.run_id,
        fingerprint=rows.fingerprint,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _, page, _ = write_report(job, report)
    emit_report(job, report)
    return Gated(report, page)


def blocked_for(report: GateReport) -> str:
    """Why there is no training on a training set, by its gate; empty where there is."""
    if report.status != "blocked":
        return ""
    stopped = [result for result in report.failed if not result.only_warns]
    names = [label(result.name, [result.column] if result.column else []) for result in stopped]
    return f"the gate of the training set blocked {report.rows} rows: {', '.join(names)} failed"


def unfit(job: Job, rows: TrainingSet) -> dict[str, str]:
    """The days with a number that is infinite as a 32-bit float, and its column: what a booster cannot learn from.

    Gates block such a day. One that was published before they asked is left out.
    """
    found = {}
    for day in rows.days:
        names = [
            name
            for table, files, dataset in _of_day(rows, day)
            for name, item in extremes(table, files, model_numbers(job.pipeline, dataset)).items()
            if not item.fits
        ]
        if names:
            found[day.ds] = f"column {names[0]} has a value beyond 32-bit floats"
    return found


def _collapsed(job: Job, rows: TrainingSet) -> Iterator[CheckResult]:
    """Warnings of columns whose values are not told apart over the window; a day alone may have one value."""
    for parts in zip(*(_of_day(rows, day) for day in rows.days), strict=True):
        table, _, dataset = parts[0]
        files = [file for _, some, _ in parts for file in some]
        yield from collapsed(table, files, extremes(table, files, model_numbers(job.pipeline, dataset)))


def _of_day(rows: TrainingSet, day: TrainingDay) -> list[tuple[str, Sequence[DataFile], str]]:
    return [
        (rows.features_table, day.feature_files, "features"),
        (rows.labels_table, day.label_files, "labels"),
    ]


def _status(job: Job, results: tuple[CheckResult, ...]) -> Status:
    if all(result.success for result in results):
        return "passed"
    if all(result.success or result.only_warns for result in results):
        return "warned"
    return "warned" if job.pipeline.training.gate.policy == "warn" else "blocked"
