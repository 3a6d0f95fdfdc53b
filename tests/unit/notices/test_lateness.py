from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from nightshift.notices.lateness import FEWEST, a_quarter, lateness, usual

DUE = datetime(2024, 3, 1, 6, 0, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2024, 2, 29), datetime(2024, 3, 2), timezones=st.just(UTC))
DURATIONS = st.lists(st.floats(1, 80_000), max_size=14)


@given(MOMENTS, st.none() | MOMENTS, DURATIONS)
def test_after_the_deadline_every_night_that_is_not_there_is_late_and_none_before(
    now: datetime, begun: datetime | None, earlier: list[float]
) -> None:
    assert (lateness(DUE, now, begun, earlier) == "is late") == (now >= DUE)


@given(MOMENTS, DURATIONS)
def test_a_night_that_has_not_begun_will_be_late_once_it_cannot_be_done_in_time(
    now: datetime, earlier: list[float]
) -> None:
    takes = usual(earlier)
    foretold = lateness(DUE, now, None, earlier) == "will be late"
    assert foretold == (takes is not None and now < DUE < now + takes)


@given(MOMENTS, MOMENTS, st.floats(1, 80_000))
def test_of_too_few_runs_nothing_is_foretold(now: datetime, begun: datetime, takes: float) -> None:
    few = lateness(DUE, now, begun, [takes] * (FEWEST - 1))
    assert few == ("is late" if now >= DUE else "")


def test_one_slow_run_of_many_foretells_nothing() -> None:
    earlier = [600.0] * 10 + [40_000.0]
    assert lateness(DUE, DUE - timedelta(hours=2), None, earlier) == ""
    assert lateness(DUE, DUE - timedelta(minutes=9), None, earlier) == "will be late"
    assert lateness(DUE, DUE - timedelta(minutes=9), DUE - timedelta(minutes=12), earlier) == ""


def test_a_quarter_of_the_wait() -> None:
    assert a_quarter(DUE, 6 * 3600) == DUE + timedelta(minutes=90)
