import json
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.timetables.base import DagRunInfo, TimeRestriction
from hypothesis import assume, given
from hypothesis import strategies as st

from nightshift.orchestration import timetable as module
from nightshift.orchestration.timetable import CutoffTimetable, business_day
from nightshift.plan import SchedulePlan

ZONES = (
    "UTC", "America/New_York", "America/Los_Angeles", "America/Sao_Paulo", "Europe/Berlin", "Europe/London",
    "Asia/Kolkata", "Asia/Tokyo", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Honolulu",
)  # fmt: skip
DAY = timedelta(days=1)

zones = st.sampled_from(ZONES)
cutoffs = st.times().map(lambda moment: f"{moment.hour:02}:{moment.minute:02}")
days = st.dates(date(1990, 1, 1), date(2039, 12, 1))
lengths = st.integers(0, 40).map(timedelta)


def timetable(
    cutoff: str = "02:00",
    timezone: str = "America/New_York",
    first: date = date(2013, 1, 29),
    last: date | None = date(2014, 1, 1),
    every: str = "day",
) -> CutoffTimetable:
    return CutoffTimetable(SchedulePlan(cutoff, timezone, first, last, every))  # type: ignore[arg-type]


def midnight(ds: date, zone: str = "UTC") -> datetime:
    return datetime(ds.year, ds.month, ds.day, tzinfo=ZoneInfo(zone))


def backfill(table: CutoffTimetable, first: datetime, last: datetime) -> list[DagRunInfo]:
    """What `airflow backfill create` asks, as Airflow's own SerializedDAG.iter_dagrun_infos_between does."""
    restriction = TimeRestriction(pendulum.instance(first), pendulum.instance(last), catchup=True)
    infos: list[DagRunInfo] = []
    info = None
    while info := table.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction):
        infos.append(info)
    return infos


def days_of(infos: list[DagRunInfo]) -> list[date]:
    return [info.logical_date.date() for info in infos]  # type: ignore[union-attr]


def scheduled(table: CutoffTimetable, last: date | None, now: datetime, monkeypatch: pytest.MonkeyPatch) -> date | None:
    """What the scheduler asks at a moment, for a DAG without catchup whose newest run is that of ``last``."""
    monkeypatch.setattr(module, "datetime", SimpleNamespace(now=now.astimezone, combine=datetime.combine))
    interval = module._interval(last) if last else None
    info = table.next_dagrun_info(
        last_automated_data_interval=interval, restriction=TimeRestriction(None, None, catchup=False)
    )
    return info.logical_date.date() if info else None  # type: ignore[union-attr]


class TestBackfill:
    @given(cutoffs, zones, days, lengths)
    def test_has_every_day_from_end_to_end_with_both_ends(
        self, cutoff: str, zone: str, first: date, length: timedelta
    ) -> None:
        table = timetable(cutoff, zone, date(1990, 1, 1), None)
        infos = backfill(table, midnight(first), midnight(first + length))
        assert days_of(infos) == [first + n * DAY for n in range(length.days + 1)]

    @given(cutoffs, zones, zones, days, lengths)
    def test_plain_dates_of_the_pipelines_timezone_mean_the_same_days(
        self, cutoff: str, zone: str, other: str, first: date, length: timedelta
    ) -> None:
        table = timetable(cutoff, zone, date(1990, 1, 1), None)
        local = [midnight(first, zone), midnight(first + length, zone)]
        # Samoa had no 2011-12-30 at all: there is no moment that could mean it.
        assume(
            all(moment.astimezone(UTC).astimezone(ZoneInfo(zone)).date() in (first, first + length) for moment in local)
        )
        assert days_of(backfill(table, *local)) == [first + n * DAY for n in range(length.days + 1)]

    @given(cutoffs, zones, days)
    def test_a_run_comes_at_the_cutoff_and_its_logical_date_is_midnight_utc(
        self, cutoff: str, zone: str, ds: date
    ) -> None:
        [info] = backfill(timetable(cutoff, zone, date(1990, 1, 1), None), midnight(ds), midnight(ds))
        assert info.logical_date == midnight(ds)
        local = info.run_after.astimezone(ZoneInfo(zone))
        hour, minute = map(int, cutoff.split(":"))
        wall = datetime(ds.year, ds.month, ds.day, hour, minute)
        skipped = wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assert local.replace(tzinfo=None) == skipped
        assert skipped >= wall

    @given(zones, days, days, lengths)
    def test_stays_within_the_specs_range(self, zone: str, first: date, start: date, length: timedelta) -> None:
        table = timetable(timezone=zone, first=start, last=start + 10 * DAY)
        found = days_of(backfill(table, midnight(first), midnight(first + length)))
        wanted = [first + n * DAY for n in range(length.days + 1)]
        assert found == [ds for ds in wanted if start <= ds <= start + 10 * DAY]

    def test_the_cutoff_that_new_york_skipped_moves_forward(self) -> None:
        infos = backfill(timetable(), midnight(date(2013, 3, 9)), midnight(date(2013, 3, 11)))
        assert [info.run_after.isoformat() for info in infos] == [
            "2013-03-09T07:00:00+00:00",
            "2013-03-10T07:00:00+00:00",  # 03:00 in daylight saving time: 02:00 did not exist
            "2013-03-11T06:00:00+00:00",
        ]

    def test_of_the_cutoff_that_new_york_had_twice_it_is_the_first(self) -> None:
        [info] = backfill(timetable("01:30"), midnight(date(2013, 11, 3)), midnight(date(2013, 11, 3)))
        assert info.run_after.isoformat() == "2013-11-03T05:30:00+00:00"

    def test_plain_dates_of_airflows_own_timezone_mean_the_same_days(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("airflow.settings.TIMEZONE", pendulum.timezone("Europe/Berlin"))
        bounds = [midnight(date(2013, 3, day), "Europe/Berlin") for day in (30, 31)]
        assert days_of(backfill(timetable(), *bounds)) == [date(2013, 3, 30), date(2013, 3, 31)]

    def test_a_bound_within_a_day_leaves_the_day_out(self) -> None:
        first, last = datetime(2013, 3, 1, 7, 13, tzinfo=UTC), datetime(2013, 3, 4, 7, 13, tzinfo=UTC)
        found = days_of(backfill(timetable(), first, last))
        assert found == [date(2013, 3, 2), date(2013, 3, 3), date(2013, 3, 4)]

    @given(days, lengths)
    def test_weekly_runs_are_those_of_mondays(self, first: date, length: timedelta) -> None:
        table = timetable(first=date(1990, 1, 1), last=None, every="week")
        found = days_of(backfill(table, midnight(first), midnight(first + length)))
        wanted = [first + n * DAY for n in range(length.days + 1)]
        assert found == [ds for ds in wanted if ds.isoweekday() == 1]

    def test_what_is_never_scheduled_can_be_backfilled_for_any_day(self) -> None:
        infos = backfill(timetable(every="never"), midnight(date(2013, 3, 5)), midnight(date(2013, 3, 7)))
        assert days_of(infos) == [date(2013, 3, 5), date(2013, 3, 6), date(2013, 3, 7)]


class TestScheduler:
    def open_ended(self, every: str = "day") -> CutoffTimetable:
        return timetable(last=None, every=every)

    def test_a_new_dag_begins_with_the_next_cutoff(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 23, 12, tzinfo=UTC)
        assert scheduled(self.open_ended(), None, now, monkeypatch) == date(2026, 11, 24)

    def test_a_new_dag_does_not_lose_the_night_to_a_parse_just_after_the_cutoff(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = datetime(2026, 11, 24, 7, 20, tzinfo=UTC)  # 02:20 in New York
        assert scheduled(self.open_ended(), None, now, monkeypatch) == date(2026, 11, 24)

    def test_runs_follow_each_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 24, 7, 0, 1, tzinfo=UTC)
        assert scheduled(self.open_ended(), date(2026, 11, 24), now, monkeypatch) == date(2026, 11, 25)

    def test_after_an_outage_only_the_newest_night_is_made_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 24, 15, tzinfo=UTC)
        assert scheduled(self.open_ended(), date(2026, 11, 20), now, monkeypatch) == date(2026, 11, 24)

    def test_a_range_that_is_over_has_no_next_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 24, 15, tzinfo=UTC)
        assert scheduled(timetable(), None, now, monkeypatch) is None
        assert scheduled(timetable(), date(2013, 3, 1), now, monkeypatch) is None

    def test_the_last_runs_of_a_range_are_for_labels(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2013, 12, 31, 12, tzinfo=UTC)
        assert scheduled(timetable(), date(2013, 12, 31), now, monkeypatch) == date(2014, 1, 1)
        assert scheduled(timetable(), date(2014, 1, 1), now + 3 * DAY, monkeypatch) is None

    def test_weekly_runs_come_on_mondays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday
        assert scheduled(self.open_ended("week"), date(2026, 11, 23), now, monkeypatch) == date(2026, 11, 30)

    def test_a_weekly_run_is_not_lost_to_a_parse_after_its_cutoff(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 23, 7, 30, tzinfo=UTC)  # the Monday, half past two in New York
        assert scheduled(self.open_ended("week"), date(2026, 11, 16), now, monkeypatch) == date(2026, 11, 23)

    def test_a_monday_that_an_outage_missed_is_made_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 25, 12, tzinfo=UTC)  # the Wednesday after it
        assert scheduled(self.open_ended("week"), date(2026, 11, 9), now, monkeypatch) == date(2026, 11, 23)

    def test_never_means_never(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 24, 15, tzinfo=UTC)
        assert scheduled(self.open_ended("never"), None, now, monkeypatch) is None
        assert scheduled(self.open_ended("never"), date(2026, 11, 23), now, monkeypatch) is None


class TestManualRuns:
    @given(zones, days)
    def test_a_logical_date_means_its_ds(self, zone: str, ds: date) -> None:
        table = timetable(timezone=zone)
        interval = table.infer_manual_data_interval(run_after=pendulum.instance(midnight(ds)))
        assert interval.start == interval.end == midnight(ds)

    def test_a_moment_of_the_day_means_its_day_in_utc(self) -> None:
        moment = datetime(2013, 3, 10, 23, 59, tzinfo=UTC)
        assert business_day(moment, ZoneInfo("Asia/Tokyo")) == date(2013, 3, 10)

    def test_midnight_where_the_pipeline_is_means_the_day_there(self) -> None:
        assert business_day(datetime(2013, 3, 9, 15, tzinfo=UTC), ZoneInfo("Asia/Tokyo")) == date(2013, 3, 10)
        assert business_day(datetime(2013, 3, 9, 15, tzinfo=UTC), ZoneInfo("America/New_York")) == date(2013, 3, 9)

    def test_a_midnight_that_daylight_saving_skipped_is_the_days_first_moment(self) -> None:
        first = datetime(2013, 10, 20, 3, tzinfo=UTC)  # 01:00 in Sao Paulo
        assert business_day(first, ZoneInfo("America/Sao_Paulo"), up=True) == date(2013, 10, 20)


class TestItself:
    def test_what_people_read(self) -> None:
        table = timetable()
        assert table.summary == "02:00 America/New_York"
        assert table.description == (
            "Every day at the cutoff 02:00 America/New_York, business dates 2013-01-29 to 2014-01-01"
        )
        assert timetable(every="never", last=None).summary == "by hand or by backfill"

    @given(cutoffs, zones, days, st.none() | lengths, st.sampled_from(["day", "week", "never"]))
    def test_is_the_same_after_a_trip_through_json(
        self, cutoff: str, zone: str, first: date, length: timedelta | None, every: str
    ) -> None:
        table = timetable(cutoff, zone, first, None if length is None else first + length, every)
        assert CutoffTimetable.deserialize(json.loads(json.dumps(table.serialize()))).plan == table.plan
