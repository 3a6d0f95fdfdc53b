"""The flights of 2013 from New York, landed as upstream systems would drop them, one day at a time.

``actuals`` of a day are taken as delivered by the cutoff of the next one; the data do not say when an outcome was
recorded.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date

from nightshift import storage
from nightshift.demo.new_york import FIRST, NOT_KNOWN, Row, by_day, check_days, csv_lines, drop, flights, table
from nightshift.settings import Settings

AS_OF = FIRST

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
    check_days(first, last)
    written = {"schedule": 0, "actuals": 0, "weather": 0, **dict.fromkeys(SNAPSHOTS, 0)}
    for day, flown in by_day(flights(), first, last):
        written["schedule"] += _drop(settings, "schedule", f"ds={day}", SCHEDULE, map(_scheduled, flown))
        written["actuals"] += _drop(settings, "actuals", f"ds={day}", ACTUALS, map(_actual, flown))
    for day, hours in by_day(table("weather.csv"), first, last):
        written["weather"] += _drop(settings, "weather", f"ds={day}", WEATHER, map(_observed, hours))
    for source, columns in SNAPSHOTS.items():
        written[source] += _drop(settings, source, f"as_of={AS_OF}", columns, table(f"{source}.csv"))
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


def _drop(settings: Settings, source: str, partition: str, columns: Sequence[str], rows: Iterable[Row]) -> bool:
    """Write one file, its lines sorted; says whether it wrote."""
    uri = storage.join(settings.landing, "flights", source, partition, f"{source}.csv")
    return drop(uri, csv_lines(columns, rows))
