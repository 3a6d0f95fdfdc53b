"""Whether numbers fit what XGBoost computes in: 32-bit floats.

What is beyond their range would be infinite there and end the training of a whole window, so it fails its own day.
Numbers that fall together are no longer told apart: the gate warns of them. The footers of the Parquet files say
what cannot fall together and is not read: integers up to 2**24, or one value. Of others they do not, since one value
far from the rest makes any range look ordinary.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightshift import storage, tables
from nightshift.gates.results import CheckResult
from nightshift.gates.suite import Check
from nightshift.lineage import DataFile
from nightshift.specs.model import Pipeline

Numbers = np.ndarray[Any, np.dtype[Any]]

GREATEST = float(np.finfo(np.float32).max)

_EXACT = 2**24  # up to here each integer has a 32-bit float of its own
_FOOTERS_AT_ONCE = 8
_TINY = 2.0**-137  # up to here there are 4,096 of them, of which 2**-149 is the least
_NARROW = 2**-11  # a range this small beside its numbers leaves a 32-bit float 4,096 values at most
_FEW = 4_096
_ENOUGH = 4_000_000  # values to see by whether half of them share some thousand floats


@dataclass(frozen=True)
class Extremes:
    """The least and the greatest value of a column."""

    least: float
    greatest: float

    @property
    def fits(self) -> bool:
        """Return whether a 32-bit float holds each value between them without becoming infinite."""
        return self.least >= -GREATEST and self.greatest <= GREATEST

    @property
    def stays_apart(self) -> bool:
        """Return whether no two values between them can become one 32-bit float."""
        whole = isinstance(self.least, int) and isinstance(self.greatest, int)
        return self.least == self.greatest or (whole and max(-self.least, self.greatest) <= _EXACT)

    @property
    def is_coarse(self) -> bool:
        """Return whether 32-bit floats are coarse for most values between them, wherever these lie."""
        size = max(abs(self.least), abs(self.greatest))
        narrow = self.greatest - self.least < size * _NARROW
        return self.least < self.greatest and (size > _EXACT or size < _TINY or narrow)


def model_numbers(pipeline: Pipeline, dataset: str) -> list[str]:
    """The columns of a dataset that a model computes with as numbers; only features and labels have some."""
    if dataset == "labels":
        return [pipeline.label.column]
    columns = pipeline.features.columns if dataset == "features" else {}
    return [name for name, column in columns.items() if column.type in ("integer", "number")]


def extremes(table: str, files: Sequence[DataFile], names: Sequence[str]) -> dict[str, Extremes]:
    """The extremes of columns over some files; a column without a value is not among them. NaN is null here."""
    if not names or not files:
        return {}
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        parts = list(pool.map(lambda file: _of_file(table, file, names), files))
    found = {name: [value for part in parts for value in part[name]] for name in names}
    return {name: Extremes(min(values), max(values)) for name, values in found.items() if values}


def range_checks(found: Mapping[str, Extremes]) -> tuple[Check, ...]:
    """An expectation for each column with a value that is infinite as a 32-bit float; its rows may leave."""
    bounds = {"min_value": -GREATEST, "max_value": GREATEST}
    return tuple(
        Check("expect_column_values_to_be_between", {"column": name, **bounds}, row_level=True)
        for name, item in found.items()
        if not item.fits
    )


def collapsed(table: str, files: Sequence[DataFile], found: Mapping[str, Extremes]) -> Iterator[CheckResult]:
    """A warning for each column whose values 32-bit floats do not tell apart: whole numbers, or half of the others."""
    for name, item in found.items():
        if not item.fits or item.stays_apart:
            continue
        step = 1 if item.is_coarse else 1 + sum(file.rows for file in files) // _ENOUGH
        values = np.unique(_values(table, files, name, step))
        shared, together = _shared(values, item.is_coarse)
        if together:
            yield CheckResult(
                "values stay apart as the 32-bit floats that a model computes in",
                name,
                {},
                success=False,
                observed={
                    "values": len(values),
                    "as 32-bit floats": len(np.unique(values.astype(np.float32))),
                    "of them share one": shared,
                },
                only_warns=True,
                do="A model cannot tell numbers apart that collapse: subtract what they share, or divide them.",
            )


def _shared(values: Numbers, coarse: bool) -> tuple[int, bool]:
    """The number of different values that share their 32-bit float with another, and whether that is worth a warning.

    Where most values are whole, two whole ones are enough. Of others it is half of them that share few floats: of many
    values some are neighbours, which are not far apart beside the rest.
    """
    _, place, count = np.unique(values.astype(np.float32), return_inverse=True, return_counts=True)
    shared = int((count[place] > 1).sum())
    whole = np.floor(values) == values
    if 2 * int(whole.sum()) >= len(values) and bool((np.bincount(place[whole]) > 1).any()):
        return shared, True
    few = int((count > 1).sum()) < _FEW
    return shared, (few and 2 * shared >= len(values)) or (coarse and 2 * len(count) <= len(values))


def _of_file(table: str, file: DataFile, names: Sequence[str]) -> dict[str, list[float]]:
    """Values of each column among which are its extremes, from the footer, or read where that does not say."""
    system, path = storage.resolve(storage.join(table, file.path))
    said = _said(pq.read_metadata(path, filesystem=system), names)
    unsaid = [name for name, values in said.items() if values is None]
    read = _read(table, file, unsaid) if unsaid else {}
    return {name: read[name] if values is None else values for name, values in said.items()}


def _said(metadata: pq.FileMetaData, names: Sequence[str]) -> dict[str, list[float] | None]:
    """The least and the greatest value of each row group, as a file's footer says; None where it does not say."""
    places = {metadata.schema.column(place).path: place for place in range(metadata.num_columns)}
    found: dict[str, list[float] | None] = {}
    for name in names:
        values: list[float] | None = []
        for group in range(metadata.num_row_groups if name in places else 0):
            column = metadata.row_group(group).column(places[name])
            said = column.statistics
            if said is not None and said.has_min_max and values is not None:
                values += [said.min, said.max]
            elif said is None or not said.has_null_count or said.null_count < column.num_values:
                values = None
        found[name] = values
    return found


def _read(table: str, file: DataFile, names: Sequence[str]) -> dict[str, list[float]]:
    """The least and the greatest value of columns, from their values."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for batch in tables.read_batches(table, [file], names):
        for name in names:
            bounds: dict[str, Any] = pc.min_max(_numbers(batch.column(name))).as_py()
            found[name] += [value for value in bounds.values() if value is not None]
    return found


def _values(table: str, files: Sequence[DataFile], name: str, step: int) -> Numbers:
    """The values of a column, or of every ``step``-th row of them."""
    batches = (batch for file in files for batch in _having(table, file, name))
    parts = [_numbers(batch.column(name)).to_numpy(zero_copy_only=False)[::step] for batch in batches]
    return np.concatenate(parts)


def _having(table: str, file: DataFile, name: str) -> Iterator[pa.RecordBatch]:
    """The batches of a file that has the column: one of before the column was added has nothing to say."""
    system, path = storage.resolve(storage.join(table, file.path))
    if name in pq.read_schema(path, filesystem=system).names:
        yield from tables.read_batches(table, [file], [name])


def _numbers(values: pa.Array) -> pa.Array:
    """The values without nulls and NaN, which a model takes for missing."""
    return values.filter(pc.invert(pc.is_null(values, nan_is_null=True)))
