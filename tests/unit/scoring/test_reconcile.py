"""Equal rows, finite scores."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from nightshift.scoring.reconcile import not_finite, same_rows

KEYS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=12)
SCHEMA = pa.schema([("place", pa.string()), ("hour", pa.int64())])


def table(keys: list[tuple[str, int]]) -> pa.Table:
    return pa.Table.from_pylist([{"place": place, "hour": hour} for place, hour in keys], schema=SCHEMA)


@given(KEYS, KEYS, st.integers(1, 5), st.integers(1, 5))
def test_same_rows_however_the_streams_are_cut(
    ours: list[tuple[str, int]], theirs: list[tuple[str, int]], one: int, other: int
) -> None:
    left, right = table(ours).to_batches(max_chunksize=one), table(theirs).to_batches(max_chunksize=other)
    assert same_rows(left, right) == (ours == theirs)
    assert same_rows(left, table(ours).to_batches(max_chunksize=other))


def test_not_finite_counts_nulls_nans_and_infinities() -> None:
    scores = pa.array([0.5, None, float("nan"), float("inf"), -float("inf"), 0.0])
    batches = [pa.record_batch({"score": scores}), pa.record_batch({"score": scores.slice(0, 0)})]
    assert not_finite(batches) == 4
    assert not_finite([]) == 0
