"""What changed between two readings: pure."""

from hypothesis import given
from hypothesis import strategies as st

from nightshift.freshness.changes import LANDED, read_changes
from nightshift.lineage import Upstream

DAYS = [f"2024-02-{day:02d}" for day in range(1, 8)]
READINGS = st.dictionaries(
    st.sampled_from(["orders", "deliveries"]),
    st.dictionaries(st.sampled_from(DAYS), st.sampled_from(["f1", "f2"])).map(lambda days: Upstream(0, days)),
)


def test_every_kind_of_change_has_its_words() -> None:
    was = {"deliveries": Upstream(3, {DAYS[0]: "f1", DAYS[1]: "f1", DAYS[2]: "f1", DAYS[3]: "f1"})}
    now = {"deliveries": Upstream(9, {DAYS[1]: "f2", DAYS[2]: "f1", DAYS[3]: LANDED, DAYS[4]: "f1", DAYS[5]: LANDED})}
    assert read_changes(was, now, {"deliveries": {DAYS[3]: "corrected", DAYS[5]: "new"}}) == [
        "deliveries 2024-02-01 no longer read",
        "deliveries 2024-02-02 corrected",
        "deliveries 2024-02-04 corrected in landing",
        "deliveries 2024-02-05 added",
        "deliveries 2024-02-06 new in landing",
    ]


def test_many_days_are_one_line() -> None:
    now = {"orders": Upstream(0, dict.fromkeys(DAYS, "f1"))}
    assert read_changes({}, now, {}) == ["orders 2024-02-01, 2024-02-02, 2024-02-03 and 4 more added"]


@given(READINGS, READINGS)
def test_there_is_a_change_exactly_where_days_or_fingerprints_differ(
    was: dict[str, Upstream], now: dict[str, Upstream]
) -> None:
    def plain(reading: dict[str, Upstream]) -> dict[str, dict[str, str]]:
        return {name: upstream.days for name, upstream in reading.items() if upstream.days}

    assert (read_changes(was, now, {}) == []) == (plain(was) == plain(now))
