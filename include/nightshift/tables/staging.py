"""Writing aside: each attempt below a root of its own, its manifest last."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import storage
from nightshift.lineage import DataFile, Manifest, staged_uri

_ROWS_PER_FILE = 1_000_000


def folder(attempt: str, ds: str, fingerprint: str) -> str:
    """Where an attempt's files of one day go, relative to the table's root.

    Concurrent writers never share an attempt: Spark jobs that share a root delete each other's files.
    """
    return f"attempt={attempt}/ds={ds}/fingerprint={fingerprint}"


def write_partition(
    table: str,
    attempt: str,
    ds: str,
    fingerprint: str,
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
    rows_per_file: int = _ROWS_PER_FILE,
) -> tuple[DataFile, ...]:
    """Writes batches as Parquet files of at most ``rows_per_file`` rows; an empty partition is one file without rows.

    Rows keep their order. Returns the files, their paths relative to the table's root.
    """
    where = folder(attempt, ds, fingerprint)
    files: list[DataFile] = []
    waiting = _cut(batches, rows_per_file)
    first = next(waiting, None)
    while first is not None or not files:
        path = f"{where}/part-{len(files):05d}.parquet"
        rows, following = _write_file(storage.join(table, path), schema, first, waiting, rows_per_file)
        system, absolute = storage.resolve(storage.join(table, path))
        files.append(DataFile(path, system.get_file_info(absolute).size, rows))
        first = following
    return tuple(files)


def staged_files(table: str, attempt: str, ds: str, fingerprint: str) -> tuple[DataFile, ...]:
    """The Parquet files that an attempt has written for a day, with the rows that their footers say."""
    root = storage.join(table, folder(attempt, ds, fingerprint))
    files = []
    for file in storage.list_files(root):
        if file.uri.endswith(".parquet"):
            system, path = storage.resolve(file.uri)
            rows = pq.read_metadata(path, filesystem=system).num_rows
            files.append(DataFile(file.uri[len(table.rstrip("/")) + 1 :], file.size, rows))
    return tuple(files)


def leave_staged(table: str, manifest: Manifest) -> None:
    """Leaves the manifest of a completed attempt; written after all of its files."""
    uri = staged_uri(table, manifest.ds, manifest.fingerprint, manifest.attempt)
    storage.write_json(uri, manifest.document())


def _cut(batches: Iterable[pa.RecordBatch], rows_per_file: int) -> Iterator[pa.RecordBatch]:
    """The same rows, in batches that no file's end falls into."""
    written = 0
    for batch in batches:
        offset = 0
        while offset < batch.num_rows:
            length = min(batch.num_rows - offset, rows_per_file - written % rows_per_file)
            yield batch.slice(offset, length)
            written, offset = written + length, offset + length


def _write_file(
    uri: str,
    schema: pa.Schema,
    first: pa.RecordBatch | None,
    waiting: Iterator[pa.RecordBatch],
    rows_per_file: int,
) -> tuple[int, pa.RecordBatch | None]:
    """Writes ``first`` and what follows until the file is full; returns its rows and the first batch of the next."""
    system, path = storage.resolve(uri)
    if storage.is_local(uri):
        storage.local_path(uri).parent.mkdir(parents=True, exist_ok=True)
    rows, batch = 0, first
    with system.open_output_stream(path) as sink, pq.ParquetWriter(sink, schema) as writer:
        while batch is not None and rows < rows_per_file:
            writer.write_batch(batch.cast(schema) if batch.schema != schema else batch)
            rows += batch.num_rows
            batch = next(waiting, None)
    return rows, batch
