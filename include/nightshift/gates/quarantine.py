"""Rows that leave: the staged files without them, and what they were as JSON text in ``quarantine/<dataset>``."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from nightshift import tables
from nightshift.gates.removed import removal_key, with_removed_rows
from nightshift.job import Job
from nightshift.lineage import Manifest, canonical
from nightshift.specs.model import Column

QUARANTINE = tables.arrow_schema({"key": "string", "expectation": "string", "row": "string"})


@dataclass(frozen=True)
class Rejected:
    """A row that left or never came in: key (a JSON list), what it failed, and the row (a JSON object) as text."""

    key: str
    expectation: str
    row: str


@dataclass(frozen=True)
class Removal:
    """A partition without the rows that left, the partition of those rows, and how many they are."""

    manifest: Manifest
    quarantine: Manifest | None
    removed: int


def remove_rows(
    job: Job,
    dataset: str,
    staged: Manifest,
    columns: Mapping[str, Column],
    key: Sequence[str],
    failing: Mapping[int, Sequence[str]],
    rejected: Sequence[Rejected],
) -> Removal:
    """Write the partition without the failing rows, and stage these and the rejected ones for quarantine.

    The fingerprint changes with the rows that a gate removed. Unreadable rows do not change it: the landing files
    and the contract, which are its recipe, decide them.
    """
    table, schema = job.table(dataset), tables.arrow_schema({name: column.type for name, column in columns.items()})
    left = list(_leaving(table, staged, schema, key, failing))
    manifest = staged
    if left:
        keys = [json.loads(row.key) for row in left]
        fingerprint = with_removed_rows(staged.fingerprint, keys, removal_key(job.settings), staged.replaces)
        rows_per_file = max(file.rows for file in staged.files)
        kept = _kept(table, staged, schema, failing)
        files = tables.write_partition(table, job.attempt, staged.ds, fingerprint, schema, kept, rows_per_file)
        manifest = replace(staged, fingerprint=fingerprint, files=files, attempt=job.attempt)
    return Removal(manifest, _quarantined(job, dataset, manifest, [*rejected, *left]), len(rejected) + len(left))


def as_json(values: Mapping[str, Any]) -> str:
    """A row as canonical JSON text; moments as ISO text, what is no number in JSON as text."""
    return canonical({name: json_value(value) for name, value in values.items()})


def json_value(value: Any) -> Any:
    """A cell as JSON."""
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _quarantined(job: Job, dataset: str, manifest: Manifest, rows: Sequence[Rejected]) -> Manifest | None:
    if not rows:
        return None
    table = job.table(f"quarantine/{dataset}")
    batch = pa.RecordBatch.from_pylist([asdict(row) for row in rows], schema=QUARANTINE)
    files = tables.write_partition(table, job.attempt, manifest.ds, manifest.fingerprint, QUARANTINE, [batch])
    return replace(
        manifest,
        dataset=f"quarantine/{dataset}",
        files=files,
        attempt=job.attempt,
        replaces=tables.state(table).fingerprint(manifest.ds),
        counts={"rows": len(rows)},
    )


def _leaving(
    table: str, staged: Manifest, schema: pa.Schema, key: Sequence[str], failing: Mapping[int, Sequence[str]]
) -> Iterator[Rejected]:
    if not failing:
        return
    for batch, start, gone in _batches(table, staged, schema, failing):
        rows = batch.take(pa.array(gone)).to_pylist()
        for place, row in zip(gone.tolist(), rows, strict=True):
            text = canonical([json_value(row[name]) for name in key])
            yield Rejected(text, "; ".join(failing[start + place]), as_json(row))


def _kept(
    table: str, staged: Manifest, schema: pa.Schema, failing: Mapping[int, Sequence[str]]
) -> Iterator[pa.RecordBatch]:
    for batch, _, gone in _batches(table, staged, schema, failing):
        mask = np.ones(batch.num_rows, dtype=bool)
        mask[gone] = False
        yield batch.filter(pa.array(mask))


def _batches(
    table: str, staged: Manifest, schema: pa.Schema, failing: Mapping[int, Sequence[str]]
) -> Iterator[tuple[pa.RecordBatch, int, "np.ndarray[Any, np.dtype[np.int64]]"]]:
    """The staged batches, each with the position of its first row, and which of its rows fail (from 0)."""
    positions = np.fromiter(sorted(failing), dtype=np.int64, count=len(failing))
    start = 0
    for batch in tables.read_batches(table, staged.files, schema.names, schema):
        first, last = np.searchsorted(positions, [start, start + batch.num_rows])
        yield batch, start, positions[first:last] - start
        start += batch.num_rows
