"""Parquet files as they were written: pages are checked by their checksums, INT96 holds moments in UTC."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightshift import storage
from nightshift.errors import GateFailed
from nightshift.inputs.csv_files import CORRECT, check_columns, damaged
from nightshift.inputs.limits import Measured
from nightshift.specs.model import Input

_BATCH_ROWS = 65_536
_NANOSECONDS_END = 2**63 // 1000  # in microseconds from 1970


def read_parquet(uri: str, source: Input, measured: Measured) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file in the contract's column order.

    Texts that the file holds as words of a dictionary come as such: they are unpacked where they have been measured.
    Raises GateFailed where the columns are not the contract's or the footer says more than ``measured`` allows,
    InputMissing where the file is cut short or damaged.
    """
    system, path = storage.resolve(uri)
    try:
        with system.open_input_file(path) as opened:
            parquet = _file(opened, "us")
            check_columns(uri, parquet.schema_arrow.names, list(source.columns))
            columns = _places(parquet, source)
            measured.footer(uri, parquet.metadata, list(columns.values()))
            words = [name for name, place in columns.items() if _has_dictionary(parquet, place)]
            parquet = _file(opened, "us", words)
            int96 = [name for name in _int96(parquet) if name in source.columns]
            batches = _batches(parquet, list(source.columns))
            if int96:
                # The same columns: dictionaries decide where a reader cuts its batches.
                exact = _batches(_file(opened, "ns", words), list(source.columns))
                batches = _with_moments(uri, batches, exact, int96)
            yield from batches
    except (OSError, pa.ArrowInvalid) as error:
        raise damaged(uri, error) from None


def _file(opened: Any, unit: str, words: list[str] | None = None) -> pq.ParquetFile:
    """An opened file, its INT96 times in a unit: nanoseconds, the default, end in 2262 and then begin anew."""
    return pq.ParquetFile(
        opened, coerce_int96_timestamp_unit=unit, page_checksum_verification=True, read_dictionary=words
    )


def _places(parquet: pq.ParquetFile, source: Input) -> dict[str, int]:
    """The contract's columns and their places in the file; a nested one has none, and no type that fits."""
    names = (parquet.schema.column(place).path for place in range(len(parquet.schema.names)))
    return {name: place for place, name in enumerate(names) if name in source.columns}


def _has_dictionary(parquet: pq.ParquetFile, place: int) -> bool:
    """Whether a column of texts has them once in a dictionary, which a batch would repeat."""
    if parquet.schema.column(place).physical_type != "BYTE_ARRAY":
        return False
    metadata = parquet.metadata
    groups = (metadata.row_group(number).column(place) for number in range(metadata.num_row_groups))
    return any(group.has_dictionary_page for group in groups)


def _int96(parquet: pq.ParquetFile) -> list[str]:
    columns = (parquet.schema.column(place) for place in range(len(parquet.schema.names)))
    return [column.path for column in columns if column.physical_type == "INT96"]


def _batches(parquet: pq.ParquetFile, names: list[str]) -> Iterator[pa.RecordBatch]:
    for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names):
        yield batch.select(names)


def _with_moments(
    uri: str, batches: Iterator[pa.RecordBatch], nanoseconds: Iterator[pa.RecordBatch], names: list[str]
) -> Iterator[pa.RecordBatch]:
    """The batches, their INT96 times as moments. All who write INT96 mean UTC; Arrow reads it without a timezone."""
    for batch, exact in zip(batches, nanoseconds, strict=True):
        columns = {name: batch.column(name) for name in batch.schema.names}
        for name in names:
            columns[name] = _moments(uri, name, columns[name], exact.column(name))
        yield pa.RecordBatch.from_pydict(columns)


def _moments(uri: str, name: str, values: pa.Array, exact: pa.Array) -> pa.Array:
    """Moments in UTC, in nanoseconds only where microseconds lose something: the contract refuses such a cell.

    Both overflow alike, so that they are the same number of any year, unless something was cut. Raises GateFailed.
    """
    lost = pc.any(pc.not_equal(pc.multiply(values.view(pa.int64()), 1000), exact.view(pa.int64()))).as_py()
    if not lost:
        return values.cast(pa.timestamp("us", "UTC"))
    extremes = pc.min_max(values.view(pa.int64())).as_py()
    if max(-extremes["min"], extremes["max"]) >= _NANOSECONDS_END:
        what = f"column {name} has times to the nanosecond beside years that nanoseconds do not reach"
        raise GateFailed(what, where=uri, allowed="times to the microsecond", do=CORRECT)
    return exact.cast(pa.timestamp("ns", "UTC"))
