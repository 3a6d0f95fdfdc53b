"""What a fault test says of its fault, for the table of ``docs/reliability.md``."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Fault:
    """What was done to the platform, what the operator sees, and what brings the day back."""

    what: str
    seen: str
    recovery: str


def fault(what: str, *, seen: str, recovery: str) -> pytest.MarkDecorator:
    """Marks the test of a fault."""
    return pytest.mark.fault(Fault(what, seen, recovery))


def table() -> str:
    """The faults of all tests, as the table of the page."""
    rows = ["| what happens | what one sees | what brings the day back | test |", "|---|---|---|---|"]
    rows += [f"| {one.what} | {one.seen} | {one.recovery} | `{test}` |" for test, one in _faults()]
    return "\n".join(rows)


def _faults() -> Iterator[tuple[str, Fault]]:
    for path in sorted(FOLDER.glob("test_*.py")):
        module = importlib.import_module(f"tests.faults.{path.stem}")
        for name, item in vars(module).items():
            marks: list[Any] = getattr(item, "pytestmark", []) if name.startswith("test_") else []
            yield from ((f"{path.stem}::{name}", mark.args[0]) for mark in marks if mark.name == "fault")
