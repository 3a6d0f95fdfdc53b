"""Parquet files as they were written: pages are checked by their checksums, INT96 holds moments in UTC."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightshift import storage
from nightshift.errors import GateFailed
from nightshift.inputs.cells import fits
from nightshift.inputs.columns import CORRECT, Columns, Differences, as_contract, match_columns
from nightshift.inputs.csv_files import damaged
from nightshift.inputs.limits import BATCH_BYTES, Measured
from nightshift.inputs.parquet_pages import pages
from nightshift.specs.model import Input

_BATCH_ROWS = 65_536
_WHOLE_GROUP = 4 * BATCH_BYTES
_REPEATS = "DELTA_BYTE_ARRAY"
_SIGNATURE = 28  # bytes behind a footer that is signed
# Names of fields that lists and maps have by themselves.
_FORMATS_OWN = frozenset({"array", "element", "entries", "item", "key", "key_value", "list", "value"})
_NANOSECONDS_END = 2**63 // 1000  # in microseconds from 1970


def read_parquet(
    uri: str, source: Input, measured: Measured, differ: Callable[[Differences], None]
) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file in the contract's column order.

    ``differ`` gets the differences between its columns and the contract's.

    Texts that the file holds as words of a dictionary come as such: they are unpacked where they have been measured.
    Raises GateFailed where the columns are not the contract's or the footer says more than ``measured`` allows,
    InputMissing where the file is cut short or damaged.
    """
    system, path = storage.resolve(uri)
    try:
        with system.open_input_file(path) as opened:
            _refuse_footer(uri, opened)
            parquet = _file(opened, "us")
            _refuse_encrypted(uri, opened, parquet.metadata)
            columns = match_columns(uri, parquet.schema_arrow.names, source)
            differ(columns.differences)
            _refuse_types(uri, parquet.schema_arrow, columns, source)
            there = list(columns.names.values())
            places = _places(parquet, there)
            measured.footer(uri, parquet.metadata, list(places.values()))
            words = [name for name, place in places.items() if _has_dictionary(parquet, place)]
            parquet = _file(opened, "us", words)
            rows = _batch_rows(uri, opened, parquet.metadata, places, measured)
            int96 = [name for name in _int96(parquet) if name in there]
            batches = _batches(parquet, there, rows)
            if int96:
                # The same columns: dictionaries decide where a reader cuts its batches.
                exact = _batches(_file(opened, "ns", words), there, rows)
                batches = _with_moments(uri, batches, exact, int96)
            for batch in batches:
                yield as_contract(batch, source, columns)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(uri, error) from None


def _file(opened: Any, unit: str, words: list[str] | None = None) -> pq.ParquetFile:
    """An opened file, its INT96 times in a unit: nanoseconds, the default, end in 2262 and then begin anew."""
    return pq.ParquetFile(
        opened, coerce_int96_timestamp_unit=unit, page_checksum_verification=True, read_dictionary=words
    )


def _places(parquet: pq.ParquetFile, columns: list[str]) -> dict[str, int]:
    """Some columns and their places in the file; a nested one has none, and no type that fits."""
    names = (parquet.schema.column(place).path for place in range(len(parquet.schema.names)))
    return {name: place for place, name in enumerate(names) if name in columns}


def _batch_rows(uri: str, opened: Any, metadata: pq.FileMetaData, places: Mapping[str, int], measured: Measured) -> int:
    """How many rows are read at a time. The pages of what may be large are asked before one of them is unpacked.

    Texts that repeat the beginnings of those before them may each be as long as their page, whatever the footer says.
    """
    rows = _BATCH_ROWS
    for group in (metadata.row_group(number) for number in range(metadata.num_row_groups)):
        chunks = {name: group.column(place) for name, place in places.items()}
        large = sum(chunk.total_uncompressed_size for chunk in chunks.values()) > _WHOLE_GROUP
        widths = [
            measured.pages(uri, name, pages(opened, _start(chunk), chunk.total_compressed_size))
            for name, chunk in chunks.items()
            if large or chunk.total_uncompressed_size > BATCH_BYTES or _REPEATS in chunk.encodings
        ]
        if widths:
            rows = min(rows, max(1, BATCH_BYTES // max(1, sum(widths))))
    return rows


def _start(chunk: pq.ColumnChunkMetaData) -> int:
    """Where a column chunk begins: with its dictionary, if it has one."""
    return int(chunk.dictionary_page_offset or chunk.data_page_offset)


def _refuse_footer(uri: str, opened: Any) -> None:
    if _tail(opened)[-4:] == b"PARE":
        raise _encrypted(uri)


def _refuse_encrypted(uri: str, opened: Any, metadata: pq.FileMetaData) -> None:
    """Raises GateFailed where the footer is signed: asking its columns, which are encrypted, ends the process."""
    if int.from_bytes(_tail(opened)[:4], "little") == metadata.serialized_size + _SIGNATURE:
        raise _encrypted(uri)


def _tail(opened: Any) -> bytes:
    opened.seek(max(0, opened.size() - 8))
    return bytes(opened.read(8))


def _encrypted(uri: str) -> GateFailed:
    return GateFailed("the file is encrypted", where=uri, do="have it landed without encryption")


def _refuse_types(uri: str, schema: pa.Schema, columns: Columns, source: Input) -> None:
    """Raises GateFailed where a column is of a type that its contract's never holds; no row is read for it."""
    for name, there in columns.names.items():
        kind, found = source.columns[name].type, schema.field(there).type
        if not fits(found, kind):
            raise GateFailed(
                f"column {name} is of Parquet type {_shown(found)}",
                where=uri,
                allowed=f"what column type {kind} holds without loss",
                do="have the file landed with that type, or change the contract",
            )


def _shown(found: pa.DataType) -> str:
    """A type without what the file alone says: the names of its fields, and the name of a timezone."""
    if pa.types.is_timestamp(found) and found.tz is not None:
        return f"timestamp[{found.unit}] with a timezone"
    return str(found) if set(_fields(found)) <= _FORMATS_OWN else str(found).partition("<")[0]


def _fields(found: pa.DataType) -> Iterator[str]:
    """The names of all fields in a nested type."""
    for place in range(found.num_fields):
        yield found.field(place).name
        yield from _fields(found.field(place).type)


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


def _batches(parquet: pq.ParquetFile, names: list[str], rows: int) -> Iterator[pa.RecordBatch]:
    for batch in parquet.iter_batches(batch_size=rows, columns=names):
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
