"""Landing made from a spec alone: rows that its column contracts allow, for pipelines of which nothing has landed.

Columns of one name draw from one vocabulary in every source, so that joins find partners. Only contracts are kept:
what a gate's ``expect`` asks for is not, nor what a feature module takes for granted beyond them.
"""

import csv
import io
import random
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import storage
from nightshift.settings import Settings
from nightshift.specs.model import Column, Input, Pipeline
from nightshift.tables import arrow_schema
from tests.spark.typed import days_between

ROWS, WORDS = 60, 8


def land(settings: Settings, pipeline: Pipeline, first: date, last: date) -> None:
    """Land every day of every source from ``first`` to ``last``, and a snapshot of every third day."""
    for name, source in pipeline.inputs.items():
        step = 3 if source.snapshot else 1
        for ds in days_between(first, last)[::step]:
            path = source.path.replace("{ds}", ds.isoformat()).replace("*", "part-0").replace("?", "0")
            content = _written(source, _rows(name, source, ds))
            storage.write_bytes(storage.join(settings.landing, path), content)


def reach(pipeline: Pipeline) -> timedelta:
    """How far back features of a day may read."""
    return timedelta(days=max(source.lag + source.lookback for source in pipeline.inputs.values()))


def _rows(name: str, source: Input, ds: date) -> list[dict[str, Any]]:
    dice = random.Random(f"{name} {ds}")
    found = {}
    for number in range(ROWS):
        row = {
            column: _cell(dice, column, contract, ds, number if source.key == (column,) else None)
            for column, contract in source.columns.items()
        }
        for column, contract in source.columns.items():
            if column not in source.key and dice.random() < min(contract.nulls, 0.3):
                row[column] = None
        found[tuple(row[column] for column in source.key)] = row
    return list(found.values())


def _cell(dice: random.Random, name: str, column: Column, ds: date, number: int | None) -> Any:
    """A value within the contract; ``number`` is that of the row where the column alone identifies it."""
    if column.allowed is not None:
        return dice.choice(column.allowed)
    match column.type:
        case "string" | "category":
            return f"{name}-{dice.randrange(WORDS) if number is None else number}"
        case "boolean":
            return dice.random() < 0.5
        case "integer":
            low, high = _bounds(column, 0, 1000)
            return min(int(low) + number, int(high)) if number is not None else dice.randint(int(low), int(high))
        case "number":
            low, high = _bounds(column, 0.0, 100.0)
            return min(max(round(dice.uniform(low, high), 3), low), high)
        case kind:
            clock = time(dice.randrange(24), 15 * dice.randrange(4))
            moment: Any = ds if kind == "date" else datetime.combine(ds, clock, tzinfo=UTC)
            return min(max(moment, column.min or moment), column.max or moment)


def _bounds(column: Column, low: float, high: float) -> tuple[Any, Any]:
    width = high - low
    low = column.min if column.min is not None else (low if column.max is None else column.max - width)
    return low, column.max if column.max is not None else low + width


def _written(source: Input, rows: list[Mapping[str, Any]]) -> bytes:
    if source.file_format == "parquet":
        sink = pa.BufferOutputStream()
        schema = arrow_schema({name: column.type for name, column in source.columns.items()})
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema), sink)
        return bytes(sink.getvalue())
    text = io.StringIO()
    writer = csv.writer(text, delimiter=source.delimiter, lineterminator="\n")
    writer.writerow(source.columns)
    writer.writerows([[_text(row[name], source) for name in source.columns] for row in rows])
    content = text.getvalue().encode()
    if source.path.endswith((".gz", ".bz2", ".zst")):
        codec = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}[source.path.rpartition(".")[2]]
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(content)
        return bytes(sink.getvalue())
    return content


def _text(value: Any, source: Input) -> str:
    if value is None:
        return source.null_values[0]
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)
