"""Whether a gate's ``expect`` items are ones that Great Expectations knows, with arguments that it takes.

The knowledge is ``expectations.json``, written from the installed Great Expectations by
``python -m nightshift.gates.catalogue`` and kept current by a test: importing it costs seconds.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nightshift.specs.spelling import nearest

Finding = tuple[tuple[str, ...], str]
"""The keys below an ``expect`` item that lead to what is wrong, and the words."""

_FILE = Path(__file__).with_name("expectations.json")
_KINDS = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
}


@cache
def catalogue() -> dict[str, Any]:
    """Expectations by name: ``arguments`` (name to ``required`` and JSON ``types``), ``columns``, ``row_level``."""
    found: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def check_expectation(item: Mapping[str, Mapping[str, Any]], columns: Collection[str]) -> Iterator[Finding]:
    """What is wrong with one item of ``expect``, for a dataset of these columns."""
    known = catalogue()
    for name, arguments in item.items():
        if name not in known:
            yield (name,), f"there is no expectation {name}{nearest(name, known)}"
            continue
        entry = known[name]
        yield from _arguments(name, entry, arguments)
        for argument in entry["columns"]:
            yield from _columns(name, argument, arguments.get(argument), columns)


def _arguments(name: str, entry: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[Finding]:
    allowed = entry["arguments"]
    for argument, value in arguments.items():
        if argument not in allowed:
            words = f"{name} has no argument {argument}{nearest(argument, allowed)}"
            yield (name, argument), f"{words}; allowed: {', '.join(allowed)}"
        elif not any(_is(value, kind) for kind in allowed[argument]["types"]):
            kinds = " or ".join(_KINDS[kind] for kind in allowed[argument]["types"])
            yield (name, argument), f"{name}: {argument} must be {kinds}"
        elif argument == "mostly" and not 0 < value <= 1:
            yield (name, argument), f"{name}: mostly must be a fraction above 0 and at most 1"
    for argument, definition in allowed.items():
        if definition["required"] and argument not in arguments:
            yield (name,), f"{name} needs the argument {argument}"
    bounds = {"min_value", "max_value"}
    if bounds <= allowed.keys() and all(arguments.get(bound) is None for bound in bounds):
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
