from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from nightshift.gates.keys import Differences, differences

KEYS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=12)
SCHEMA = pa.schema([("place", pa.string()), ("hour", pa.int64())])


def table(keys: list[tuple[str, int]]) -> pa.Table:
    return pa.Table.from_pylist([{"place": place, "hour": hour} for place, hour in keys], schema=SCHEMA)


@given(st.sets(st.tuples(st.sampled_from("abc"), st.integers(0, 3))), KEYS)
def test_differences_are_those_of_sets(expected: set[tuple[str, int]], found: list[tuple[str, int]]) -> None:
    assert differences(table(sorted(expected)), table(found)) == Differences(
        missing=len(expected - set(found)),
        unexpected=len(set(found) - expected),
        repeated=sum(count - 1 for count in Counter(found).values()),
    )
