"""What lands for departures says nothing that is not known at noon, and fits the spec."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq

from nightshift.demo import LANDERS
from nightshift.demo.departures import WEATHER, delays, morning, scheduled
from nightshift.settings import Settings
from nightshift.specs.load import load
from tests.conftest import PROJECT


def flight(hour: int, minute: int, delay: str, carrier: str = "UA") -> dict[str, str]:
    left = "NA" if delay == "NA" else "any"
    when = {"hour": str(hour), "minute": str(minute), "dep_delay": delay, "dep_time": left}
    return {"origin": "JFK", "carrier": carrier, "distance": "100", **when}


def test_the_morning_knows_only_what_had_left_by_noon() -> None:
    gone, late = flight(6, 0, "-2"), flight(11, 30, "29")
    after_noon, after_midnight = flight(11, 30, "30"), flight(11, 50, "800")
    cancelled, afternoon = flight(9, 0, "NA"), flight(12, 0, "-10")

    assert morning([gone, late, after_noon, after_midnight, cancelled, afternoon]) == [
        {"origin": "JFK", "departures": 5, "departed": 2, "late": 1, "minutes": 27}
    ]


def test_hours_are_those_after_noon() -> None:
    flown = [flight(12, 59, "5"), flight(13, 0, "60"), flight(13, 59, "NA", "DL"), flight(23, 0, "NA")]

    assert scheduled(flown) == [
        {"origin": "JFK", "hour": 13, "departures": 2, "carriers": 2, "miles": 200},
        {"origin": "JFK", "hour": 23, "departures": 1, "carriers": 1, "miles": 100},
    ]
    assert delays(flown) == [
        {"origin": "JFK", "hour": 13, "departures": 2, "departed": 1, "minutes": 60},
        {"origin": "JFK", "hour": 23, "departures": 1, "departed": 0, "minutes": 0},
    ]


def test_files_fit_the_spec_and_landing_again_writes_nothing(settings: Settings) -> None:
    first, last = date(2013, 3, 9), date(2013, 3, 11)  # daylight saving begins on the 10th
    pipeline = load(PROJECT / "include" / "pipelines" / "departures.yaml")

    assert LANDERS["departures"](settings, first, last, lambda line: None) == 12
    assert LANDERS["departures"](settings, first, last, lambda line: None) == 0
    landing = Path(settings.landing, "departures")
    for source in ("schedule", "morning", "delays"):
        file = landing / source / "ds=2013-03-10" / f"{source}.parquet"
        assert set(pq.read_schema(file).names) == set(pipeline.inputs[source].columns), source
    assert set(WEATHER) == set(pipeline.inputs["weather"].columns)
    newest = {}
    for ds in ("2013-03-09", "2013-03-10"):
        rows = (landing / "weather" / f"ds={ds}" / "weather.csv").read_text().splitlines()[1:]
        newest[ds] = max(datetime.fromisoformat(row.split(",")[1]) for row in rows)
    assert newest == {
        "2013-03-09": datetime(2013, 3, 9, 16, tzinfo=UTC),
        "2013-03-10": datetime(2013, 3, 10, 15, tzinfo=UTC),
    }
