"""Which days a backfill has, and how it says where it is. Backfills themselves are made in ``tests/e2e``."""

from datetime import date

import pytest

from nightshift.errors import PlatformError
from nightshift.platform import backfill
from nightshift.platform.backfill import progress, time_left, wanted_days
from tests.conftest import make_pipeline, spec_document


def test_days_are_those_of_the_timetable() -> None:
    pipeline = make_pipeline()
    whole = wanted_days(pipeline, date(2024, 1, 1), date(2024, 12, 31), retrain=False)
    assert (whole[0], whole[-1]) == (date(2024, 2, 1), date(2024, 4, 1)), "labels mature a day after the end"


def test_a_weekly_retrain_has_mondays() -> None:
    pipeline = make_pipeline(schedule={**spec_document()["schedule"], "retrain": "weekly"})
    found = wanted_days(pipeline, date(2024, 2, 6), date(2024, 2, 20), retrain=True)
    assert found == [date(2024, 2, 12), date(2024, 2, 19)]
    with pytest.raises(PlatformError) as refused:
        wanted_days(pipeline, date(2024, 2, 6), date(2024, 2, 7), retrain=True)
    assert str(refused.value) == (
        "parcels: no day from 2024-02-06 to 2024-02-07 has a run. "
        "Allowed: business dates from 2024-02-01 to 2024-04-01, Mondays only; the nearest: 2024-02-05 and 2024-02-12."
    )
    with pytest.raises(PlatformError, match=r"Mondays only; the nearest: 2024-04-01\.$"):
        wanted_days(pipeline, date(2024, 4, 2), date(2024, 4, 2), retrain=True)


class Stuck:
    """Airflow's API while a backfill hangs."""

    def active_backfill(self, dag_id: str) -> str:
        return "12, 2024-02-01 to 2024-02-03"


def test_a_backfill_that_hangs_is_named_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_OTHER_SECONDS", 0.0)
    with pytest.raises(PlatformError) as caught:
        backfill.wait_for_other(Stuck(), "parcels", print)  # type: ignore[arg-type]
    assert str(caught.value).startswith(
        "parcels: the backfill before this one (12, 2024-02-01 to 2024-02-03) is not over after 0 s. Allowed: one at"
    )


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ({}, "0 of 9 days done"),
        ({"success": 2, "running": 3, "queued": 3, "failed": 1}, "2 of 9 days done, 3 running, 3 queued, 1 failed"),
    ],
)
def test_progress_is_one_line(states: dict[str, int], line: str) -> None:
    assert progress(states, 9) == line


@pytest.mark.parametrize(
    ("elapsed", "done", "left", "words"),
    [(60.0, 0, 5, ""), (60.0, 5, 0, ""), (60.0, 2, 4, "2 min"), (10.0, 2, 4, "20 s"), (86_400.0, 1, 2, "2880 min")],
)
def test_the_time_left_is_known_once_a_day_is_done(elapsed: float, done: int, left: int, words: str) -> None:
    assert time_left(elapsed, done, left) == words
