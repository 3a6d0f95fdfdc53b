"""What judges rows one by one says the same of all rows at once and of some at a time."""

import math
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightshift.gates.chunks import chunks, judged
from nightshift.gates.frames import frame_of
from nightshift.gates.run import PandasEngine, Request
from nightshift.specs.expectations import catalogue, judges_rows
from nightshift.tables import arrow_schema

TYPES = {"s": "string", "i": "integer", "n": "number", "m": "number", "b": "boolean", "d": "date", "t": "timestamp"}
SCHEMA = arrow_schema(TYPES)
CELLS: dict[str, st.SearchStrategy[Any]] = {
    "s": st.sampled_from(["a", "é", "e\u0301", "12", "2024", "{}", "[1", " ", "", "\U0001d518"]),
    "i": st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, 2**62]),
    "n": st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 1e300, 5e-324]),
    "m": st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf]),
    "b": st.booleans(),
    "d": st.sampled_from([date(1, 1, 1), date(1500, 2, 28), date(2024, 1, 1), date(9999, 12, 31)]),
    "t": st.sampled_from([datetime(1, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]),
}
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | cell for name, cell in CELLS.items()}), min_size=0, max_size=9)
CHECKS: list[Request] = [
    *((f"expect_column_values_to_{kind}be_null", {"column": name}) for kind in ("", "not_") for name in TYPES),
    ("expect_column_values_to_not_be_null", {"column": "n", "mostly": 0.5}),
    ("expect_column_values_to_be_between", {"column": "i", "min_value": 0, "max_value": 2**53}),
    ("expect_column_values_to_be_between", {"column": "n", "min_value": 0, "strict_min": True, "mostly": 0.6}),
    ("expect_column_values_to_be_between", {"column": "d", "min_value": date(1900, 1, 1)}),
    ("expect_column_values_to_be_between", {"column": "t", "max_value": datetime(2024, 1, 1, tzinfo=UTC)}),
    ("expect_column_values_to_be_in_set", {"column": "n", "value_set": [0.0, 1.0]}),
    ("expect_column_values_to_not_be_in_set", {"column": "i", "value_set": [1, 2**62]}),
    ("expect_column_values_to_match_regex", {"column": "s", "regex": r"^\w$"}),
    ("expect_column_values_to_match_regex", {"column": "i", "regex": r"^\d+$"}),
    ("expect_column_values_to_not_match_regex_list", {"column": "s", "regex_list": ["^a", "é"]}),
    ("expect_column_value_lengths_to_be_between", {"column": "s", "min_value": 1, "max_value": 2}),
    ("expect_column_values_to_match_strftime_format", {"column": "s", "strftime_format": "%Y"}),
    ("expect_column_values_to_be_json_parseable", {"column": "s"}),
    ("expect_column_pair_values_a_to_be_greater_than_b", {"column_A": "n", "column_B": "m", "or_equal": True}),
    ("expect_column_pair_values_to_be_equal", {"column_A": "n", "column_B": "m"}),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["n", "m"], "sum_total": 1.0}),
    ("expect_select_column_values_to_be_unique_within_record", {"column_list": ["n", "m"]}),
    ("expect_column_values_to_be_between", {"column": "n", "max_value": 1, "row_condition": 'col("b") == True'}),
]


def test_only_what_judges_rows_one_by_one_is_asked_of_chunks() -> None:
    assert all(judges_rows(name) for name, _ in CHECKS)
    assert not judges_rows("expect_column_values_to_be_unique")
    assert all(catalogue()[name]["row_level"] for name in catalogue() if judges_rows(name))


@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, size=st.integers(3, 5))
def test_all_at_once_or_some_at_a_time(rows: list[dict[str, Any]], size: int) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    integers = {"i": str(frame_of(table)["i"].dtype)}
    parts = list(chunks(table.to_batches(max_chunksize=size), SCHEMA, size))
    assert sum(part.num_rows for part in parts) == len(rows)
    wanted = PandasEngine(frame_of(table)).validate(CHECKS, positions=True)
    found = judged(parts, CHECKS, positions=True, integers=integers)
    for check, one, other in zip(CHECKS, wanted, found, strict=True):
        assert bool(one["traceback"]) == bool(other["traceback"]), check
        if not one["traceback"]:
            assert other["success"] == one["success"], check
            assert other["result"]["unexpected_count"] == one["result"].get("unexpected_count", 0), check
            assert other["result"]["element_count"] == one["result"]["element_count"], check
            assert sorted(other["positions"]) == sorted(one["positions"]), check


def test_rows_that_left_are_judged_no_more() -> None:
    table = pa.table({"n": [1.0, 5.0, 1.0, 5.0, None]})
    check: Request = ("expect_column_values_to_be_between", {"column": "n", "max_value": 2})
    parts = [table.slice(start, 2) for start in (0, 2, 4)]
    [answer] = judged(parts, [check], True)
    assert (answer["success"], answer["positions"]) == (False, [1, 3])
    [answer] = judged(parts, [check], True, gone=[1, 3])
    assert (answer["success"], answer["result"]["element_count"], answer["positions"]) == (True, 3, [])
