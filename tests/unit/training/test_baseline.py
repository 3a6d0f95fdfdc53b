import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.training.baseline import PRIOR_ROWS, learn

values = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
rows = st.lists(st.tuples(values, st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=60)


def table(content: list[tuple[str | None, int, int]]) -> pa.Table:
    names, hours, labels = zip(*content, strict=True)
    return pa.table({"name": pa.array(names, pa.string()), "hour": list(hours), "late": list(labels)})


@given(rows, rows, st.integers(1, 5))
def test_agrees_with_pandas(train: list, holdout: list, days: int) -> None:
    """The oracle: a group's mean, shrunk by ten rows of the overall mean; the overall mean where there is no group."""
    parts = [table(train[number::days]) for number in range(days) if train[number::days]]
    found = learn(parts, ["name", "hour"], "late").predict(table(holdout))

    frame = pd.DataFrame(train, columns=["name", "hour", "late"]).fillna({"name": "null"})
    overall = frame["late"].mean()
    groups = frame.groupby(["name", "hour"])["late"].agg(["sum", "count"])
    shrunk = (groups["sum"] + PRIOR_ROWS * overall) / (groups["count"] + PRIOR_ROWS)
    wanted = pd.DataFrame(holdout, columns=["name", "hour", "late"]).fillna({"name": "null"})
    expected = wanted.join(shrunk.rename("p"), on=["name", "hour"])["p"].fillna(overall)
    np.testing.assert_allclose(found, expected.to_numpy())


def test_without_columns_it_is_the_mean() -> None:
    found = learn([table([("a", 1, 0), ("b", 1, 1)]), table([("a", 1, 1), ("c", 2, 1)])], [], "late")
    assert found.predict(table([("x", 9, 0), (None, 1, 1)])).tolist() == [0.75, 0.75]


def test_days_do_not_matter() -> None:
    content = [("a", n % 3, n % 2) for n in range(30)]
    whole = learn([table(content)], ["name", "hour"], "late")
    parts = learn([table(content[:7]), table(content[7:])], ["name", "hour"], "late")
    assert whole.groups == pytest.approx(parts.groups)


def test_mean_of_a_regression() -> None:
    rows = pa.table({"depot": ["N", "N", "S"], "hours": [1.0, 3.0, 8.0]})
    found = learn([rows], ["depot"], "hours")
    assert found.predict(rows).tolist() == pytest.approx([(4 + 40) / 12, (4 + 40) / 12, (8 + 40) / 11])


def test_no_rows() -> None:
    with pytest.raises(ValueError, match="no row to learn a baseline from"):
        learn([], ["depot"], "hours")
