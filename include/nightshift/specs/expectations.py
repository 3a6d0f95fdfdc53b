"""Whether a gate's ``expect`` items are ones that Great Expectations knows, with arguments that it takes.

The knowledge is ``expectations.json``, written from the installed Great Expectations by
``python -m nightshift.gates.catalogue`` and kept current by a test: importing it costs seconds.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nightshift.specs.contract import Column
from nightshift.specs.expected_values import Finding, check_values
from nightshift.specs.spelling import nearest

_FILE = Path(__file__).with_name("expectations.json")
_KINDS = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}
# Great Expectations has defaults for these, with which nothing is asked.
_ASKED = frozenset(("regex", "partition_object", "threshold", "column_list", "column_set"))


@cache
def catalogue() -> dict[str, Any]:
    """Expectations by name: ``arguments``, ``columns``, ``row_level``.

    ``arguments`` maps a name to ``required``, JSON ``types`` and, where these are few, the words ``allowed``.
    ``large`` says how one is judged of more rows than ``gate.rows``: by ``rows``, in pandas as ever; by Spark, on
    columns of some ``types`` where it compares values; or by nothing, since Spark's answer is another (``null``).
    """
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def judges_rows(name: str) -> bool:
    """Return whether an expectation judges each row by itself."""
    return bool(catalogue().get(name, {}).get("large") == "rows")


def judges_values(name: str) -> bool:
    """Return whether an expectation about whole columns asks what their values are, not only which are equal."""
    return isinstance(catalogue().get(name, {}).get("large"), list)


def pandas_alone(name: str, arguments: Mapping[str, Any], types: Mapping[str, str]) -> str:
    """Why Spark may not judge an expectation, on columns of these types; empty where it may, or need not."""
    entry = catalogue().get(name)
    if entry is None or entry["large"] == "rows":
        return ""
    if entry["large"] is None:
        return "pandas and Spark answer it in different ways"
    if "row_condition" in arguments:
        return "pandas and Spark read a row_condition in different ways"
    named = {types.get(str(arguments.get(argument)), "") for argument in entry["columns"] if argument == "column"}
    kinds = {kind for kind in named if kind and entry["large"] != "equal" and kind not in entry["large"]}
    return f"pandas and Spark answer it in different ways about a {kinds.pop()}" if kinds else ""


def check_expectation(item: Mapping[str, Mapping[str, Any]], columns: Mapping[str, Column]) -> Iterator[Finding]:
    """The flaws of one item of ``expect``, for a dataset of these columns."""
    known = catalogue()
    for name, arguments in item.items():
        if name not in known:
            yield (name,), f"there is no expectation {name}{nearest(name, known)}"
            continue
        entry = known[name]
        found = list(_arguments(name, entry, arguments))
        for argument in entry["columns"]:
            found += _columns(name, argument, arguments.get(argument), columns)
        yield from found or check_values(name, arguments, _named(entry, arguments), columns)


def _named(entry: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    given = (arguments.get(argument) for argument in entry["columns"])
    return [column for value in given for column in (value if isinstance(value, list) else [value]) if column]


def _arguments(name: str, entry: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[Finding]:
    allowed = entry["arguments"]
    for argument, value in arguments.items():
        if argument not in allowed:
            words = f"{name} has no argument {argument}{nearest(argument, allowed)}"
            yield (name, argument), f"{words}; allowed: {', '.join(allowed)}"
        elif not any(_is(value, kind) for kind in allowed[argument]["types"]):
            kinds = " or ".join(_KINDS[kind] for kind in allowed[argument]["types"])
            yield (name, argument), f"{name}: {argument} must be {kinds}"
        elif (words := allowed[argument].get("allowed")) and value not in words:
            known = [str(word).lower() for word in words]
            yield (name, argument), f"{name}: {argument} must be one of {', '.join(known)}{nearest(str(value), known)}"
        elif argument == "mostly" and not 0 < value <= 1:
            yield (name, argument), f"{name}: mostly must be a fraction above 0 and at most 1"
        elif argument == "multiplier" and value <= 0:
            yield (name, argument), f"{name}: multiplier must be above 0"
    for argument, definition in allowed.items():
        if (definition["required"] or argument in _ASKED) and argument not in arguments:
            yield (name,), f"{name} needs the argument {argument}"
    bounds = {"min_value", "max_value"}
    if (
        bounds <= allowed.keys()
        and "threshold" not in allowed
        and all(arguments.get(bound) is None for bound in bounds)
    ):
        yield (name,), f"{name} needs min_value, max_value or both"


def _is(value: Any, kind: str) -> bool:
    match kind:
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return isinstance(value, {"string": str, "boolean": bool, "array": list, "object": dict}[kind])


def _columns(name: str, argument: str, given: Any, columns: Collection[str]) -> Iterator[Finding]:
    for column in given if isinstance(given, list) else [given]:
        if isinstance(column, str) and column not in columns:
            words = f"{name}: the dataset has no column {column}{nearest(column, columns)}"
            yield (name, argument), f"{words}; it has {', '.join(columns)}"
        elif isinstance(given, list) and not isinstance(column, str):
            yield (name, argument), f"{name}: {argument} must be names of columns"
