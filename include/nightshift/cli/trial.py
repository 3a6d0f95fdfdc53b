"""One day of a pipeline, tried in a lake of its own: what ``nightshift try`` does."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightshift import storage, tables
from nightshift.errors import GateFailed, NightshiftError
from nightshift.features.build import contract
from nightshift.gates.engine import great_expectations
from nightshift.inputs.days import landing_changes
from nightshift.inputs.needs import daily_needs, inside
from nightshift.inputs.run import newest_snapshots
from nightshift.job import Job, Outcome
from nightshift.lineage import find_published, find_staged
from nightshift.spark_local import run_local, started_ahead
from nightshift.steps import run_step

QUANTILES = {"least": 0.0, "10 %": 0.1, "median": 0.5, "90 %": 0.9, "greatest": 1.0}


@dataclass(frozen=True)
class Tried:
    """One column of the features: the fraction of nulls, and the values of the first rows."""

    column: str
    type: str
    nulls: float
    first: tuple[Any, ...]


@dataclass(frozen=True)
class Failure:
    """An expectation that failed, and for how many rows (0: one of the whole table)."""

    dataset: str
    ds: str
    gate: str
    expectation: str
    column: str | None
    rows: int
    of: int


@dataclass(frozen=True)
class Scores:
    """The scores of the day: the version that made them, quantiles of all, and those of the first rows."""

    version: str
    quantiles: dict[str, float]
    first: tuple[float | None, ...]


@dataclass(frozen=True)
class Trial:
    """What became of the day; ``blocked`` and ``unscored`` say why a gate stopped it, and why there is no score."""

    pipeline: str
    ds: str
    steps: tuple[str, ...]
    rows: int
    columns: tuple[Tried, ...]
    failures: tuple[Failure, ...]
    scores: Scores | None = None
    blocked: str = ""
    unscored: str = ""

    def document(self) -> dict[str, Any]:
        """The trial as plain data."""
        return asdict(self)


@contextmanager
def private(job: Job) -> Iterator[Job]:
    """The job with a lake and reports below a temporary folder, on the same landing files and the same ledger.

    Days of sources that are published and up to date are in it from the beginning: they need no gate again.
    """
    with TemporaryDirectory(prefix="nightshift-try-") as folder:
        lake, reports = (str(Path(folder, name)) for name in ("lake", "reports"))
        own = replace(job, settings=replace(job.settings, lake=lake, reports=reports, statsd_host="", private=True))
        needs = daily_needs(job.pipeline, job.ds, newest_snapshots(job))
        for name in job.pipeline.inputs:
            _take(job, own, name, needs.days(name))
        yield own


def _take(job: Job, own: Job, source: str, days: Sequence[date]) -> None:
    """Put the published days of a source into ``own``'s lake, those with new or corrected landing files aside."""
    dataset, stale = f"inputs/{source}", landing_changes(job, source, days)
    state = tables.state(job.table(dataset))
    wanted = [day for day in map(str, days) if day in state.partitions and day not in stale]
    found = [find_published(state.uri, day, state.fingerprint(day)) for day in wanted]
    manifests = [replace(manifest, replaces="") for manifest in found if manifest is not None]
    for file in (file for manifest in manifests for file in manifest.files):
        there, here = (storage.join(lake.table(dataset), file.path) for lake in (job, own))
        storage.write_bytes(here, storage.read_bytes(there))
    columns = {name: column.type for name, column in job.pipeline.inputs[source].columns.items()}
    tables.publish(own.table(dataset), tables.arrow_schema(columns), manifests)


def try_day(job: Job, rows: int) -> Trial:
    """Inputs, features, gates and a score of one day, in ``job``'s lake; ``rows`` of the features are kept.

    Raises NightshiftError where there are no features to show, GateFailed where an input was blocked.
    """
    schedule = job.pipeline.schedule
    if not inside(job.pipeline, job.ds):
        allowed = f"days from {schedule.start}" + (f" to {schedule.end}" if schedule.end else "")
        raise NightshiftError(f"{job.day} is outside the range of {job.pipeline.name}", allowed=allowed)
    with started_ahead(job.settings) as run_spark:
        steps = [_inputs_line(run_step(job, "gate_inputs", run_local))]
        # The gate's libraries take seconds to import, in which this process would only wait for Spark.
        Thread(target=great_expectations, daemon=True).start()
        run_step(job, "build_features", run_spark)
    frame = _frame(job)
    columns = tuple(_tried(name, kind, frame[name], rows) for name, kind in _columns(job).items())
    steps.append(f"features: {frame.num_rows} rows, {len(columns)} columns")
    scores, blocked, unscored = None, "", ""
    try:
        steps.append(f"gate of the features: {_left(run_step(job, 'gate_features', run_local))}")
    except GateFailed as error:
        blocked = error.what
    else:
        try:
            scores = _scored(job, frame, rows)
        except NightshiftError as error:
            unscored = error.what
    name = job.pipeline.name
    found = tuple(failures(job))
    return Trial(name, job.day, tuple(steps), frame.num_rows, columns, found, scores, blocked, unscored)


def _inputs_line(outcome: Outcome) -> str:
    counts = outcome.counts
    return (
        f"inputs: {counts['partitions_published']:.0f} days of sources gated ({counts['rows_landed']:.0f} rows, "
        f"{counts['rows_quarantined']:.0f} quarantined), {counts['partitions_up_to_date']:.0f} taken as published"
    )


def _left(outcome: Outcome) -> str:
    rows, gone = outcome.counts["rows"], outcome.counts.get("quarantined", 0)
    return f"{rows:.0f} rows pass, {gone:.0f} would be quarantined"


def _scored(job: Job, features: pa.Table, rows: int) -> Scores:
    """The day scored by its champion. Raises NightshiftError where there is none that fits."""
    planned = run_step(job, "plan_scoring", run_local)
    for name in ("score", "gate_predictions"):
        run_step(job, name, run_local)
    key, found = list(job.pipeline.features.key), tables.state(job.table("predictions"))
    predictions = tables.read(found.uri, found.files(job.day), [*key, "score"])
    by_key = {tuple(row.values()): score for row, score in zip(
        predictions.select(key).to_pylist(), predictions["score"].to_pylist(), strict=True
    )}  # fmt: skip
    first = tuple(by_key.get(tuple(row.values())) for row in features.slice(0, rows).select(key).to_pylist())
    quantiles = pc.quantile(predictions["score"], list(QUANTILES.values())).to_pylist() if by_key else []
    named = {name: value for name, value in zip(QUANTILES, quantiles, strict=bool(by_key)) if value is not None}
    return Scores(planned.names["champion"], named, first)


def failures(job: Job) -> Iterator[Failure]:
    """What failed in any gate of this lake, by its reports."""
    found = storage.list_files(storage.join(job.settings.reports, job.pipeline.name), recursive=True)
    for file in sorted(item.uri for item in found if item.uri.endswith(".json")):
        report = storage.read_json(file)
        for result in report["results"]:
            if not result["success"]:
                where = (report["dataset"], report["ds"], report["status"])
                yield Failure(*where, result["name"], result["column"], result["unexpected"], result["rows"])


def _columns(job: Job) -> dict[str, str]:
    return {name: column.type for name, column in contract(job, "features").items()}


def _frame(job: Job) -> pa.Table:
    """The features of the day as Spark staged them, before their gate."""
    built = job.left("build_features")["features"][job.day]
    table = job.table("features")
    staged = find_staged(table, job.day, built["fingerprint"])
    if staged is None:
        raise NightshiftError(f"nothing was built for {job.day}", where=table)
    return tables.read(table, staged.files, list(_columns(job)), tables.arrow_schema(_columns(job)))


def _tried(name: str, kind: str, column: pa.ChunkedArray, rows: int) -> Tried:
    nulls = column.null_count / len(column) if len(column) else 0.0
    return Tried(name, kind, nulls, tuple(_plain(column.slice(0, rows).to_pylist())))


def _plain(values: Sequence[Any]) -> Iterator[Any]:
    """Values as JSON has them."""
    for value in values:
        yield None if isinstance(value, float) and not math.isfinite(value) else value
