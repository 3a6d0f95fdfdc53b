"""Landing files to typed rows by the column contract, streamed. A row with a cell that does not parse is rejected."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightshift.errors import GateFailed
from nightshift.gates.quarantine import Rejected, as_json, json_value
from nightshift.inputs.cells import from_arrow, from_text
from nightshift.inputs.csv_files import CORRECT, read_csv
from nightshift.inputs.limits import Measured
from nightshift.inputs.parquet_files import read_parquet
from nightshift.lineage import canonical
from nightshift.specs.model import Input
from nightshift.storage import StoredFile
from nightshift.tables import arrow_schema

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class Landing:
    """What was counted while a partition was read: rows that landed, and those that were rejected."""

    rows: int = 0
    rejected: list[Rejected] = field(default_factory=list)


def parse(files: Sequence[StoredFile], source: Input, zone: ZoneInfo, landing: Landing) -> Iterator[pa.RecordBatch]:
    """The rows of a partition's files in landing order, typed; counts and rejected rows go to ``landing``.

    Raises GateFailed where a file is not what the contract says, InputMissing where it is cut short or damaged.
    """
    measured = Measured(source.limits)
    measured.files(files)
    for file in files:
        csv = source.file_format == "csv"
        batches = read_csv(file.uri, source) if csv else read_parquet(file.uri, source, measured)
        for raw in (part for batch in batches for part in measured.batches(file.uri, batch)):
            landing.rows += raw.num_rows
            yield _typed(file.uri, raw, source, zone, landing)


def _typed(uri: str, raw: pa.RecordBatch, source: Input, zone: ZoneInfo, landing: Landing) -> pa.RecordBatch:
    typed = {name: _column(uri, raw.column(name), name, source, zone) for name in source.columns}
    batch = pa.RecordBatch.from_arrays(list(typed.values()), schema=_schema(source))
    bad = {
        name: pc.and_(pc.is_null(values), pc.is_valid(raw.column(name))).to_numpy(zero_copy_only=False)
        for name, values in typed.items()
        if values.null_count > raw.column(name).null_count
    }
    return _without_rejected(raw, batch, bad, source, landing) if bad else batch


def _column(uri: str, values: pa.Array, name: str, source: Input, zone: ZoneInfo) -> pa.Array:
    kind = source.columns[name].type
    if source.file_format == "csv":
        return from_text(values, kind, zone)
    try:
        values.validate(full=True)  # a Parquet reader hands over text as it finds it
    except pa.ArrowInvalid:
        raise GateFailed(f"the text of column {name} is not UTF-8", where=uri, do=CORRECT) from None
    found = from_arrow(values, kind, zone)
    if found is None:
        raise GateFailed(
            f"column {name} is of Parquet type {values.type}",
            where=uri,
            allowed=f"what column type {kind} holds without loss",
            do="have the file landed with that type, or change the contract",
        )
    return found


def _without_rejected(
    raw: pa.RecordBatch, batch: pa.RecordBatch, bad: Mapping[str, Mask], source: Input, landing: Landing
) -> pa.RecordBatch:
    """The batch without the rows in which a column's mask is set; these become text, unparsed keys as they came."""
    gone: Mask = np.any(list(bad.values()), axis=0)
    places = np.flatnonzero(gone)
    keys = batch.select(list(source.key)).take(pa.array(places)).to_pylist()
    for place, key, row in zip(places.tolist(), keys, _readable(raw.take(pa.array(places))).to_pylist(), strict=True):
        failed = [name for name, mask in bad.items() if mask[place]]
        values = [json_value(row[name] if name in failed else key[name]) for name in source.key]
        names = "; ".join(f"{name} parses as {source.columns[name].type}" for name in failed)
        landing.rejected.append(Rejected(canonical(values), names, as_json(row)))
    return batch.filter(pa.array(~gone))


def _readable(raw: pa.RecordBatch) -> pa.RecordBatch:
    """The rows with dates and moments as text: Python's own neither hold every year nor know every timezone."""
    for position, column in enumerate(raw.schema):
        if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
            values = raw.column(position)
            if pa.types.is_timestamp(column.type) and column.type.tz is not None:
                values = values.cast(pa.timestamp(column.type.unit, "UTC"))
            raw = raw.set_column(position, column.name, values.cast(pa.string()))
    return raw


def _schema(source: Input) -> pa.Schema:
    return arrow_schema({name: column.type for name, column in source.columns.items()})
