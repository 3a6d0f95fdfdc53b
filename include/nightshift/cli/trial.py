"""One day of a pipeline, tried in lakes of its own: what ``nightshift try`` does."""

import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightshift import storage, tables
from nightshift.errors import GateFailed, NightshiftError
from nightshift.features.build import contract
from nightshift.features.unbuilt import find_unbuilt
from nightshift.gates.engine import great_expectations
from nightshift.inputs.days import landing_changes
from nightshift.inputs.needs import daily_needs, inside
from nightshift.inputs.snapshots import newest_snapshots
from nightshift.job import Job, Outcome
from nightshift.lineage import find_staged
from nightshift.settings import Settings
from nightshift.spark_local import Ahead, run_local
from nightshift.steps import SparkRunner, run_step

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


def changes(settings: Settings) -> Iterator[object]:
    """Now, and whenever a spec or a module below ``spark_jobs`` changes, until Ctrl-C."""
    from watchfiles import PythonFilter, watch

    places = (settings.pipelines, settings.feature_modules.parent)
    wanted = PythonFilter(extra_extensions=[".yaml"])
    found = watch(*places, watch_filter=wanted, rust_timeout=100, yield_on_timeout=True, raise_interrupt=False)
    yield next(found)  # it has begun to watch
    yield from filter(None, found)


def tries(
    job_now: Callable[[], Job], rows: int, changes: Iterable[object]
) -> Iterator[tuple[Trial | NightshiftError, float]]:
    """A trial for each of ``changes``, or why there is none, and its seconds; ``job_now`` reads the spec anew.

    Each has a lake and reports below a temporary folder, on the same landing files and the same ledger. Days of
    sources that are published, or were gated by the trial before, and are up to date, are in it from the beginning:
    they need no gate again. One Spark session serves all. Raises what is wrong with the job before anything starts.
    """
    there = job_now().settings
    with TemporaryDirectory(prefix="nightshift-try-") as folder, Ahead(there) as run_spark:
        for number, _ in enumerate(changes):
            began = time.monotonic()
            found: Trial | NightshiftError
            try:
                job = _private(job_now(), Path(folder, str(number)))
                _take(job, there)
                if there.private:
                    shutil.rmtree(Path(there.lake).parent, ignore_errors=True)
                there = job.settings
                found = try_day(job, rows, run_spark)
            except NightshiftError as error:
                found = error
            yield found, time.monotonic() - began


def _private(job: Job, folder: Path) -> Job:
    lake, reports = str(folder / "lake"), str(folder / "reports")
    return replace(job, settings=replace(job.settings, lake=lake, reports=reports, statsd_host="", private=True))


def _take(job: Job, there: Settings) -> None:
    """Put the published days of the sources into ``job``'s lake, those with new or corrected landing files aside."""
    published = replace(job, settings=there)
    needs = daily_needs(job.pipeline, job.ds, newest_snapshots(published))
    for name, source in job.pipeline.inputs.items():
        dataset, stale = f"inputs/{name}", landing_changes(published, name, needs.days(name))
        state = tables.state(published.table(dataset))
        wanted = [day for day in map(str, needs.days(name)) if day in state.partitions and day not in stale]
        found = [None if state.damage(day) else state.manifest(day) for day in wanted]
        manifests = [replace(manifest, replaces="") for manifest in found if manifest is not None]
        for file in (file for manifest in manifests for file in manifest.files):
            old, new = (storage.join(lake.table(dataset), file.path) for lake in (published, job))
            storage.write_bytes(new, storage.read_bytes(old))
        columns = {column: contract.type for column, contract in source.columns.items()}
        tables.publish(job.table(dataset), tables.arrow_schema(columns), manifests)


def try_day(job: Job, rows: int, run_spark: SparkRunner) -> Trial:
    """Inputs, features, gates and a score of one day, in ``job``'s lake; ``rows`` of the features are kept.

    Raises NightshiftError where there are no features to show, GateFailed where an input was blocked.
    """
    schedule = job.pipeline.schedule
    if not inside(job.pipeline, job.ds):
        allowed = f"days from {schedule.start}" + (f" to {schedule.end}" if schedule.end else "")
        raise NightshiftError(f"{job.day} is outside the range of {job.pipeline.name}", allowed=allowed)
    steps = [_inputs_line(run_step(job, "gate_inputs", run_local))]
    # The gate's libraries take seconds to import, in which this process would only wait for Spark.
    Thread(target=great_expectations, daemon=True).start()
    run_step(job, "build_features", run_spark)
    steps += _unbuilt_labels(job)
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


def _unbuilt_labels(job: Job) -> Iterator[str]:
    """A line for labels that cannot be built: a night's features go on without them."""
    for day, item in job.left("build_features")["labels"].items():
        found = find_unbuilt(job.table("labels"), day, item["fingerprint"]) if "fingerprint" in item else None
        if found is not None:
            yield f"labels of {day} {found.why}"


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
    """The expectations that failed in any gate of this lake, by its reports."""
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
