"""The rows of a partition's files, in their order, without Spark."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.lineage import DataFile

_TYPES = {
    "string": pa.string(),
    "category": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_BATCH_ROWS = 65_536


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of columns given as name and contract type; all are nullable."""
    return pa.schema([pa.field(name, _TYPES[kind]) for name, kind in columns.items()])


def read_batches(
    uri: str, files: Iterable[DataFile], columns: Sequence[str] | None = None, schema: pa.Schema | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of some files in their order, in batches of at most 65,536 rows; ``ds`` is not among the columns.

    ``schema`` gives the table's present columns: one that an older file does not have is null there.
    """
    for file in files:
        system, path = storage.resolve(storage.join(uri, file.path))
        with system.open_input_file(path) as source:
            parquet = pq.ParquetFile(source)
            there = set(parquet.schema_arrow.names)
            wanted = columns if columns is not None else (schema.names if schema else parquet.schema_arrow.names)
            names = [name for name in wanted if name in there]
            for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=names):
                yield _completed(batch, wanted, schema) if len(names) < len(wanted) else batch.select(list(wanted))


def read(
    uri: str, files: Sequence[DataFile], columns: Sequence[str] | None = None, schema: pa.Schema | None = None
) -> pa.Table:
    """``read_batches`` as one table; where no file has a row, with the columns of ``schema`` or of the first file."""
    batches = list(read_batches(uri, files, columns, schema))
    if batches:
        return pa.Table.from_batches(batches)
    if schema is None and files:
        system, path = storage.resolve(storage.join(uri, files[0].path))
        schema = pq.read_schema(path, filesystem=system)
    empty = schema.empty_table() if schema is not None else pa.table({})
    return empty.select(list(columns)) if columns is not None and schema is not None else empty


def _completed(batch: pa.RecordBatch, wanted: Sequence[str], schema: pa.Schema | None) -> pa.RecordBatch:
    arrays = []
    for name in wanted:
        if name in batch.schema.names:
            arrays.append(batch.column(name))
        elif schema is not None and name in schema.names:
            arrays.append(pa.nulls(batch.num_rows, schema.field(name).type))
        else:
            raise NightshiftError(f"there is no column {name}", allowed=", ".join(batch.schema.names))
    return pa.RecordBatch.from_arrays(arrays, names=list(wanted))
