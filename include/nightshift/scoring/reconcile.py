"""Predictions as they are against predictions as they should be: equal rows, finite scores."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc


def same_rows(expected: Iterable[pa.RecordBatch], found: Iterable[pa.RecordBatch]) -> bool:
    """Return whether two streams hold equal rows in the same order, however they are cut. Holds one batch of each."""
    left, right = _pieces(expected), _pieces(found)
    ours, theirs = next(left, None), next(right, None)
    while ours is not None and theirs is not None:
        length = min(ours.num_rows, theirs.num_rows)
        if not ours.slice(0, length).equals(theirs.slice(0, length)):
            return False
        ours = ours.slice(length) if ours.num_rows > length else next(left, None)
        theirs = theirs.slice(length) if theirs.num_rows > length else next(right, None)
    return ours is None and theirs is None


def not_finite(batches: Iterable[pa.RecordBatch]) -> int:
    """The number of scores that are null, NaN or infinite."""
    rows = finite = 0
    for batch in batches:
        rows += batch.num_rows
        finite += pc.sum(pc.is_finite(batch.column("score"))).as_py() or 0
    return rows - finite


def _pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return (batch for batch in batches if batch.num_rows)
