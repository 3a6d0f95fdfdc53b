"""The keys of a dataset against those that it was made of: the same ones, once each."""

from dataclasses import dataclass

import pyarrow as pa

LOST = "lost"
"""The count in a manifest: keys of the spine that the feature module gave no row."""


@dataclass(frozen=True)
class Differences:
    """Numbers of keys: that are missing, that nobody asked for, and rows beyond the first of a key."""

    missing: int
    unexpected: int
    repeated: int

    @property
    def total(self) -> int:
        """All keys that are not as they should be."""
        return self.missing + self.unexpected + self.repeated


def differences(expected: pa.Table, found: pa.Table) -> Differences:
    """The differences of two tables of keys (all of their columns) as sets; ``expected`` holds each key once."""
    keys = expected.column_names
    once = found.group_by(keys).aggregate([])
    return Differences(
        missing=expected.join(once, keys, join_type="left anti").num_rows,
        unexpected=once.join(expected, keys, join_type="left anti").num_rows,
        repeated=found.num_rows - once.num_rows,
    )
