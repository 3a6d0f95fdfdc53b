from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.specs.calendar import current_ds, cutoff, days, due, label_day, last_run, training_days
from nightshift.specs.model import Schedule
from tests.conftest import make_pipeline, spec_document

ZONES = [
    "America/New_York",
    "Europe/Zurich",
    "Europe/London",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Asia/Kathmandu",
    "America/Sao_Paulo",  # skipped midnight until 2018
    "Pacific/Apia",  # skipped the whole 2011-12-30
    "Africa/Casablanca",
    "UTC",
]


def _schedule(cutoff_at: str, zone: str) -> Schedule:
    return Schedule(cutoff=cutoff_at, timezone=zone, start=date(2000, 1, 1))


SCHEDULES = st.builds(
    _schedule,
    st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59)),
    st.sampled_from(ZONES),
)
DAYS = st.dates(date(2000, 1, 1), date(2035, 12, 31)) | st.sampled_from(
    [
        date(2013, 3, 10),
        date(2013, 11, 3),
        date(2011, 12, 30),
        date(2011, 12, 31),
        date(2017, 10, 15),
        date(2024, 3, 31),
    ]
)


@pytest.mark.parametrize(
    ("at", "zone", "ds", "utc"),
    [
        ("02:00", "America/New_York", "2013-03-09", "2013-03-09T07:00"),
        ("02:00", "America/New_York", "2013-03-10", "2013-03-10T07:00"),  # skipped: 03:00 EDT
        ("02:30", "America/New_York", "2013-03-10", "2013-03-10T07:30"),  # skipped: 03:30 EDT
        ("03:00", "America/New_York", "2013-03-10", "2013-03-10T07:00"),
        ("02:00", "America/New_York", "2013-03-11", "2013-03-11T06:00"),
        ("01:30", "America/New_York", "2013-11-03", "2013-11-03T05:30"),  # ambiguous: the first, EDT
        ("02:00", "America/New_York", "2013-11-03", "2013-11-03T07:00"),
        ("02:30", "Europe/Zurich", "2024-03-31", "2024-03-31T01:30"),  # skipped: 03:30 CEST
        ("02:30", "Europe/Zurich", "2024-10-27", "2024-10-27T00:30"),  # ambiguous: the first, CEST
        ("02:15", "Australia/Lord_Howe", "2024-10-06", "2024-10-05T15:45"),  # skipped: 02:45 at +11
        ("00:00", "America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00"),  # skipped: 01:00 at -2
        ("02:00", "Pacific/Apia", "2011-12-30", "2011-12-30T12:00"),  # a day that was not: 02:00 of the 31st
        ("02:00", "Pacific/Apia", "2011-12-31", "2011-12-30T12:00"),
        ("23:59", "Asia/Kathmandu", "2024-01-01", "2024-01-01T18:14"),
    ],
)
def test_the_cutoff_of_a_day(at: str, zone: str, ds: str, utc: str) -> None:
    found = cutoff(_schedule(at, zone), date.fromisoformat(ds))
    assert found == datetime.fromisoformat(f"{utc}+00:00")
    assert found.tzinfo is UTC


@given(SCHEDULES, DAYS)
def test_cutoffs_are_in_the_order_of_their_days(schedule: Schedule, ds: date) -> None:
    assert cutoff(schedule, ds) <= cutoff(schedule, ds + timedelta(days=1))


@given(SCHEDULES, DAYS)
def test_a_cutoff_shows_the_declared_time_unless_daylight_saving_skips_it(schedule: Schedule, ds: date) -> None:
    local = cutoff(schedule, ds).astimezone(schedule.zone)
    declared = datetime.combine(ds, datetime.strptime(schedule.cutoff, "%H:%M").time())
    moved = local.replace(tzinfo=None) - declared
    assert moved == timedelta(0) or timedelta(0) < moved <= timedelta(days=1)
    assert local.fold == 0


@given(SCHEDULES, st.datetimes(datetime(2000, 1, 2), datetime(2035, 1, 1)), st.sampled_from(ZONES))
def test_the_current_day_is_the_greatest_whose_cutoff_has_passed(
    schedule: Schedule, moment: datetime, zone: str
) -> None:
    at = moment.replace(tzinfo=_schedule("00:00", zone).zone)
    found = current_ds(schedule, at)
    assert cutoff(schedule, found) <= at < cutoff(schedule, found + timedelta(days=1))


@given(SCHEDULES, DAYS)
def test_a_day_is_current_from_its_cutoff_until_just_before_the_next(schedule: Schedule, ds: date) -> None:
    first, following = cutoff(schedule, ds), cutoff(schedule, ds + timedelta(days=1))
    if first == following:  # the day that Apia skipped
        assert current_ds(schedule, first) == ds + timedelta(days=1)
        return
    assert current_ds(schedule, first) == ds
    assert current_ds(schedule, following - timedelta(microseconds=1)) == ds
    assert current_ds(schedule, first - timedelta(microseconds=1)) < ds


def test_days_include_both_ends() -> None:
    assert days(date(2024, 2, 28), date(2024, 3, 1)) == [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
    assert days(date(2024, 3, 1), date(2024, 3, 1)) == [date(2024, 3, 1)]
    assert days(date(2024, 3, 2), date(2024, 3, 1)) == []


@pytest.mark.parametrize(
    ("as_of", "first", "last"),
    [
        ("2024-03-10", "2024-02-19", "2024-03-09"),  # window 20, label lag 1
        ("2024-02-10", "2024-02-01", "2024-02-09"),  # not before the start
        ("2024-04-10", "2024-03-21", "2024-03-31"),  # not after the end
    ],
)
def test_the_days_that_are_trained_on(as_of: str, first: str, last: str) -> None:
    found = training_days(make_pipeline(), date.fromisoformat(as_of))
    assert (found[0].isoformat(), found[-1].isoformat()) == (first, last)
    assert found == days(found[0], found[-1])


def test_before_any_label_is_mature_there_is_nothing_to_train_on() -> None:
    assert training_days(make_pipeline(), date(2024, 2, 1)) == []
    assert training_days(make_pipeline(), date(2024, 6, 1)) == []


def test_labels_come_their_lag_later_and_runs_go_on_for_them() -> None:
    label = {**spec_document()["label"], "lag": 3}
    pipeline = make_pipeline(label=label)
    assert label_day(pipeline, date(2024, 3, 3)) == date(2024, 2, 29)
    assert last_run(pipeline) == date(2024, 4, 3)
    assert last_run(make_pipeline(schedule={**spec_document()["schedule"], "end": None})) is None


@given(SCHEDULES, st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.integers(0, 59)), DAYS)
def test_a_day_is_due_within_a_day_after_its_cutoff(schedule: Schedule, at: str, ds: date) -> None:
    wanted = schedule.model_copy(update={"deliver_by": at})
    found = due(wanted, ds)
    assert found is not None
    # A clock that is set forward or back brings two times of one day nearer, or apart.
    assert timedelta(hours=-2) <= found - cutoff(wanted, ds) <= timedelta(hours=26)
    local = found.astimezone(wanted.zone)
    assert f"{local:%H:%M}" == at or local.utcoffset() != (local - timedelta(hours=2)).utcoffset()
    assert due(schedule, ds) is None
