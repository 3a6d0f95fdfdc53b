"""A check of the arguments of an expectation that have parts, or a grammar of their own.

The catalogue knows a mapping from a list, and no more: Great Expectations finds the rest out at night, or reads the
beginning of a condition and nothing after it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from nightshift.specs.contract import Column
from nightshift.specs.spelling import nearest

_CONDITION = re.compile(
    r"""\s*col\("(?P<column>[^"]+)"\)\s*
    (?:(?i:\.notnull\(\))|(?:<=|>=|==|!=|<|>)\s*(?:
        (?P<number>[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?) | "(?P<double>[^"']+)" | '(?P<single>[^"']+)'))\s*""",
    re.VERBOSE,
)
_FORMS = 'one of col("x").notNull(), col("x") > 1 and col("x") == "text", with <, <=, ==, !=, >= or >'
_LISTS = ("column_list", "value_set", "regex_list", "value_pairs_set")
_TOGETHER = re.compile("expect_(multicolumn|compound|select)_.*")
# What is counted or measured is never less than 0, a proportion never more than 1.
_NEVER_NEGATIVE = re.compile(".*_(count|lengths|stdev|proportion_of_[a-z_]+_values)_to_.*")

Part = tuple[str, str]
"""An argument, and what is wrong with it."""


def check_shapes(name: str, arguments: Mapping[str, Any], columns: Mapping[str, Column]) -> Iterator[Part]:
    """The flaws in the parts of arguments that are of the JSON types of the catalogue."""
    for argument in _LISTS:
        if arguments.get(argument) == []:
            yield argument, f"{argument} is empty"
    listed = arguments.get("column_list")
    if _TOGETHER.fullmatch(name) and isinstance(listed, list) and len(listed) == 1:
        yield "column_list", "column_list needs two columns or more"
    if "quantile_ranges" in arguments:
        yield from (("quantile_ranges", words) for words in _quantiles(arguments["quantile_ranges"]))
    if "partition_object" in arguments:
        yield from (("partition_object", words) for words in _partition(arguments["partition_object"]))
    if isinstance(condition := arguments.get("row_condition"), str):
        yield from (("row_condition", words) for words in _condition(condition, columns))
    yield from _never(name, arguments)


def _quantiles(ranges: Mapping[str, Any]) -> Iterator[str]:
    quantiles, bounds = ranges.get("quantiles"), ranges.get("value_ranges")
    if set(ranges) != {"quantiles", "value_ranges"} or not (isinstance(quantiles, list) and isinstance(bounds, list)):
        yield "quantile_ranges must be {quantiles: [0.5], value_ranges: [[min, max]]}"
    elif not quantiles or not all(_is_number(item) and 0 <= item <= 1 for item in quantiles):
        yield "quantile_ranges.quantiles must be numbers from 0 to 1"
    elif len(bounds) != len(quantiles) or not all(map(_is_range, bounds)):
        yield (
            "quantile_ranges.value_ranges must have a list of two for each quantile, [min, max]: numbers in order, "
            "or null for none"
        )


def _is_range(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2 or not all(item is None or _is_number(item) for item in pair):
        return False
    least, most = pair
    return least is None or most is None or bool(least <= most)


def _partition(given: Mapping[str, Any]) -> Iterator[str]:
    weights = given.get("weights")
    kinds = [kind for kind in ("values", "bins") if isinstance(given.get(kind), list)]
    if len(kinds) != 1 or not isinstance(weights, list) or not all(map(_is_number, weights)):
        yield "partition_object must be {values: [a, b], weights: [0.5, 0.5]} or {bins: [0, 1, 2], weights: [0.5, 0.5]}"
        return
    [kind] = kinds
    if len(given[kind]) != len(weights) + (kind == "bins"):
        counts = f"{len(given[kind])} {kind} and {len(weights)} weights"
        yield f"partition_object has {counts}; of bins there is one more than of weights, of values as many"
    elif abs(sum(weights) + sum(_numbers(given.get("tail_weights"))) - 1) > 1e-6:
        yield "partition_object.weights must add up to 1"


def _numbers(given: Any) -> Sequence[float]:
    return [item for item in given if _is_number(item)] if isinstance(given, list) else []


def _condition(text: str, columns: Mapping[str, Column]) -> Iterator[str]:
    found = _CONDITION.fullmatch(text)
    if found is None:
        yield f"row_condition must be {_FORMS}; conditions cannot be joined"
        return
    column, quoted = found["column"], found["double"] or found["single"]
    if column not in columns:
        yield f"the dataset has no column {column}{nearest(column, columns)}; it has {', '.join(columns)}"
    elif found["number"] or quoted:
        yield from _compared(column, columns[column].type, quoted)


def _compared(column: str, kind: str, quoted: str | None) -> Iterator[str]:
    if kind == "date":
        yield f'row_condition: column {column} of type date cannot be compared; allowed: col("{column}").notNull()'
    elif kind in ("integer", "number", "boolean") and quoted:
        words = "with 0 or 1" if kind == "boolean" else "with a number"
        yield f"row_condition: column {column} of type {kind} is compared {words}, without quotes"
    elif kind in ("string", "category") and not quoted:
        yield f"row_condition: column {column} of type {kind} is compared with text in quotes"
    elif kind == "timestamp" and moment(quoted) is None:
        yield f"row_condition: column {column} is compared with a quoted timestamp that has its offset"


def _never(name: str, arguments: Mapping[str, Any]) -> Iterator[Part]:
    """Bounds that no count, length, deviation or proportion ever meets."""
    if not _NEVER_NEGATIVE.fullmatch(name):
        return
    for argument in ("max_value", "value"):
        given = arguments.get(argument)
        if given is not None and _is_number(given) and given < 0:
            yield argument, f"{argument} is {given}, and nothing of that kind is less than 0"
    least, exact = arguments.get("min_value"), arguments.get("value")
    if "proportion" in name and least is not None and _is_number(least) and least > 1:
        yield "min_value", f"min_value is {least}, and no proportion is above 1"
    if isinstance(exact, float) and not exact.is_integer():
        yield "value", "value must be a whole number"


def moment(value: Any) -> datetime | None:
    """The moment that an ISO text with an offset names; None of all else."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
