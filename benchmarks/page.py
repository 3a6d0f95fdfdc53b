"""``results.json``, and what of ``docs/benchmarks.md`` is made of it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.figures import Cell, Figure, Result, Table
from benchmarks.measure import PROJECT

RESULTS = PROJECT / "benchmarks" / "results.json"
PAGE = PROJECT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- begin: made by `make bench` -->", "<!-- end -->"

HEADS = ("what", "unit", "ours", "beside", "theirs", "ratio", "target", "met")


def merged(before: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """New results over those that are there; none stays that comes from another machine or from other versions."""
    same = all(before.get(key) == found[key] for key in ("machine", "versions"))
    kept = before["benchmarks"] if same else {}
    return {**found, "benchmarks": {**kept, **found["benchmarks"]}}


def rendered(document: Mapping[str, Any]) -> str:
    """The part of the page between its markers."""
    named = {name: Result.read(item) for name, item in document["benchmarks"].items()}
    rows = [_row(name, figure) for name, result in named.items() for figure in result.figures]
    machine = ", ".join(document["machine"].values())
    versions = ", ".join(f"{name} {value}" for name, value in document["versions"].items())
    dates = sorted({item["date"] for item in document["benchmarks"].values()})
    parts = [
        f"Measured on {' and '.join(dates)}: {machine}; {versions}.",
        _markdown(("benchmark", *HEADS), rows),
        *(f"**{table.title}**\n\n{_table(table)}" for result in named.values() for table in result.tables),
    ]
    return "\n\n".join(parts)


def written(page: str, document: Mapping[str, Any]) -> str:
    """The page with that part made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{rendered(document)}\n\n{END}{after}"


def save(found: Mapping[str, Any]) -> None:
    """Write both files."""
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"benchmarks": {}}
    document = merged(before, found)
    RESULTS.write_text(json.dumps(document, indent=1) + "\n")
    PAGE.write_text(written(PAGE.read_text(), document))


def number(value: Cell) -> str:
    """A measure for people: a count whole, else two or three digits, more where it is large."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or not value else f"{value:.3f}"


def _row(name: str, figure: Figure) -> tuple[str, ...]:
    target = "" if figure.target is None else f"{figure.target.kind} {number(figure.target.bound)}"
    met = {None: "", True: "yes", False: "**no**"}[figure.met]
    values = (number(figure.ours), figure.peer, number(figure.theirs), number(figure.ratio))
    return (name, figure.name, figure.unit, *values, target, met)


def _table(table: Table) -> str:
    return _markdown(table.heads, [tuple(number(cell) for cell in row) for row in table.rows])


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
