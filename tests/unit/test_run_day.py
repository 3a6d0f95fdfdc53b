"""The business date of a run."""

from datetime import date
from typing import Any

import pytest

from nightshift.run_day import iso_day, run_day

MOMENT = "2024-05-06T07:08:09Z"


@pytest.mark.parametrize(
    ("run_type", "conf", "logical_date", "day"),
    [
        ("scheduled", {}, "2024-02-05T00:00:00Z", "2024-02-05"),
        ("backfill", {"business_date": "2024-01-01"}, "2024-02-05T00:00:00Z", "2024-02-05"),
        ("manual", {"business_date": "2024-02-08"}, MOMENT, "2024-02-08"),
        ("manual", {"business_date": None}, MOMENT, "2024-05-06"),
        ("manual", {"business_date": "tomorrow"}, MOMENT, "2024-05-06"),
        ("manual", ["business_date"], MOMENT, "2024-05-06"),
        ("manual", None, "", ""),
    ],
)
def test_is_the_ordered_one_where_a_person_may_order_one(run_type: str, conf: Any, logical_date: str, day: str) -> None:
    assert run_day(run_type, conf, logical_date) == day


@pytest.mark.parametrize(
    "text",
    ["", "20240205", "2024-2-5", "2024-02-30", "2024-02-05T00:00:00", " 2024-02-05", "２０２４-02-05", "2024-W06-1"],
)
def test_a_day_has_one_spelling(text: str) -> None:
    assert iso_day(text) is None
    assert iso_day("2024-02-05") == date(2024, 2, 5)
