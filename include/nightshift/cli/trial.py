"""One day of a pipeline, tried in a lake of its own: what ``nightshift try`` does."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from nightshift import storage, tables
from nightshift.errors import GateFailed, NightshiftError
from nightshift.features.build import contract
from nightshift.inputs.needs import inside
from nightshift.job import Job
from nightshift.lineage import find_staged
from nightshift.spark import run_local
from nightshift.steps import run_step


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
class Trial:
    """What became of the day; ``blocked`` and ``unscored`` say why a gate stopped it, and why there is no score."""

    pipeline: str
    ds: str
    steps: tuple[str, ...]
    rows: int
    columns: tuple[Tried, ...]
    failures: tuple[Failure, ...]
    blocked: str = ""
    unscored: str = ""

    def document(self) -> dict[str, Any]:
        """The trial as plain data."""
        return asdict(self)


@contextmanager
def private(job: Job) -> Iterator[Job]:
    """The job with a lake and reports below a temporary folder, on the same landing files and the same ledger."""
    with TemporaryDirectory(prefix="nightshift-try-") as folder:
        lake, reports = (str(Path(folder, name)) for name in ("lake", "reports"))
        settings = replace(job.settings, lake=lake, reports=reports, statsd_host="", private=True)
        yield replace(job, settings=settings)


def try_day(job: Job, rows: int) -> Trial:
    """Inputs, features, gates and a score of one day, in ``job``'s lake; ``rows`` of the features are kept.

    Raises NightshiftError where there are no features to show, GateFailed where an input was blocked.
    """
    schedule = job.pipeline.schedule
    if not inside(job.pipeline, job.ds):
        allowed = f"days from {schedule.start}" + (f" to {schedule.end}" if schedule.end else "")
        raise NightshiftError(f"{job.day} is outside the range of {job.pipeline.name}", allowed=allowed)
    steps = [run_step(job, name, run_local).message for name in ("gate_inputs", "build_features")]
    frame = _frame(job)
    columns = tuple(_tried(name, kind, frame[name], rows) for name, kind in _columns(job).items())
    blocked = unscored = ""
    try:
        steps.append(run_step(job, "gate_features", run_local).message)
    except GateFailed as error:
        blocked = error.what
    else:
        try:
            steps += [run_step(job, name, run_local).message for name in ("plan_scoring", "score", "gate_predictions")]
        except NightshiftError as error:
            unscored = error.what
    name = job.pipeline.name
    return Trial(name, job.day, tuple(steps), frame.num_rows, columns, tuple(failures(job)), blocked, unscored)


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
