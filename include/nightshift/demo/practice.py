"""Made-up rows for the pipeline that ``nightshift new practice`` writes, so that one can see a day before having data.

The same day always has the same bytes.
"""

import csv
import io
import random
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from nightshift import storage
from nightshift.demo.new_york import drop
from nightshift.errors import NightshiftError
from nightshift.settings import Settings

COLUMNS = {"items": ("item_id", "kind", "size"), "outcomes": ("item_id", "kind", "outcome")}
KINDS = {"box": 20.0, "crate": 60.0, "drum": 45.0, "sack": 10.0}
ROWS = 40


def land(settings: Settings, first: date, last: date, report: Callable[[str], None]) -> int:
    """Land the days from ``first`` to ``last``, both included; returns the files written.

    Raises NightshiftError where the first is after the last.
    """
    if first > last:
        raise NightshiftError(f"there is no day from {first} to {last}", allowed="a first day not after the last")
    written = dict.fromkeys(COLUMNS, 0)
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        for source, rows in zip(COLUMNS, _rows(day), strict=True):
            uri = storage.join(settings.landing, "practice", source, f"ds={day}", f"{source}.csv")
            written[source] += drop(uri, _lines(COLUMNS[source], rows))
    for source, files in written.items():
        report(f"{source}: {files} files written" if files else f"{source}: unchanged")
    return sum(written.values())


def _rows(day: date) -> tuple[list[Sequence[object]], list[Sequence[object]]]:
    """The items of a day, and what became of them: more for large ones, and at weekends."""
    dice = random.Random(day.isoformat())  # noqa: S311  made-up data
    items: list[Sequence[object]] = []
    outcomes: list[Sequence[object]] = []
    for number in range(ROWS):
        item, kind, size = f"{day:%m%d}-{number:02d}", dice.choice(sorted(KINDS)), round(dice.uniform(1, 100), 1)
        outcome = KINDS[kind] + 0.8 * size + (15 if day.isoweekday() > 5 else 0) + dice.gauss(0, 5)
        items.append((item, kind, "" if dice.random() < 0.05 else size))
        outcomes.append((item, kind, round(max(outcome, 0), 2)))
    return items, outcomes


def _lines(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue().encode()
