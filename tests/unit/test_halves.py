"""Bad days are found by halves: all of them where they are few, and few tries where they are most."""

from collections.abc import Collection, Sequence
from math import log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.errors import NightshiftError
from spark_jobs.halves import BAD_IN_A_ROW, FIRST_BAD, Found, by_halves

MOST = 365


class Counted:
    """Builds days that are not bad, and counts its tries."""

    def __init__(self, bad: Collection[str]) -> None:
        self.bad, self.tries, self.built = bad, list[int](), list[str]()

    def __call__(self, days: Sequence[str]) -> NightshiftError | None:
        self.tries.append(len(days))
        if any(day in self.bad for day in days):
            return NightshiftError(f"bad from {days[0]}")
        self.built += days
        return None


def found(number: int, bad: Collection[int]) -> tuple[Counted, Found]:
    build = Counted({f"{day:03}" for day in bad})
    return build, by_halves([f"{day:03}" for day in range(number)], build)


@given(st.integers(1, MOST).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)))))
def test_each_day_is_built_or_bad_or_not_tried_and_a_bad_one_failed_alone(case: tuple[int, set[int]]) -> None:
    number, bad = case
    build, result = found(number, bad)
    assert sorted([*build.built, *result.bad, *result.not_tried]) == [f"{day:03}" for day in range(number)]
    assert {day: error.what for day, error in result.bad.items()} == {day: f"bad from {day}" for day in result.bad}
    assert set(result.bad) <= {f"{day:03}" for day in bad}
    assert result.built == bool(build.built)
    assert len(build.tries) <= 2 * number - 1


@given(st.integers(1, MOST).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=5))))
def test_few_bad_days_are_all_found_and_all_others_built(case: tuple[int, set[int]]) -> None:
    number, bad = case
    build, result = found(number, bad)
    assert (set(result.bad), result.not_tried) == ({f"{day:03}" for day in bad}, [])
    assert len(build.tries) <= 1 + 2 * len(bad) * (log2(number) + 1)


@pytest.mark.parametrize("number", [90, 365])
def test_days_that_are_all_bad_cost_few_tries(number: int) -> None:
    build, result = found(number, range(number))
    assert (len(result.bad), len(result.not_tried)) == (FIRST_BAD, number - FIRST_BAD)
    assert len(build.tries) <= FIRST_BAD * log2(number) / 2 + FIRST_BAD


@pytest.mark.parametrize("good", [0, 44, 89])
def test_after_a_good_day_more_bad_ones_are_borne(good: int) -> None:
    build, result = found(90, set(range(90)) - {good})
    assert len(build.tries) <= (FIRST_BAD + BAD_IN_A_ROW) * log2(90)
    assert len(result.bad) <= FIRST_BAD + BAD_IN_A_ROW


@pytest.mark.parametrize("first", [0, 7, 40, 75])
def test_two_weeks_of_bad_days_cost_no_good_one(first: int) -> None:
    build, result = found(90, range(first, first + 14))
    assert (len(build.built), len(result.bad), result.not_tried) == (76, 14, [])


def test_the_first_bad_day_is_found_with_its_pair() -> None:
    assert found(8, range(8))[0].tries[:5] == [8, 4, 2, 1, 1]
