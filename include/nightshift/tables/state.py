"""What a table holds at one version, read from its list of active files in one call."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
_FINGERPRINT = re.compile(r"/fingerprint=([^/]+)/")
_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Partition:
    """The active files of one day."""

    ds: str
    fingerprint: str
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """The rows of all files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True)
class TableState:
    """A table at one version; version -1 and no partitions where there is no table yet."""

    uri: str
    version: int
    partitions: Mapping[str, Partition]

    def fingerprint(self, ds: str) -> str:
        """The fingerprint of a published day, empty where there is none."""
        partition = self.partitions.get(ds)
        return partition.fingerprint if partition else ""

    def files(self, ds: str) -> tuple[DataFile, ...]:
        """The files of a day, none where it is not published."""
        partition = self.partitions.get(ds)
        return partition.files if partition else ()

    def uris(self, ds: str) -> list[str]:
        """The absolute locations of a day's files."""
        return [storage.join(self.uri, file.path) for file in self.files(ds)]


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of columns given as name and contract type; all are nullable."""
    return pa.schema([pa.field(name, _TYPES[kind]) for name, kind in columns.items()])


def state(uri: str, version: int | None = None) -> TableState:
    """The state of a table, now or at a version. Raises NightshiftError where the version is not there."""
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError, TableNotFoundError

    try:
        table = DeltaTable(uri, version=version)
    except TableNotFoundError:
        return TableState(uri, -1, {})
    except DeltaError as error:
        raise NightshiftError(f"version {version} of the table cannot be read", where=uri) from error
    return TableState(uri, table.version(), _partitions(pa.table(table.get_add_actions(flatten=True))))


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


def _partitions(actions: pa.Table) -> dict[str, Partition]:
    if actions.num_rows == 0:
        return {}
    columns = (actions.column(name).to_pylist() for name in ("partition.ds", "path", "size_bytes", "num_records"))
    files: dict[str, list[DataFile]] = {}
    for ds, path, size, rows in sorted(zip(*columns, strict=True)):
        files.setdefault(ds, []).append(DataFile(path, size, rows))
    return {ds: Partition(ds, _fingerprint(items), tuple(items)) for ds, items in files.items()}


def _fingerprint(files: Sequence[DataFile]) -> str:
    found = {match.group(1) for file in files if (match := _FINGERPRINT.search(f"/{file.path}"))}
    if len(found) != 1:
        raise NightshiftError(
            f"the files of one partition carry {len(found)} fingerprints",
            where=files[0].path,
            allowed="one fingerprint a partition",
            do="read the table's history: something other than Nightshift wrote to it",
        )
    return found.pop()
