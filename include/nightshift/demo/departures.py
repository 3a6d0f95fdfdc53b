"""How late New York's airports run after noon, hour by hour, landed as upstream systems would drop it.

Three feeds of counts as Parquet and one of observations as CSV: ``schedule`` and ``morning`` come at noon of the day
itself, so that they say nothing of what happened after it; ``delays`` are taken as delivered two days later.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from nightshift import storage
from nightshift.demo.new_york import NOT_KNOWN, Row, by_day, check_days, csv_lines, drop, flights, table
from nightshift.settings import Settings

NEW_YORK = ZoneInfo("America/New_York")
NOON = 12 * 60  # minutes of the day
FIRST_HOUR = 13  # what leaves within the hour after noon is not asked for: it has been boarding
LATE_MINUTES = 15
WEATHER = ("origin", "observed_at", "temp", "wind_speed", "precip", "pressure", "visib")

Counts = Mapping[str, Any]


def land(settings: Settings, first: date, last: date, report: Callable[[str], None]) -> int:
    """Land the days from ``first`` to ``last``, both included; returns the files written.

    A file that is there with the same content is left untouched. Raises NightshiftError for days outside 2013.
    """
    check_days(first, last)
    written = {"schedule": 0, "morning": 0, "delays": 0, "weather": 0}
    for day, flown in by_day(flights(), first, last):
        for source, rows in (("schedule", scheduled(flown)), ("morning", morning(flown)), ("delays", delays(flown))):
            written[source] += drop(_uri(settings, source, day, "parquet"), _parquet(rows))
    for day, hours in by_day(table("weather.csv"), first, last):
        written["weather"] += drop(_uri(settings, "weather", day, "csv"), csv_lines(WEATHER, observed(day, hours)))
    for source, files in written.items():
        report(f"{source}: {files} files written" if files else f"{source}: unchanged")
    return sum(written.values())


def scheduled(flown: Iterable[Row]) -> Sequence[Counts]:
    """The plan of each airport for each hour after noon: departures, carriers, and the miles of all."""
    return [
        {
            "origin": origin,
            "hour": hour,
            "departures": len(found),
            "carriers": len({row["carrier"] for row in found}),
            "miles": sum(int(row["distance"]) for row in found),
        }
        for (origin, hour), found in _hours(row for row in flown if int(row["hour"]) >= FIRST_HOUR)
    ]


def delays(flown: Iterable[Row]) -> Sequence[Counts]:
    """The outcome of each hour after noon: departures, those that left, and by how many minutes in total too late."""
    found = []
    for (origin, hour), rows in _hours(row for row in flown if int(row["hour"]) >= FIRST_HOUR):
        left = [_delay(row) for row in rows if _left(row)]
        counts = {"departures": len(rows), "departed": len(left), "minutes": sum(left)}
        found.append({"origin": origin, "hour": hour, **counts})
    return found


def morning(flown: Iterable[Row]) -> Sequence[Counts]:
    """The flights that were to leave before noon, as one sees them then; of those still there only that they are."""
    airports: dict[str, list[Row]] = defaultdict(list)
    for row in flown:
        if _minute(row) < NOON:
            airports[row["origin"]].append(row)
    found = []
    for origin, rows in sorted(airports.items()):
        left = [_delay(row) for row in rows if _left(row) and _minute(row) + _delay(row) < NOON]
        late = sum(delay >= LATE_MINUTES for delay in left)
        counts = {"departures": len(rows), "departed": len(left), "late": late, "minutes": sum(left)}
        found.append({"origin": origin, **counts})
    return found


def observed(day: date, hours: Iterable[Row]) -> list[Row]:
    """The observations of a day before its noon."""
    noon = datetime.combine(day, time(12), tzinfo=NEW_YORK).astimezone(UTC)
    return [
        {**row, "observed_at": row["time_hour"]} for row in hours if datetime.fromisoformat(row["time_hour"]) < noon
    ]


def _hours(flown: Iterable[Row]) -> Sequence[tuple[tuple[str, int], list[Row]]]:
    found: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in flown:
        found[row["origin"], int(row["hour"])].append(row)
    return sorted(found.items())


def _minute(row: Row) -> int:
    """The minute of the day at which a flight was to leave."""
    return int(row["hour"]) * 60 + int(row["minute"])


def _left(row: Row) -> bool:
    return row["dep_time"] != NOT_KNOWN


def _delay(row: Row) -> int:
    return int(row["dep_delay"])


def _uri(settings: Settings, source: str, day: date, ending: str) -> str:
    return storage.join(settings.landing, "departures", source, f"ds={day}", f"{source}.{ending}")


def _parquet(rows: Sequence[Counts]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), sink)
    return bytes(sink.getvalue())
