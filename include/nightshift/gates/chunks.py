"""Expectations that judge each row by itself, over a partition of any size: in pandas, some rows at a time.

So they are answered by one engine, however many rows there are. Another engine has other regular expressions, other
far dates and other nulls.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nightshift.gates.frames import frame_of
from nightshift.gates.run import PandasEngine, Request

if TYPE_CHECKING:
    from pandas import DataFrame

ROWS = 500_000
# They count nulls, and so judge all rows; other expectations on a column judge those that are no nulls.
_OF_NULLS = ("expect_column_values_to_be_null", "expect_column_values_to_not_be_null")


def chunks(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int = ROWS) -> Iterator[pa.Table]:
    """The rows of batches as tables of about ``rows`` rows, in their order; one without rows where there are none."""
    waiting: list[pa.RecordBatch] = []
    empty = True
    for batch in batches:
        waiting.append(batch)
        if sum(item.num_rows for item in waiting) >= rows:
            yield pa.Table.from_batches(waiting)
            waiting, empty = [], False
    if waiting or empty:
        yield pa.Table.from_batches(waiting, schema=waiting[0].schema if waiting else schema)


def judged(
    tables: Iterable[pa.Table],
    checks: Sequence[Request],
    positions: bool,
    gone: Collection[int] = (),
    integers: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """GX's answer to each check over all tables, as ``Engine.validate`` returns it.

    Rows at the positions ``gone`` are left out. ``integers`` has pandas' types of integer columns: a number must look
    the same in each table, as it would in one.
    """
    parts: list[list[dict[str, Any]]] = []
    first = 0
    for table in tables:
        frame = _numbered(frame_of(table, integers), first, gone)
        parts.append(PandasEngine(frame).validate(checks, positions))
        first += table.num_rows
    return [_whole(*check, [part[number] for part in parts]) for number, check in enumerate(checks)]


def _numbered(frame: "DataFrame", first: int, gone: Collection[int]) -> "DataFrame":
    import pandas as pd

    frame.index = pd.RangeIndex(first, first + len(frame))
    return frame.drop(index=list(gone), errors="ignore") if gone else frame


def _whole(name: str, arguments: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One answer of those to the parts, as GX would give it to the whole."""
    counts = {
        count: sum(int(part["result"].get(count) or 0) for part in parts)
        for count in ("element_count", "unexpected_count", "missing_count")
    }
    judged = counts["element_count"] - (0 if name in _OF_NULLS else counts["missing_count"])
    held = (judged - counts["unexpected_count"]) / judged if judged else 1.0
    traceback = "\n".join(part["traceback"] for part in parts if part["traceback"])
    return {
        "success": not traceback and held >= float(arguments.get("mostly", 1)),
        "result": {} if traceback else counts,
        "traceback": traceback,
        "positions": [position for part in parts for position in part["positions"]],
    }
