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
_TWO_TABLES = frozenset({"expect_table_row_count_to_equal_other_table"})


def generate() -> dict[str, Any]:
    """Expectations by name: ``arguments`` (name to ``{"required", "types"}``), ``row_level``, ``columns``.

    ``types`` are JSON types; ``columns`` are the arguments that name columns. Only a row-level expectation judges
    single rows, so only it can send rows to quarantine.
    """
    great_expectations()
    from great_expectations.expectations import registry

    names = sorted(registry.list_registered_expectation_implementations())
    implementations = {name: registry.get_expectation_impl(name) for name in names}
    return {name: _entry(found) for name, found in implementations.items() if _usable(name, found)}


def _usable(name: str, found: Any) -> bool:
    from great_expectations.expectations import registry

    if name in _TYPES or name in _TWO_TABLES:
        return False
    mapped = getattr(found, "map_metric", None)
    metrics = [f"{mapped}.condition"] if mapped else (getattr(found, "metric_dependencies", None) or ())
    providers = [registry._registered_metrics.get(metric, {}).get("providers", {}) for metric in metrics]
    return all("PandasExecutionEngine" in provider for provider in providers)


def _entry(found: Any) -> dict[str, Any]:
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

    schema = found.schema()
    required = set(schema.get("required", ()))
    arguments = {
        name: {"required": name in required, "types": _types(definition)}
        for name, definition in schema["properties"].items()
        if name not in _LIBRARY_ONLY
    }
    return {
        "arguments": arguments,
        "row_level": issubclass(found, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation),
        "columns": [name for name in _COLUMN_ARGUMENTS if name in arguments],
    }


def _types(definition: dict[str, Any]) -> list[str]:
    """The JSON types of an argument; every argument may also be a suite parameter (object), which a spec has not."""
    if definition.get("title") == "Row Condition":
        return ["string"]
    found = _kinds(definition)
    return sorted(found - {"object"} or {"object"})


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
