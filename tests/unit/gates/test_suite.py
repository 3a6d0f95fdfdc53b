from datetime import UTC, date, datetime
from typing import Any

import pytest

from nightshift.gates.suite import Check, checked_columns, contract_checks, custom_checks
from nightshift.specs.model import Column, Gate

NOT_NULL, BETWEEN = "expect_column_values_to_not_be_null", "expect_column_values_to_be_between"


def test_a_key_is_unique_and_has_no_nulls_whatever_its_contract_says() -> None:
    assert contract_checks({"k": Column(type="string", nulls=0.5)}, ["k"]) == (
        Check(NOT_NULL, {"column": "k"}, True),
        Check("expect_column_values_to_be_unique", {"column": "k"}, True),
    )
    columns = {"a": Column(type="string"), "b": Column(type="integer")}
    assert contract_checks(columns, ["a", "b"]) == (
        Check(NOT_NULL, {"column": "a"}, True),
        Check(NOT_NULL, {"column": "b"}, True),
        Check("expect_compound_columns_to_be_unique", {"column_list": ["a", "b"]}, True),
    )


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (Column(type="string"), [Check(NOT_NULL, {"column": "c"}, True)]),
        (Column(type="string", nulls=0.7), [Check(NOT_NULL, {"column": "c", "mostly": 0.3}, False)]),
        (Column(type="string", nulls=1.0), []),
        (
            Column(type="integer", nulls=1.0, min=0, max=2.5),
            [Check(BETWEEN, {"column": "c", "min_value": 0, "max_value": 2.5}, True)],
        ),
        (
            Column(type="date", nulls=1.0, max=date(2024, 2, 3)),
            [Check(BETWEEN, {"column": "c", "max_value": "2024-02-03"}, True)],
        ),
        (
            Column(type="timestamp", nulls=1.0, min=datetime(2024, 2, 3, tzinfo=UTC)),
            [Check(BETWEEN, {"column": "c", "min_value": "2024-02-03T00:00:00+00:00"}, True)],
        ),
        (
            Column(type="integer", nulls=1.0, allowed=(1, 2)),
            [Check("expect_column_values_to_be_in_set", {"column": "c", "value_set": [1, 2]}, True)],
        ),
    ],
)
def test_what_follows_from_a_contract(column: Column, expected: list[Check]) -> None:
    assert list(contract_checks({"k": Column(type="string"), "c": column}, ["k"]))[2:] == expected


@pytest.mark.parametrize(
    ("name", "arguments", "row_level"),
    [
        (BETWEEN, {"column": "c", "min_value": 1}, True),
        (BETWEEN, {"column": "c", "min_value": 1, "mostly": 1}, True),
        (BETWEEN, {"column": "c", "min_value": 1, "mostly": 0.99}, False),
        ("expect_column_pair_values_to_be_equal", {"column_A": "a", "column_B": "b"}, True),
        ("expect_column_mean_to_be_between", {"column": "c"}, False),
        ("expect_something_else", {}, False),
    ],
)
def test_only_a_row_level_expectation_without_mostly_lets_rows_leave(
    name: str, arguments: dict[str, Any], row_level: bool
) -> None:
    assert custom_checks(Gate(expect=({name: arguments},))) == (Check(name, arguments, row_level),)


def test_dates_of_a_spec_become_text() -> None:
    gate = Gate(expect=({BETWEEN: {"column": "c", "min_value": date(2024, 2, 3)}},))
    assert custom_checks(gate)[0].arguments == {"column": "c", "min_value": "2024-02-03"}


def test_only_the_columns_that_are_named_are_read() -> None:
    columns = ["a", "b", "c", "d"]
    pair = Check("expect_column_pair_values_to_be_equal", {"column_A": "d", "column_B": "b"}, True)
    assert checked_columns([pair], ["a"], columns) == ["a", "b", "d"]
    assert checked_columns([Check("expect_table_row_count_to_equal", {"value": 1}, False)], ["a"], columns) == ["a"]
    assert (
        checked_columns([Check("expect_table_column_count_to_equal", {"value": 4}, False)], ["a"], columns) == columns
    )
    conditional = Check(BETWEEN, {"column": "a", "min_value": 1, "row_condition": 'col("c") == "x"'}, True)
    assert checked_columns([conditional], ["a"], columns) == columns
    placed = Check("expect_column_to_exist", {"column": "b", "column_index": 1}, False)
    assert checked_columns([placed], ["a"], columns) == columns
