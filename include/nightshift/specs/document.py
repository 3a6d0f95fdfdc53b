"""A YAML document as plain data, strictly, with the line of every key.

What YAML 1.1 and YAML 1.2 read differently (``02:00``, ``no``, ``010``, ``1e3``) is refused rather than guessed, as
are duplicate keys, merge keys and tags; a date stays the text that it is. See ``docs/adr/0004-yaml-strictness.md``.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

Location = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_MAPPING, _SEQUENCE, _MERGE, _NULL = (f"{_TAG}{kind}" for kind in ("map", "seq", "merge", "null"))
_RESOLVER: Any = yaml.resolver.Resolver()
# Specs use the same few words again and again. What a word is depends on the word alone, so an answer never gets old.
_WORDS = 8192
_GREATEST = 100_000
_DEEPEST = 200
LARGEST = 1 << 20
"""Bytes of a spec; a longer one is not read."""
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OTHER_NUMBER = re.compile(rf"0o[0-7]+|{_FLOAT.pattern}")
_TIME = re.compile("[0-9]{1,2}:[0-5][0-9]")
_DEEP_LINE = re.compile(rf"^ {{{_DEEPEST // 2}}}", re.MULTILINE)
_DEEPER_IN_LINE = re.compile(r"[-?][ \t]+(?=[-?])")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """Something wrong in a file; ``line`` counts from 1."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@lru_cache(_WORDS)
def _tag(kind: type[yaml.Node], text: str | None, implicit: Any) -> str:
    return str(_RESOLVER.resolve(kind, text, implicit))


def loader(parser: Any) -> Any:
    """One of PyYAML's loaders, that looks for the tag of a word once."""

    class Remembering(parser):  # type: ignore[misc]
        resolve = staticmethod(_tag)

        def descend_resolver(self, *_: Any) -> None:
            """Tags by path, of which there are none."""

        def ascend_resolver(self) -> None:
            """Likewise."""

    return Remembering


Loader = loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@dataclass(frozen=True)
class Place:
    """Where a location leads: how much of it exists, the line of its last key, and what is there."""

    location: Location
    line: int
    node: yaml.Node


@dataclass(frozen=True)
class Document:
    """Plain data (what JSON can say), and the YAML tree that it was read from."""

    data: Any
    root: yaml.Node

    def place(self, location: Sequence[str | int]) -> Place:
        """The place of a location; what does not exist (a missing key, a union's tag) is passed over."""
        found: list[str | int] = []
        node, line = self.root, self.root.start_mark.line + 1
        for part in location:
            step = _step(node, part)
            if step is not None:
                line, node = step
                found.append(part)
        return Place(tuple(found), line, node)


def _step(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None


def _is_too_deep(text: str) -> bool:
    """Whether collections are nested deeper than a spec is. PyYAML's composer recurses: C would end the process.

    Its parser does not, but costs as much as the rest: only a text that may be deep is parsed twice.
    """
    opening = text.count("[") + text.count("{") + len(_DEEPER_IN_LINE.findall(text))
    if opening <= _DEEPEST // 2 and not _DEEP_LINE.search(text):
        return False
    depth = 0
    for event in yaml.parse(text, Loader=Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            return True
    return False


def read_document(file: str, text: str) -> tuple[Document | None, list[Problem]]:
    """The document in ``text``, or everything that keeps it from being one."""
    try:
        if _is_too_deep(text):
            return None, [Problem(file, 1, "not a spec: nested too deeply")]
        root = yaml.compose(text, Loader=Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        words = str(getattr(error, "problem", None) or getattr(error, "reason", "") or "unreadable")
        if words.startswith("but "):
            words = f"{getattr(error, 'context', '')}, {words}"
        line = min(mark.line, text.count("\n")) + 1 if mark else 1  # the mark may stand behind the last line
        return None, [Problem(file, line, f"not valid YAML: {words}")]
    if not isinstance(root, yaml.MappingNode):
        return None, [Problem(file, 1, "not a spec: the file has no keys; it starts with pipeline: <name>")]
    reader = _Reader(file)
    data = reader.value(root, 0)
    return (None if reader.problems else Document(data, root)), reader.problems


@dataclass
class _Reader:
    """Turns nodes into plain data and notes what is wrong on the way."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    seen: int = 0

    def wrong(self, node: yaml.Node, text: str) -> None:
        self.problems.append(Problem(self.file, node.start_mark.line + 1, text))

    def value(self, node: yaml.Node, depth: int) -> Any:
        self.seen += 1
        if depth > _DEEPEST or self.seen > _GREATEST:  # an alias may name what it is part of
            if self.seen <= _GREATEST + 1:
                self.seen = _GREATEST + 2
                self.wrong(node, "nested too deeply or too large; write out what the anchors stand for")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        self.plain_tag(node, _SEQUENCE)
        return [self.value(item, depth + 1) for item in node.value]

    def plain_tag(self, node: yaml.Node, expected: str) -> None:
        if node.tag != expected:
            self.wrong(node, f"the tag {node.tag.replace(_TAG, '!!')} is not allowed: write plain YAML")

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        self.plain_tag(node, _MAPPING)
        data: dict[str, Any] = {}
        first: dict[str, yaml.Node] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.wrong(key, "a key is a word, not a list or a mapping")
                continue
            if key.tag == _MERGE:
                self.wrong(key, "merge keys (<<) are not allowed: write the keys out")
                continue
            name = self.scalar(key)
            if not isinstance(name, str):
                if name is not None or key.tag == _NULL:
                    self.wrong(key, f'the key {key.value or "(empty)"} is not text: quote it: "{key.value}"')
                continue
            if name in first:
                self.wrong(key, f"the key {name} is there twice; first on line {first[name].start_mark.line + 1}")
            else:
                first[name] = key
            data[name] = self.value(item, depth + 1)
        return data

    def scalar(self, node: yaml.ScalarNode) -> Any:
        value, wrong = _scalar(node.value, node.tag, node.style)
        if wrong:
            self.wrong(node, wrong)
        return value


@lru_cache(_WORDS)
def _scalar(text: str, tag: str, style: str | None) -> tuple[Any, str]:
    """What a scalar stands for, and why it is not read. Without a style it is plain."""
    kind = tag.removeprefix(_TAG)
    if _SURROGATE.search(text):
        return None, "the text has half of a surrogate pair: correct the escape"
    if kind == "timestamp" or (kind == "str" and (style or not _OTHER_NUMBER.fullmatch(text))):
        return text, ""
    if kind == "bool" and _BOOLEAN.fullmatch(text):
        return text.lower() == "true", ""
    if kind == "int" and _INTEGER.fullmatch(text):
        return int(text), ""
    if kind == "float" and _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text), ""
    return None, "" if kind == "null" else _unclear(text, kind)


def _unclear(text: str, kind: str) -> str:
    """Why a scalar is not read."""
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    quote = f'quote it: "{shown}"'
    match kind:
        case "bool":
            return f"{shown} is a boolean to some YAML readers and text to others: {quote}, or write true or false"
        case "int" | "float" if ":" in text:
            if _TIME.fullmatch(text):  # a quoted 3:30 would be the next error
                quote = f'quote it: "{text.zfill(5)}"'
            return f"{shown} is a number of base 60 to some YAML readers and text to others: {quote}"
        case "int" | "float" if "_" not in text and (_FLOAT.fullmatch(text) or not any(c.isdigit() for c in text)):
            return f"{shown} is not a number that can be used: write a finite number without leading zeros"
        case "int" | "float" | "str" | "value":
            return f"{shown} is not the same to all YAML readers: {quote}, or write a plain decimal number"
        case _:
            return f"the tag {kind if kind.startswith('!') else '!!' + kind} is not allowed: write plain YAML"
