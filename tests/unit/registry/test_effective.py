from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nightshift.registry.effective import effective_from, next_ds
from nightshift.specs.calendar import cutoff
from nightshift.specs.model import Schedule

NEW_YORK = ZoneInfo("America/New_York")
ZONES = ("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "UTC")


def schedule(timezone: str = "America/New_York", at: str = "02:00") -> Schedule:
    return Schedule(cutoff=at, timezone=timezone, start=date(2013, 1, 1))


def test_history_counts_from_the_day_after_whenever_it_is_recorded() -> None:
    recorded = datetime(2026, 1, 1, tzinfo=UTC)
    assert effective_from(schedule(), date(2013, 3, 1), recorded, history=True) == date(2013, 3, 2)


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (datetime(2013, 3, 1, 2, 30, tzinfo=NEW_YORK), date(2013, 3, 2)),  # the retrain of that night
        (datetime(2013, 3, 2, 1, 59, tzinfo=NEW_YORK), date(2013, 3, 2)),
        (datetime(2013, 3, 2, 2, 0, tzinfo=NEW_YORK), date(2013, 3, 3)),  # the cutoff itself is over
        (datetime(2013, 3, 4, 12, 0, tzinfo=NEW_YORK), date(2013, 3, 5)),  # an approval at noon counts from tomorrow
        (datetime(2013, 2, 1, 12, 0, tzinfo=NEW_YORK), date(2013, 3, 2)),
        # 02:00 does not exist on the 10th, its cutoff is 03:00 daylight time = 07:00 UTC
        (datetime(2013, 3, 10, 6, 59, tzinfo=UTC), date(2013, 3, 10)),
        (datetime(2013, 3, 10, 7, 0, tzinfo=UTC), date(2013, 3, 11)),
    ],
)
def test_a_live_decision_never_changes_a_night_that_is_over(recorded: datetime, expected: date) -> None:
    assert effective_from(schedule(), date(2013, 3, 1), recorded, history=False) == expected


@given(
    st.sampled_from(ZONES),
    st.sampled_from(("00:00", "00:30", "01:30", "02:00", "02:30", "23:59")),
    st.dates(date(2010, 1, 1), date(2030, 1, 1)),
    st.datetimes(datetime(2010, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
@example("America/New_York", "01:30", date(2013, 11, 2), datetime(2013, 11, 3, 5, 45, tzinfo=UTC))
@example("Pacific/Apia", "02:00", date(2011, 12, 29), datetime(2011, 12, 30, 12, tzinfo=UTC))
def test_live_is_the_first_day_that_is_after_the_as_of_date_and_not_over(
    zone: str, at: str, as_of: date, recorded: datetime
) -> None:
    plan = schedule(zone, at)
    found = effective_from(plan, as_of, recorded, history=False)
    assert found > as_of
    assert cutoff(plan, found) > recorded
    before = found - timedelta(days=1)
    assert before == as_of or cutoff(plan, before) <= recorded
    assert next_ds(plan, recorded) <= found
    assert found in (as_of + timedelta(days=1), next_ds(plan, recorded))
