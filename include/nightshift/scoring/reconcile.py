"""Predictions against the features they were made of: the same keys, once each, and finite scores."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class Differences:
    """Numbers of keys: without a prediction, with a prediction that no features ask for, and rows beyond the first."""

    missing: int
    unexpected: int
    repeated: int

    @property
    def total(self) -> int:
        """All keys that are not as they should be."""
        return self.missing + self.unexpected + self.repeated


def same_rows(expected: Iterable[pa.RecordBatch], found: Iterable[pa.RecordBatch]) -> bool:
    """Whether two streams hold equal rows in the same order, however they are cut. Holds one batch of each."""
    left, right = _pieces(expected), _pieces(found)
    ours, theirs = next(left, None), next(right, None)
    while ours is not None and theirs is not None:
        length = min(ours.num_rows, theirs.num_rows)
        if not ours.slice(0, length).equals(theirs.slice(0, length)):
            return False
        ours = ours.slice(length) if ours.num_rows > length else next(left, None)
        theirs = theirs.slice(length) if theirs.num_rows > length else next(right, None)
    return ours is None and theirs is None


def differences(expected: pa.Table, found: pa.Table) -> Differences:
    """How two tables of keys (all of their columns) differ as sets; ``expected`` holds each key once."""
    keys = expected.column_names
    once = found.group_by(keys).aggregate([])
    return Differences(
        missing=expected.join(once, keys, join_type="left anti").num_rows,
        unexpected=once.join(expected, keys, join_type="left anti").num_rows,
        repeated=found.num_rows - once.num_rows,
    )


def not_finite(batches: Iterable[pa.RecordBatch]) -> int:
    """How many scores are null, NaN or infinite."""
    rows = finite = 0
    for batch in batches:
        rows += batch.num_rows
        finite += pc.sum(pc.is_finite(batch.column("score"))).as_py() or 0
    return rows - finite


def _pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return (batch for batch in batches if batch.num_rows)
