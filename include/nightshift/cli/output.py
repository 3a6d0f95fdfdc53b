"""What commands print: documents and tables on standard output, progress on standard error."""

import json
import logging
import sys
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any

import typer

from nightshift.aligned import aligned
from nightshift.run_day import iso_day

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
VerifyLanding = Annotated[
    bool, typer.Option("--verify-landing", help="Read the landing files again, whatever their size and time say.")
]
PipelineName = Annotated[str, typer.Argument(metavar="PIPELINE", help="Name of the pipeline.")]


def day(text: str) -> date:
    """A business date given on the command line."""
    found = iso_day(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a day; write it as YYYY-MM-DD")
    return found


def moment(text: str) -> datetime:
    """A moment given on the command line, with or without its offset."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a moment; write it as 2013-03-04T12:00+00:00") from None


Ds = Annotated[date, typer.Option("--ds", parser=day, metavar="DAY", help="Business date, YYYY-MM-DD.")]


def emit(as_json: bool, document: Any, text: str) -> None:
    """Prints the document as JSON, or the text for people."""
    if as_json:
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, default=str)
    print(text, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows under a header in aligned columns; numbers to the right, None as a dash."""
    right = [bool(rows) and all(isinstance(row[column], int | float) for row in rows) for column in range(len(header))]
    return aligned([header, *([_cell(value) for value in row] for row in rows)], right)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return value.strftime("%Y-%m-%d %H:%M:%SZ") if isinstance(value, datetime) else str(value)


def progress() -> None:
    """Sends what the library logs to standard error."""
    logger = logging.getLogger("nightshift")
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
