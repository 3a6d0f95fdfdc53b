"""A day has the same rows whichever range computed it, down to the bytes of its file."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from nightshift.lineage import DataFile
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from spark_jobs.building import returned
from spark_jobs.writing import stage
from tests.spark.conftest import LAST
from tests.spark.typed import build_plan, days_between

pytestmark = pytest.mark.spark

DAY = date(2013, 3, 10)
RANGES = {
    "alone": [DAY],
    "week": days_between(DAY - timedelta(days=3), DAY + timedelta(days=3)),
    "all": days_between(date(2013, 2, 9), LAST),
}


@pytest.fixture(scope="module")
def staged(spark: Any, landed: Settings, flights: Pipeline) -> dict[str, dict[str, tuple[DataFile, ...]]]:
    found = {}
    for name, days in RANGES.items():
        plan = build_plan(landed, flights, days, days, attempt=name)
        for target in plan.targets:
            files = stage(returned(spark, plan, target), target, name, plan.rows_per_file)
            found[f"{name} {target.dataset}"] = {day: (Path(target.table), *some) for day, some in files.items()}
    return found


@pytest.mark.parametrize("dataset", ["features", "labels"])
def test_a_day_alone_in_a_week_and_in_the_whole_range_is_the_same_file(staged: Any, dataset: str) -> None:
    contents = []
    for name in RANGES:
        table, file = staged[f"{name} {dataset}"][DAY.isoformat()]
        assert file.rows == 908
        contents.append((table / file.path).read_bytes())

    assert contents[0] == contents[1]
    assert contents[0] == contents[2]


def test_every_day_of_a_range_has_its_file(staged: Any) -> None:
    for name, days in RANGES.items():
        assert list(staged[f"{name} features"]) == [ds.isoformat() for ds in days]
        assert all(len(files) == 2 for files in staged[f"{name} features"].values())
