"""A check that the values of an expectation go with the types of its columns.

Great Expectations finds out at night: it raises, or judges every row of every day as unexpected.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from nightshift.specs.contract import Column, ColumnType, is_rounded
from nightshift.specs.expected_shapes import check_shapes, moment

Finding = tuple[tuple[str, ...], str]
"""The keys below an ``expect`` item that lead to what is wrong, and the words."""

_TEXTS = ("string", "category")
_NUMBERS = ("integer", "number", "boolean")
_TIMES = ("date", "timestamp")
_NAMES = {
    _TEXTS: (
        *(f"expect_column_value_lengths_to_{how}" for how in ("equal", "be_between")),
        *(f"expect_column_values_to_{how}match_regex{many}" for how in ("", "not_") for many in ("", "_list")),
        *(f"expect_column_values_to_match_{what}" for what in ("strftime_format", "json_schema")),
        *(f"expect_column_values_to_be_{what}_parseable" for what in ("dateutil", "json")),
    ),
    _NUMBERS: (
        *(f"expect_column_{what}_to_be_between" for what in ("sum", "stdev", "quantile_values")),
        "expect_multicolumn_sum_to_equal",
        "expect_column_values_to_not_be_outliers",
    ),
    (*_NUMBERS, "timestamp"): (
        *(f"expect_column_{what}_to_be_between" for what in ("mean", "median")),
        "expect_column_value_z_scores_to_be_less_than",
    ),
    (*_NUMBERS, *_TIMES): (
        *(f"expect_column_{what}_to_be_between" for what in ("values", "min", "max")),
        *(f"expect_column_values_to_be_{what}" for what in ("increasing", "decreasing")),
    ),
    (*_TEXTS, *_NUMBERS, "date"): ("expect_column_most_common_value_to_be_in_set",),
}
_TYPES: Mapping[str, Sequence[str]] = {name: types for types, names in _NAMES.items() for name in names}
_OF_VALUES = frozenset(f"expect_column_{kind}_to_be_between" for kind in ("values", "min", "max", "mean", "median"))
_COMPARED = frozenset(
    {f"expect_column_pair_values_{how}" for how in ("to_be_equal", "a_to_be_greater_than_b")}
    | {"expect_multicolumn_values_to_be_equal", "expect_select_column_values_to_be_unique_within_record"}
)
_SETS = ("value_set", "value_pairs_set")
_BOUNDS = ("min_value", "max_value")
_WORDS = {
    "string": "text: quote what looks like something else",
    "category": "text: quote what looks like something else",
    "integer": "an integer",
    "number": "a number that a 64-bit float holds",
    "boolean": "true or false",
    "date": "a date (YYYY-MM-DD)",
    "timestamp": "a timestamp with its offset, such as 2024-02-03T00:00:00+00:00",
}


def check_values(
    name: str, arguments: Mapping[str, Any], named: Sequence[str], columns: Mapping[str, Column]
) -> Iterator[Finding]:
    """The flaws of the values that an expectation has, for the columns of a dataset that it names.

    Names are those of columns that exist; arguments are of the JSON types that the catalogue says.
    """
    allowed = _TYPES.get(name, ())
    wrong = [column for column in named if allowed and columns[column].type not in allowed]
    for column in wrong:
        words = f"column {column} is of type {columns[column].type}"
        yield (name,), f"{name}: {words}; allowed: {', '.join(allowed)}"
    if wrong:
        return
    families = {_family(columns[column].type) for column in named}
    if name in _COMPARED and len(families) > 1:
        types = ", ".join(f"{column} {columns[column].type}" for column in named)
        yield (name,), f"{name}: values of these types are never equal, nor one greater: {types}"
    types_named = [columns[column].type for column in named]
    rounded = list(_rounded_arguments(name, arguments))
    yield from rounded or _bounds(name, arguments, types_named)
    yield from _sets(name, arguments, types_named)
    yield from _patterns(name, arguments)
    for argument, words in check_shapes(name, arguments, columns):
        yield (name, argument), f"{name}: {words}"


def _family(kind: str) -> str:
    return "number" if kind in _NUMBERS else "text" if kind in _TEXTS else kind


def _bounds(name: str, arguments: Mapping[str, Any], types: Sequence[ColumnType]) -> Iterator[Finding]:
    kind = types[0] if name in _OF_VALUES and types else "number"
    kind = "number" if kind in _NUMBERS else kind
    given = {argument: arguments[argument] for argument in _BOUNDS if arguments.get(argument) is not None}
    read = {argument: _READERS[kind](value) for argument, value in given.items()}
    for argument in (argument for argument, value in read.items() if value is None):
        of = f" of a column of type {kind}" if kind in _TIMES else ""
        yield (name, argument), f"{name}: {argument}{of} must be {_WORDS[kind]}"
    least, most = (read.get(argument) for argument in _BOUNDS)
    if least is None or most is None:
        return
    strict = any(arguments.get(argument) is True for argument in ("strict_min", "strict_max"))
    if least > most:
        yield (
            (name, "min_value"),
            f"{name}: min_value {given['min_value']} is greater than max_value {given['max_value']}",
        )
    elif strict and least == most:
        yield (name, "min_value"), f"{name}: no value is strictly between {given['min_value']} and itself"


def _sets(name: str, arguments: Mapping[str, Any], types: Sequence[ColumnType]) -> Iterator[Finding]:
    values, pairs = (arguments.get(argument) for argument in _SETS)
    if isinstance(values, list) and len(types) == 1 and not all(_is_member(value, types[0]) for value in values):
        yield (name, "value_set"), f"{name}: each value of type {types[0]} must be {_WORDS[types[0]]}"
    if isinstance(pairs, list) and len(types) == 2:
        for pair in pairs:
            if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_member, pair, types)):
                words = " and ".join(_WORDS[kind] for kind in types)
                yield (name, "value_pairs_set"), f"{name}: each item must be a list of two: {words}"
                return


def _is_member(value: Any, kind: ColumnType) -> bool:
    return value is None or _READERS[kind](value) is not None


def _patterns(name: str, arguments: Mapping[str, Any]) -> Iterator[Finding]:
    given = arguments.get("regex_list")
    for argument, regex in (
        ("regex", arguments.get("regex")),
        *(("regex_list", item) for item in (given if isinstance(given, list) else ())),
    ):
        if argument == "regex" and regex is None:
            continue
        try:
            re.compile(regex)
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            why = f": {error}" if isinstance(error, re.error) else ""
            yield (name, argument), f"{name}: {argument} has no regular expression of Python{why}"
    if isinstance(spelling := arguments.get("strftime_format"), str) and not _is_format(spelling):
        yield (name, "strftime_format"), f"{name}: strftime_format cannot be read back: write codes such as %Y-%m-%d"


def _is_format(spelling: str) -> bool:
    try:
        datetime.strptime(datetime(2024, 2, 3, tzinfo=UTC).strftime(spelling), spelling)
    except (ValueError, re.error):
        return False
    return True


def _rounded_arguments(name: str, arguments: Mapping[str, Any]) -> Iterator[Finding]:
    for argument in (argument for argument in arguments if argument not in _SETS):
        for number in _rounded(arguments[argument]):
            words = f"{name}: {argument} has {number}, which would be rounded to {float(number):.0f}"
            yield (name, argument), f"{words}: a bound is a 64-bit float"


def _rounded(value: Any) -> Iterator[int]:
    """The integers in a value that no 64-bit float holds."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _rounded(item)
    elif isinstance(value, int) and is_rounded(value):
        yield value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, float) or (_integer(value) is not None and not is_rounded(value)) else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _text,
    "category": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "timestamp": moment,
}
