import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.training.split import split

days = st.lists(st.dates().map(lambda day: day.isoformat()), min_size=3, max_size=120, unique=True)


@given(days, st.data())
def test_no_day_teaches_an_earlier_one(given_days: list[str], data: st.DataObject) -> None:
    holdout = data.draw(st.integers(1, len(given_days) - 2))

    parts = split(given_days, holdout)

    assert parts.all == tuple(sorted(given_days))
    assert max(parts.fit) < min(parts.stopping) <= max(parts.stopping) < min(parts.holdout)
    assert parts.before_holdout == parts.fit + parts.stopping
    assert len(parts.holdout) == holdout


@pytest.mark.parametrize(
    ("number", "holdout", "sizes"),
    [(3, 1, (1, 1, 1)), (6, 2, (3, 1, 2)), (33, 7, (22, 4, 7)), (90, 14, (65, 11, 14))],
)
def test_sizes(number: int, holdout: int, sizes: tuple[int, int, int]) -> None:
    parts = split([f"2024-{n // 28 + 1:02d}-{n % 28 + 1:02d}" for n in range(number)], holdout)
    assert (len(parts.fit), len(parts.stopping), len(parts.holdout)) == sizes


@pytest.mark.parametrize(("number", "holdout"), [(2, 1), (5, 4), (3, 0)])
def test_too_few_days(number: int, holdout: int) -> None:
    with pytest.raises(ValueError, match="days to fit on, 2 are needed"):
        split([f"2024-01-{n + 1:02d}" for n in range(number)], holdout)
