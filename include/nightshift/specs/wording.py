"""What pydantic says about a spec, in words for the person who wrote it."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from nightshift.specs.document import Document, Location, Place, Problem
from nightshift.specs.model import Pipeline
from nightshift.specs.spelling import nearest, nearest_word

_PATTERNS = {
    r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$": "lower-case words joined by single underscores, such as late_flights",
    r"^[A-Za-z][A-Za-z0-9_]*$": "letters, digits and underscores, a letter first",
    r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$": "lower-case words joined by single hyphens, such as night-shift",
    r"^[1-9][0-9]*[smhd]$": "a duration such as 90s, 15m, 6h or 1d",
    r"^(0|[1-9][0-9]*)[smhd]$": "a duration such as 0s, 90s or 15m",
    r"^[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x7f]$": "one ASCII character that is neither a quote nor a line end",
    r"^[^/*?\[\]]+$": "the name of a file, such as _SUCCESS",
    r"^[1-9][0-9]*(Mi|Gi)$": "a size such as 512Mi or 2Gi",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": 'a time of day such as "02:00"',
}
_KINDS = {
    "string_type": "text",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "a smaller integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "keys with values",
    "date_type": "a date (YYYY-MM-DD)",
    "date_parsing": "a date (YYYY-MM-DD)",
    "date_from_datetime_parsing": "a date (YYYY-MM-DD)",
    "date_from_datetime_inexact": "a date (YYYY-MM-DD)",
    "datetime_type": "a timestamp with its timezone",
    "datetime_parsing": "a timestamp with its timezone",
    "datetime_from_date_parsing": "a timestamp with its timezone",
    "datetime_object_invalid": "a timestamp with its timezone",
}
_LIMITS = {
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "too_short": "at least {min_length} item",
    "string_too_short": "text of at least {min_length} character",
    "string_too_long": "text of at most {max_length} characters",
}


def problems_of(error: ValidationError, document: Document, file: str) -> list[Problem]:
    """Every problem of a validation, in the order of the lines; those of one place's alternatives are one."""
    by_place: dict[Location, list[dict[str, Any]]] = {}
    places: dict[Location, Place] = {}
    for item in error.errors(include_url=False):
        place = document.place(item["loc"])
        location = place.location
        if item["type"] == "missing":
            location = (*location, item["loc"][-1])
        places[location] = place
        by_place.setdefault(location, []).append(dict(item))
    meant = {(*location[:-1], _meant(location)) for location, items in by_place.items() if _is_unknown(items)}
    found = []
    for location, items in by_place.items():
        if _only_another_member_of_a_union(location, places[location], items, by_place):
            continue
        if items[0]["type"] == "missing" and location in meant:
            continue
        for line, text in _words(location, places[location], items, document):
            found.append(Problem(file, line, text))
    return sorted(found, key=lambda problem: problem.line)


def _is_unknown(items: Sequence[dict[str, Any]]) -> bool:
    return bool(items[0]["type"] == "extra_forbidden")


def _meant(location: Location) -> str:
    """The key that an unknown one was probably meant to be."""
    return nearest_word(str(location[-1]), _keys(location[:-1]))


def _only_another_member_of_a_union(
    location: Location, place: Place, items: Sequence[dict[str, Any]], found: Iterable[Location]
) -> bool:
    """Of ``block | {allow: N}``, written as keys: only what is wrong with the keys counts."""
    deeper = any(len(other) > len(location) and other[: len(location)] == location for other in found)
    return deeper and isinstance(place.node, yaml.MappingNode) and items[0]["type"] == "literal_error"


def _words(
    location: Location, place: Place, items: Sequence[dict[str, Any]], document: Document
) -> list[tuple[int, str]]:
    first, path = items[0], ".".join(map(str, location))
    match first["type"]:
        case "missing":
            parent = ".".join(map(str, location[:-1]))
            text = f"the key {location[-1]} is missing" + (f" in {parent}" if parent else "")
            return [(place.line, f"{text}; it is {_field_words(location)}")]
        case "extra_forbidden":
            known = _keys(location[:-1])
            text = f"unknown key {path}{nearest(str(location[-1]), known)}"
            return [(place.line, f"{text}; allowed: {', '.join(known)}" if known else text)]
        case "value_error":
            return [_model_words(location, line, document) for line in str(first["ctx"]["error"]).splitlines()]
        case _:
            return [(place.line, _value_words(path, place, items))]


def _value_words(path: str, place: Place, items: Sequence[dict[str, Any]]) -> str:
    if items[0]["loc"][-1] == "[key]":
        return f"{path}: the name is not allowed; allowed: {_allowed(items[0])}"
    allowed = list(dict.fromkeys(_allowed(item) for item in items))
    literals = [
        word for item in items for word in re.findall(r"'([^']*)'", str(item.get("ctx", {}).get("expected", "")))
    ]
    shown = _shown(place.node)
    hint = nearest(place.node.value, literals) if isinstance(place.node, yaml.ScalarNode) else ""
    return f"{path}: {shown} is not allowed; allowed: {' or '.join(allowed)}{hint}"


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list" if node.value else "an empty list"
    text = str(node.value)
    if node.tag.endswith(":null"):
        return "no value"
    return repr(text if len(text) <= 60 else f"{text[:60]}…") if node.tag.endswith(":str") else text


def _allowed(item: dict[str, Any]) -> str:
    """What would have been allowed."""
    ctx, kind = item.get("ctx", {}), item["type"]
    if kind == "literal_error":
        return str(ctx["expected"]).replace("'", "")
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(ctx["pattern"], f"text that matches {ctx['pattern']}")
    if kind == "model_type":
        return f"a mapping with {', '.join(_keys(item['loc']))}"
    if kind in _LIMITS:
        return _LIMITS[kind].format(**ctx)
    return _KINDS.get(kind, str(item["msg"]).removeprefix("Input should be "))


def _model_words(location: Location, text: str, document: Document) -> tuple[int, str]:
    """A validator's own text, at the line of the first of its words that is a key there."""
    path, outer = ".".join(map(str, location)), document.place(location)
    for position, word in enumerate(re.findall(r"[A-Za-z0-9_.]+", text)):
        inner = document.place((*location, *word.strip(".").split(".")))
        if len(inner.location) > len(outer.location):
            joint = "." if position == 0 else ": "
            return inner.line, f"{path}{joint}{text}" if path else text
    return outer.line, f"{path}: {text}" if path else text


def _model_at(location: Sequence[str | int]) -> type[BaseModel] | None:
    """The model whose keys stand at a location of a spec (tags of unions in it are passed over)."""
    model: type[BaseModel] | None = Pipeline
    inside_dict = False
    for part in location:
        if inside_dict:
            inside_dict = False
            continue
        if model is None or part not in model.model_fields:
            continue
        annotation = model.model_fields[str(part)].annotation
        inside_dict = "dict[" in str(annotation)
        model = _inner_model(annotation)
    return None if inside_dict else model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for item in get_args(annotation) if (found := _inner_model(item))), None)


def _keys(location: Sequence[str | int]) -> list[str]:
    model = _model_at(location)
    return list(model.model_fields) if model else []


def _field_words(location: Location) -> str:
    """What belongs under a missing key."""
    keys = _keys(location)
    model = _model_at(location[:-1])
    annotation = model.model_fields[str(location[-1])].annotation if model else None
    if keys and "dict[" not in str(annotation):
        return f"a mapping with {', '.join(keys)}"
    literals = [str(word) for word in get_args(annotation) if isinstance(word, str)]
    if literals:
        return "one of " + ", ".join(literals)
    kinds = {str: "text", int: "an integer", float: "a number"}
    kind = kinds.get(annotation) if isinstance(annotation, type) else None
    words = str(annotation)
    return kind or ("names with their keys" if "dict[" in words else "a list" if "tuple[" in words else "a date")
