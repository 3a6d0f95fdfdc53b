"""One attempt at one shard: Parquet in, scores, Parquet out, in memory bounded by the batch."""

import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import storage
from nightshift.earlier_scheme import library_code
from nightshift.errors import ModelMismatch, ModelNotFound, NightshiftError
from nightshift.lineage import DataFile, libraries, sha256
from nightshift.scoring.plan import (
    Piece,
    ScoringPlan,
    Shard,
    ShardResult,
    prediction_columns,
    read_plan,
    read_result,
    result_uri,
    scoring_code,
    started_uri,
)
from nightshift.scoring.score import load_model, predictions, score
from nightshift.tables import arrow_schema, folder

BATCH_ROWS = 65_536
_SECONDS_BETWEEN_LINES = 5.0


def score_shard(plan_uri: str, number: int, attempt: str, say: Callable[[str], None]) -> tuple[ShardResult, bool]:
    """Score a shard unless it has a result; ``say`` is given a line every few seconds.

    The first attempt to finish wins, a later one discards its file. Returns the result that counts and whether this
    attempt made it. Raises ModelMismatch where model, columns or code are not as the plan says.
    """
    plan = read_plan(plan_uri)
    shard = _shard(plan, plan_uri, number)
    found = read_result(plan_uri, number)
    intact = found is not None and _intact(plan, found)
    if found is not None and intact:
        return found, False
    _use_threads(plan.threads)
    started = time.monotonic()
    booster = _checked_model(plan, plan_uri)
    storage.write_json(started_uri(plan_uri, number, attempt), _who())
    path = f"{folder(attempt, plan.ds, plan.fingerprint)}/shard-{number:05d}.parquet"
    uri = storage.join(plan.table, path)
    try:
        _write(plan, shard, booster, uri, say)
        size, digest = _size_and_digest(uri)
        seconds = round(time.monotonic() - started, 3)
        result = ShardResult(number, DataFile(path, size, shard.rows), digest, attempt, seconds, libraries())
        _offer(plan_uri, result, replace=found)
    finally:
        # Asked of storage, not remembered: SIGTERM may come right after the result was written.
        winner = read_result(plan_uri, number)
        if winner is None or winner.attempt != attempt:
            _remove(uri)
    return winner or result, winner == result


def scored_already(plan_uri: str, number: int) -> bool:
    """Return whether a shard has a result whose file is as it says: then no process need be started for it."""
    found = read_result(plan_uri, number)
    return found is not None and _intact(read_plan(plan_uri), found)


def _offer(plan_uri: str, result: ShardResult, replace: ShardResult | None) -> None:
    """Write the result if there is none, or if it is still the one whose file was found damaged."""
    uri = result_uri(plan_uri, result.shard)
    if not storage.create_json(uri, result.document()) and read_result(plan_uri, result.shard) == replace:
        storage.write_json(uri, result.document())


def _shard(plan: ScoringPlan, plan_uri: str, number: int) -> Shard:
    if not 0 <= number < len(plan.shards):
        raise NightshiftError(
            f"the plan has no shard {number}",
            where=plan_uri,
            allowed=f"0 to {len(plan.shards) - 1}",
            do="correct --shard",
        )
    return plan.shards[number]


def _checked_model(plan: ScoringPlan, plan_uri: str) -> Any:
    """The plan's booster, if its file and this process's code are those that the plan names."""
    code = scoring_code()
    if plan.scoring_code not in (code, *library_code("scoring")):
        raise ModelMismatch(
            f"the scoring code is {code}, the plan was made for {plan.scoring_code}",
            where=plan_uri,
            do="run the image of the same version as the planner, or clear plan_scoring",
        )
    try:
        content = storage.read_bytes(plan.model)
    except FileNotFoundError:
        raise ModelNotFound(
            f"the file of model {plan.model_digits} is gone", where=plan.model, do="restore it from the MLflow run"
        ) from None
    digest = sha256(content)
    if digest != plan.model_sha256:
        raise ModelMismatch(
            f"the file's SHA-256 begins with {digest[:16]}, the plan's with {plan.model_digits}",
            where=plan.model,
            do="restore the file from the MLflow run",
        )
    return load_model(content, plan.columns, plan.threads, where=plan.model)


def _write(plan: ScoringPlan, shard: Shard, booster: Any, uri: str, say: Callable[[str], None]) -> None:
    schema = arrow_schema(prediction_columns(plan.key))
    columns = list(dict.fromkeys([*plan.key, *(column.name for column in plan.columns)]))
    categories = [column.name for column in plan.columns if column.type == "category"]
    system, path = storage.resolve(uri)
    if storage.is_local(uri):
        storage.local_path(uri).parent.mkdir(parents=True, exist_ok=True)
    started = spoken = time.monotonic()
    rows = 0
    # Keys and scores hardly repeat: a dictionary of them costs more than all other writing, and doubles the file.
    options = {"compression": "zstd", "use_dictionary": ["model"]}
    with system.open_output_stream(path) as sink, pq.ParquetWriter(sink, schema, **options) as writer:
        for piece in shard.pieces:
            for batch in _batches(piece, columns, categories, plan.threads > 1):
                scores = score(booster, batch, plan.columns, plan.categories)
                writer.write_batch(predictions(batch, scores, plan.model_digits, schema))
                rows += batch.num_rows
                now = time.monotonic()
                if now - spoken >= _SECONDS_BETWEEN_LINES:
                    spoken = now
                    say(f"{rows:,} of {shard.rows:,} rows, {rows / (now - started):,.0f} rows/s")
    if rows != shard.rows:
        raise NightshiftError(
            f"shard {shard.number} has {rows:,} rows, the plan says {shard.rows:,}", where=uri, do="clear plan_scoring"
        )


def _batches(piece: Piece, columns: list[str], categories: list[str], threads: bool) -> Iterator[pa.RecordBatch]:
    """The rows of a piece, its ``categories`` as dictionaries; a batch ends with its row group.

    Only the row groups that it touches are read, and no row group as a whole.
    """
    system, path = storage.resolve(piece.uri)
    try:
        source = system.open_input_file(path)
    except FileNotFoundError:
        raise NightshiftError("a file of the features is gone", where=piece.uri, do="clear plan_scoring") from None
    options = {"buffer_size": 1 << 20, "pre_buffer": False, "read_dictionary": categories}
    with source, pq.ParquetFile(source, **options) as parquet:
        there = [name for name in columns if name in parquet.schema_arrow.names]
        groups, skip = _row_groups(parquet.metadata, piece)
        left = piece.rows
        for batch in parquet.iter_batches(BATCH_ROWS, row_groups=groups, columns=there, use_threads=threads):
            wanted = batch.slice(skip, left)
            skip = max(0, skip - batch.num_rows)
            left -= wanted.num_rows
            if wanted.num_rows:
                yield wanted
            if not left:
                return


def _row_groups(metadata: pq.FileMetaData, piece: Piece) -> tuple[list[int], int]:
    """The row groups that a piece touches, and how many rows of the first come before it."""
    groups: list[int] = []
    skip = start = 0
    for index in range(metadata.num_row_groups):
        end = start + metadata.row_group(index).num_rows
        if start < piece.first + piece.rows and end > piece.first:
            if not groups:
                skip = piece.first - start
            groups.append(index)
        start = end
    return groups, skip


def _intact(plan: ScoringPlan, result: ShardResult) -> bool:
    try:
        return _size_and_digest(storage.join(plan.table, result.file.path)) == (result.file.size, result.sha256)
    except FileNotFoundError:
        return False


def _size_and_digest(uri: str) -> tuple[int, str]:
    system, path = storage.resolve(uri)
    digest, size = hashlib.sha256(), 0
    with system.open_input_stream(path, compression=None) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _remove(uri: str) -> None:
    system, path = storage.resolve(uri)
    with suppress(FileNotFoundError):
        system.delete_file(path)
    if storage.is_local(uri):
        with suppress(OSError):
            for parent in list(storage.local_path(uri).parents)[:3]:  # fingerprint=…, ds=…, attempt=…
                parent.rmdir()


def _use_threads(threads: int) -> None:
    pa.set_cpu_count(threads)
    pa.set_io_thread_count(max(1, threads))


def _who() -> dict[str, Any]:
    """Who tries, for a reader of the plan's folder."""
    return {"host": platform.node(), "pid": os.getpid(), "at": datetime.now(UTC).isoformat(timespec="seconds")}
