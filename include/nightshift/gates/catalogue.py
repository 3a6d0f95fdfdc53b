"""``python -m nightshift.gates.catalogue`` writes what the installed Great Expectations knows as JSON.

``nightshift check`` reads the JSON, since importing Great Expectations costs seconds. Left out are expectations that
cannot be evaluated on one pandas frame (SQL, two tables), and those on types: types hold by the column contract.
"""

from pathlib import Path
from typing import Any

from nightshift import storage
from nightshift.gates.engine import great_expectations

FILE = Path(__file__).resolve().parents[1] / "specs" / "expectations.json"

_COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list", "column_set")
_LIBRARY_ONLY = frozenset(
    {"batch_id", "catch_exceptions", "condition_parser", "description", "id", "library_metadata", "meta", "metadata"}
    | {"notes", "rendered_content", "result_format", "severity", "windows"}
)
_TYPES = frozenset(
    {"expect_column_type_to_be", "expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"}
)
# Of expectations that need a whole column: those that only ask which values are equal, and those that compare values of
# some types; Spark answers them as pandas does, but for the last digits of a mean. All others are pandas' alone: what
# Spark says of them is an estimate, depends on the order in which rows are read, or fails. The engines are compared in
# ``tests/spark/test_audit.py``.
_EQUAL = frozenset(
    {"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique", "expect_column_to_exist"}
    | {f"expect_column_proportion_of_{kind}_values_to_be_between" for kind in ("unique", "non_null")}
    | {f"expect_table_{kind}_count_to_{how}" for kind in ("row", "column") for how in ("be_between", "equal")}
    | {f"expect_table_columns_to_match_{kind}" for kind in ("ordered_list", "set")}
    | {"expect_column_unique_value_count_to_be_between"}
)
_NUMBERS = ["integer", "number"]
_VALUES = {
    **{f"expect_column_{kind}_to_be_between": _NUMBERS for kind in ("mean", "sum", "stdev")},
    **{f"expect_column_{kind}_to_be_between": ["string", "category", *_NUMBERS, "date"] for kind in ("min", "max")},
    **{
        f"expect_column_distinct_values_to_{kind}_set": ["string", "category", *_NUMBERS, "boolean"]
        for kind in ("be_in", "contain", "equal")
    },
}
_OF_ALL_ROWS = frozenset(
    {"expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"}
    | {f"expect_column_values_to_be_{kind}" for kind in ("increasing", "decreasing")}
    | {"expect_column_value_z_scores_to_be_less_than", "expect_column_values_to_not_be_outliers"}
)
# What GX checks while it judges.
_UNDECLARED: dict[tuple[str, str], list[Any]] = {
    ("expect_select_column_values_to_be_unique_within_record", "ignore_row_if"): [
        "all_values_are_missing", "any_value_is_missing", "never",
    ],
    ("expect_column_quantile_values_to_be_between", "allow_relative_error"): [
        False, "linear", "lower", "higher", "midpoint", "nearest",
    ],
}  # fmt: skip
_TWO_TABLES = frozenset({"expect_table_row_count_to_equal_other_table"})


def generate() -> dict[str, Any]:
    """Expectations by name: ``arguments`` (name to ``{"required", "types"}``), ``row_level``, ``columns``, ``large``.

    ``types`` are JSON types; ``columns`` are the arguments that name columns. Only a row-level expectation judges
    single rows, so only it can send rows to quarantine. For ``large`` see ``nightshift.specs.expectations``.
    """
    great_expectations()
    from great_expectations.expectations import registry

    names = sorted(registry.list_registered_expectation_implementations())
    implementations = {name: registry.get_expectation_impl(name) for name in names}
    return {name: _entry(name, found) for name, found in implementations.items() if _usable(name, found)}


def _usable(name: str, found: Any) -> bool:
    from great_expectations.expectations import registry

    if name in _TYPES or name in _TWO_TABLES:
        return False
    mapped = getattr(found, "map_metric", None)
    metrics = [f"{mapped}.condition"] if mapped else (getattr(found, "metric_dependencies", None) or ())
    providers = [registry._registered_metrics.get(metric, {}).get("providers", {}) for metric in metrics]
    return all("PandasExecutionEngine" in provider for provider in providers)


def _entry(name: str, found: Any) -> dict[str, Any]:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    schema = found.schema()
    required = set(schema.get("required", ()))
    arguments = {
        argument: {
            "required": argument in required,
            "types": _types(definition),
            **_allowed(name, argument, definition),
        }
        for argument, definition in schema["properties"].items()
        if argument not in _LIBRARY_ONLY
    }
    row_level = issubclass(found, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation)
    by_rows = row_level and name not in _OF_ALL_ROWS
    return {
        "arguments": arguments,
        "row_level": row_level,
        "columns": [argument for argument in _COLUMN_ARGUMENTS if argument in arguments],
        "large": "rows" if by_rows else "equal" if name in _EQUAL else _VALUES.get(name),
    }


def _types(definition: dict[str, Any]) -> list[str]:
    """The JSON types of an argument; every argument may also be a suite parameter (object), which a spec has not."""
    if definition.get("title") == "Row Condition":
        return ["string"]
    found = _kinds(definition)
    return sorted(found - {"object"} or {"object"})


def _allowed(name: str, argument: str, definition: dict[str, Any]) -> dict[str, list[Any]]:
    """The words that an argument may be, where these are few; GX does not declare all of them."""
    declared: list[Any] | None = _UNDECLARED.get((name, argument)) or next(
        (item["enum"] for item in (definition, *definition.get("anyOf", ())) if "enum" in item), None
    )
    return {"allowed": declared} if declared else {}


def _kinds(definition: dict[str, Any]) -> set[str]:
    alternatives = [item for key in ("anyOf", "oneOf", "allOf") for item in definition.get(key, ())]
    if alternatives:
        return set().union(*(_kinds(item) for item in alternatives))
    return {definition.get("type", "object")}


def main() -> None:
    """Writes the catalogue."""
    FILE.write_bytes(storage.json_bytes(generate()))


if __name__ == "__main__":
    main()
