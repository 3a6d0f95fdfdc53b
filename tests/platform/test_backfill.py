"""Which days a backfill has, and how it says where it is. Backfills themselves are made in ``tests/e2e``."""

from datetime import date
from getpass import getuser
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.actor import system_account
from nightshift.errors import PlatformError
from nightshift.platform import backfill
from nightshift.platform.airflow_client import Backfill, Run
from nightshift.platform.backfill import progress, wanted_days
from nightshift.platform.time_left import Left, expected, next_left
from nightshift.settings import Settings
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


def test_who_asks_for_a_backfill_is_the_account_and_no_name_in_the_environment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "mallory")
    told = backfill.environment(settings)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert getuser() == system_account(), "as Airflow's command asks"


class Stuck:
    """Airflow's API while a backfill hangs."""

    def __init__(self, *states: str) -> None:
        self.states = states

    def active_backfill(self, dag_id: str) -> Backfill:
        return Backfill(12, dag_id, date(2024, 2, 1), date(2024, 2, 3))

    def runs(self, dag_id: str, first: date, last: date) -> list[Run]:
        found = [Run(f"2024-02-0{n}", f"r{n}", state, "backfill", 1.0) for n, state in enumerate(self.states, 1)]
        return [*found, Run("2024-02-03", "other", "running", "manual", 1.0)]


def test_a_backfill_that_hangs_is_named_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "_OTHER_SECONDS", 0.0)
    with pytest.raises(PlatformError) as caught:
        backfill.wait_for_other(Stuck(), "parcels", print)  # type: ignore[arg-type]
    assert str(caught.value).startswith(
        "parcels: the backfill before this one (12, 2024-02-01 to 2024-02-03) is not over after 0 s. Allowed: one at"
    )


@pytest.mark.parametrize(
    ("dag", "states", "said", "how"),
    [
        ("parcels", ["success", "running", "queued"], "1 of 3 days done, 1 running, 1 queued", "parcels --cancel`"),
        ("parcels__retrain", ["success"], "1 of 1 days done; its runs are over, and", "parcels --cancel --retrain`"),
    ],
)
def test_who_waits_for_another_backfill_says_which_why_and_how_to_end_it(
    monkeypatch: pytest.MonkeyPatch, dag: str, states: list[str], said: str, how: str
) -> None:
    monkeypatch.setattr(backfill, "_OTHER_SECONDS", 0.01)
    monkeypatch.setattr(backfill, "_POLL_SECONDS", 0.01)
    lines: list[str] = []
    with pytest.raises(PlatformError):
        backfill.wait_for_other(Stuck(*states), dag, lines.append)  # type: ignore[arg-type]
    assert lines[0].startswith(
        f"{dag}: waiting for the backfill before this one (12, 2024-02-01 to 2024-02-03): {said}"
    )
    assert lines[1] == f"{dag}: Airflow allows one at a time; to end that one, `nightshift backfill {how}"


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ({}, "0 of 9 days done"),
        ({"success": 2, "running": 3, "queued": 3, "failed": 1}, "2 of 9 days done, 3 running, 3 queued, 1 failed"),
    ],
)
def test_progress_is_one_line(states: dict[str, int], line: str) -> None:
    assert progress(states, 9) == line


MOMENTS = st.lists(st.tuples(st.floats(0, 600), st.none() | st.floats(0, 1e6)), max_size=40)


class TestTimeLeft:
    @given(MOMENTS)
    def test_never_rises_within_an_hour(self, looks: list[tuple[float, float | None]]) -> None:
        left, now, said = None, 0.0, list[tuple[float, float]]()
        for pause, seconds in looks:
            now += pause
            left = next_left(left, seconds, now)
            if left is not None:
                said.append((now, left.seconds))
        rises = [at for (_, before), (at, after) in pairwise(said) if after > before]
        began = said[:1] and [said[0][0]]
        assert all(later - earlier >= 3600 for earlier, later in pairwise([*began, *rises]))

    @given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 3599))
    def test_counts_down_while_nothing_finishes(self, first: float, later: float, pause: float) -> None:
        left = next_left(next_left(None, first, 0), first + later, pause)
        assert left is not None
        assert left.seconds == pytest.approx(max(0, first - pause))

    @given(st.lists(st.floats(0.1, 1e4), min_size=1), st.lists(st.floats(0, 1e4)), st.integers(0, 100))
    def test_is_that_of_finished_runs(self, finished: list[float], running: list[float], queued: int) -> None:
        seconds = expected(finished, running, queued)
        assert seconds is not None
        each = sum(finished) / len(finished)
        assert 0 <= seconds <= (queued + len(running)) * each / max(1, len(running)) * 1.000001
        assert seconds >= queued * each / max(1, len(running)) * 0.999999

    def test_is_unknown_before_a_run_has_finished(self) -> None:
        assert expected([], [5.0], 9) is None
        assert next_left(None, None, 0) is None

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(120.0, "about 2 min left"), (20.0, "about 20 s left"), (0.0, "longer than its finished runs say")],
    )
    def test_is_for_people(self, seconds: float, words: str) -> None:
        assert Left(seconds, 0, 0).words == words
