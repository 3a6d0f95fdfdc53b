"""The demo's flights land one day at a time, and only what changed is written."""

import csv
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from nightshift import storage
from nightshift.demo import LANDERS
from nightshift.demo.flights import ACTUALS, SCHEDULE, SNAPSHOTS, WEATHER, land
from nightshift.demo.new_york import FIRST, LAST
from nightshift.errors import NightshiftError
from nightshift.settings import Settings
from nightshift.specs.load import load
from tests.conftest import PROJECT

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings.from_env({"NIGHTSHIFT_VAR": str(tmp_path_factory.mktemp("year"))})
    land(settings, FIRST, LAST, lambda line: None)
    return settings


def _rows(settings: Settings, source: str, partition: str) -> list[dict[str, str]]:
    path = Path(settings.landing, "flights", source, partition, f"{source}.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_flight_of_the_year_lands_once_with_an_id_of_its_own(year: Settings) -> None:
    total = 0
    for number in range(365):
        partition = f"ds={FIRST + timedelta(days=number)}"
        schedule, actuals = (_rows(year, source, partition) for source in ("schedule", "actuals"))
        ids = [row["flight_id"] for row in schedule]
        assert len(set(ids)) == len(ids)
        assert ids == sorted(ids) == [row["flight_id"] for row in actuals]
        total += len(ids)

    assert total == 336_776


def test_days_are_those_of_new_york_and_instants_are_utc(year: Settings) -> None:
    for day in (date(2013, 3, 10), date(2013, 7, 1), date(2013, 11, 3)):
        for row in _rows(year, "schedule", f"ds={day}"):
            local = datetime.fromisoformat(row["sched_dep"]).astimezone(NEW_YORK)
            assert (local.date(), local.hour * 100 + local.minute) == (day, int(row["sched_dep_time"]))
        hours = [datetime.fromisoformat(row["observed_at"]) for row in _rows(year, "weather", f"ds={day}")]
        assert {hour.astimezone(NEW_YORK).date() for hour in hours} == {day}

    spring = {row["observed_at"][11:13] for row in _rows(year, "weather", "ds=2013-03-10") if row["origin"] == "JFK"}
    assert len(spring) == 23


def test_schedule_says_nothing_of_the_outcome(year: Settings) -> None:
    assert set(_rows(year, "schedule", "ds=2013-02-09")[0]) == set(SCHEDULE)
    assert not {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "cancelled"} & set(SCHEDULE)


def test_cancelled_diverted_and_arrived_flights_are_told_apart(year: Settings) -> None:
    rows = _rows(year, "actuals", "ds=2013-02-09")
    cancelled = [row for row in rows if row["cancelled"] == "true"]
    diverted = [row for row in rows if row["diverted"] == "true"]

    assert len(cancelled) == 393
    assert all(row["dep_delay"] == "" and row["arr_delay"] == "" for row in cancelled)
    assert all(row["dep_delay"] != "" and row["arr_delay"] == "" for row in diverted)
    assert all(row["arr_delay"] != "" for row in rows if row not in cancelled and row not in diverted)


def test_landed_columns_are_those_of_the_spec(year: Settings) -> None:
    pipeline = load(PROJECT / "include" / "pipelines" / "flights.yaml")
    for source, columns in {"schedule": SCHEDULE, "actuals": ACTUALS, "weather": WEATHER, **SNAPSHOTS}.items():
        assert set(columns) == set(pipeline.inputs[source].columns), source


def test_landing_again_touches_nothing_and_repairs_what_was_changed(settings: Settings) -> None:
    first, last = date(2013, 5, 1), date(2013, 5, 2)
    lines: list[str] = []
    assert LANDERS["flights"](settings, first, last, lines.append) == 8
    assert lines == [
        "schedule: 2 files written",
        "actuals: 2 files written",
        "weather: 2 files written",
        "planes: 1 files written",
        "airports: 1 files written",
    ]
    before = {file.uri: file for file in storage.list_files(settings.landing, recursive=True)}
    changed = Path(settings.landing, "flights/actuals/ds=2013-05-02/actuals.csv")
    content = changed.read_bytes()

    assert land(settings, first, last, lines.append) == 0
    assert lines[-1] == "airports: unchanged"
    changed.write_bytes(content[:-20])
    assert land(settings, first, last, lines.append) == 1

    assert changed.read_bytes() == content
    after = {file.uri: file for file in storage.list_files(settings.landing, recursive=True)}
    assert {uri for uri in after if after[uri] != before.get(uri)} == {str(changed)}


@pytest.mark.parametrize(
    ("first", "last"),
    [(date(2012, 12, 31), FIRST), (LAST, date(2014, 1, 1)), (date(2013, 5, 2), date(2013, 5, 1))],
)
def test_days_without_data_are_refused(settings: Settings, first: date, last: date) -> None:
    with pytest.raises(NightshiftError) as caught:
        land(settings, first, last, lambda line: None)

    assert str(caught.value) == (
        f"there are no flights from {first} to {last}. "
        "Allowed: days from 2013-01-01 to 2013-12-31, the first not after the last."
    )
