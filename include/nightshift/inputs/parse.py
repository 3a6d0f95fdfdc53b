"""Landing files to typed rows by the column contract, streamed. A row with a cell that does not parse is rejected."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightshift.errors import GateFailed
from nightshift.gates.quarantine import Rejected, as_json, json_value
from nightshift.inputs.cells import arrow_type, from_arrow, from_text
from nightshift.inputs.columns import CORRECT, Differences, merged
from nightshift.inputs.csv_files import read_csv
from nightshift.inputs.limits import Measured
from nightshift.inputs.parquet_files import read_parquet
from nightshift.lineage import canonical
from nightshift.specs.model import Gate, Input
from nightshift.storage import StoredFile
from nightshift.tables import arrow_schema

_ALWAYS_KEPT = 10_000
_MOST_KEPT = 256 << 20

Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass
class Landing:
    """What was seen while a partition was read: rows that landed, those that were rejected, and other columns.

    Of rejected rows above the limit of ``gate`` the text is not kept (``unkept`` counts them): the day is blocked, if
    the rows that follow do not change that. ``keep_all`` is for whoever reads it again then.
    """

    rows: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    differences: Differences = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)
    keep_all: bool = False
    unkept: int = 0
    kept_bytes: int = 0

    def differ(self, differences: Differences) -> None:
        """Note in what a file's columns differ from the contract's."""
        self.differences = merged(self.differences, differences)

    @property
    def allowed(self) -> int:
        """The number of rows, of those so far, that the gate lets go."""
        return int(self.gate.limit * self.rows + 1e-9) if self.gate.policy == "quarantine" else 0

    def room(self, uri: str) -> int:
        """For how many more rejected rows the text is kept. Raises GateFailed where it is too much."""
        if self.kept_bytes > _MOST_KEPT:
            what = f"the rows that do not parse are more than {_MOST_KEPT >> 20} MiB"
            raise GateFailed(what, where=uri, do=CORRECT)
        if self.keep_all or self.gate.policy == "warn":
            return sys.maxsize
        return max(0, max(self.allowed, _ALWAYS_KEPT) - len(self.rejected))


def parse(files: Sequence[StoredFile], source: Input, zone: ZoneInfo, landing: Landing) -> Iterator[pa.RecordBatch]:
    """The rows of a partition's files in landing order, typed; counts and rejected rows go to ``landing``.

    Raises GateFailed where a file is not what the contract says, InputMissing where it is cut short or damaged.
    """
    measured = Measured(source.limits)
    measured.files(files)
    for file in files:
        read = read_csv if source.file_format == "csv" else read_parquet
        batches = read(file.uri, source, measured, landing.differ)
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
    return _without_rejected(uri, raw, batch, bad, source, landing) if bad else batch


def _column(uri: str, values: pa.Array, name: str, source: Input, zone: ZoneInfo) -> pa.Array:
    kind = source.columns[name].type
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), arrow_type(kind))
    if source.file_format == "csv":
        return from_text(values, kind, zone)
    try:
        values.validate(full=True)  # a Parquet reader hands over text as it finds it
    except pa.ArrowInvalid:
        raise GateFailed(f"the text of column {name} is not UTF-8", where=uri, do=CORRECT) from None
    return from_arrow(values, kind, zone)


def _without_rejected(
    uri: str, raw: pa.RecordBatch, batch: pa.RecordBatch, bad: Mapping[str, Mask], source: Input, landing: Landing
) -> pa.RecordBatch:
    """The batch without the rows in which a column's mask is set; these become text, unparsed keys as they came."""
    gone: Mask = np.any(list(bad.values()), axis=0)
    all_places, room = np.flatnonzero(gone), landing.room(uri)
    places = all_places[:room]
    keys = batch.select(list(source.key)).take(pa.array(places)).to_pylist()
    for place, key, row in zip(places.tolist(), keys, _readable(raw.take(pa.array(places))).to_pylist(), strict=True):
        failed = [name for name, mask in bad.items() if mask[place]]
        values = [json_value(row[name] if name in failed else key[name]) for name in source.key]
        found = Rejected(canonical(values), _expectation(failed, source), as_json(row))
        landing.rejected.append(found)
        landing.kept_bytes += len(found.key) + len(found.row)
    shared: dict[str, Rejected] = {}
    for place in all_places[room:].tolist():
        names = _expectation([name for name, mask in bad.items() if mask[place]], source)
        landing.rejected.append(shared.setdefault(names, Rejected("[]", names, "{}")))
        landing.unkept += 1
    return batch.filter(pa.array(~gone))


def _expectation(failed: Sequence[str], source: Input) -> str:
    return "; ".join(f"{name} parses as {source.columns[name].type}" for name in failed)


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
