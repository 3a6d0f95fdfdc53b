"""What a night says of rows that landed and were not scored."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest

from nightshift import tables
from nightshift.job import Job
from nightshift.lineage import DataFile, Upstream
from nightshift.scoring.coverage import counts_of, coverage, shortfall, unscored
from nightshift.settings import Settings
from nightshift.tables import Partition, TableState
from tests.conftest import make_pipeline

DS = date(2024, 2, 10)
ROWS, ANY = "every row that landed is scored", "something is scored, as before"


def predictions(**rows: int) -> TableState:
    days = {name.replace("_", "-").removeprefix("d"): number for name, number in rows.items()}
    return TableState("p", 1, {day: Partition(day, "f", (DataFile("x", 1, number),)) for day, number in days.items()})


@pytest.mark.parametrize(
    ("rows", "lost", "earlier", "failed"),
    [
        (3, {}, predictions(), []),
        (3, {"inputs/orders": 1}, predictions(), [ROWS]),
        (0, {}, predictions(), []),
        (0, {}, predictions(d2024_02_09=0), []),
        (0, {}, predictions(d2024_02_11=7), []),
        (0, {}, predictions(d2024_02_08=7, d2024_02_09=0), [ANY]),
        (0, {"features": 2}, predictions(d2024_02_09=7), [ROWS, ANY]),
    ],
)
def test_a_shortfall_warns_and_blocks_nothing(
    rows: int, lost: dict[str, int], earlier: TableState, failed: list[str]
) -> None:
    found = list(coverage("2024-02-10", rows, lost, earlier))
    assert [result.name for result in found if not result.success] == failed
    assert all(result.only_warns and result.do for result in found)


@pytest.mark.parametrize(
    ("rows", "counts", "said"),
    [
        (3, {}, ""),
        (3, {"unscored": 0}, ""),
        (998, {"unscored": 2}, "2 of 1,000 rows that landed are not scored: 2 rows are in quarantine"),
        (
            998,
            {"unscored": 2, "lost": 2},
            "2 of 1,000 rows that landed are not scored: 2 were lost by the feature module",
        ),
        (
            0,
            {"unscored": 3, "lost": 1},
            "nothing is scored, 2 rows are in quarantine, 1 were lost by the feature module",
        ),
        (0, {}, "nothing is scored"),
        (0, {"unscored": 2}, "nothing is scored, 2 rows are in quarantine"),
    ],
)
def test_a_shortfall_in_words(rows: int, counts: dict[str, int], said: str) -> None:
    assert shortfall(rows, counts) == said


@pytest.mark.parametrize("lag", [0, 2])
def test_rows_that_left_on_their_way_are_counted_where_they_left(settings: Settings, lag: int) -> None:
    spec = make_pipeline().model_dump(mode="json")
    inputs = {**spec["inputs"], "orders": {**spec["inputs"]["orders"], "lag": lag}}
    job = Job(settings, make_pipeline(inputs=inputs), DS)
    own = date.fromordinal(DS.toordinal() - lag).isoformat()
    table, schema = job.table("inputs/orders"), pa.schema([("parcel_id", pa.string())])
    files = tables.write_partition(table, job.attempt, own, "f1", schema, [])
    orders = job.manifest("inputs/orders", own, "f1", files=files, counts={"landed": 9, "quarantined": 4})
    tables.publish(table, schema, [orders])
    features = job.manifest("features", job.day, "f2", upstream={"inputs/orders": Upstream(0, {own: "f1"})})
    assert unscored(job, None) == {}
    assert unscored(job, features) == {"in quarantine of inputs/orders": 4}
    found = unscored(job, replace(features, counts={"quarantined": 1, "lost": 2}))
    assert found == {
        "in quarantine of features": 1, "lost by the feature module": 2, "in quarantine of inputs/orders": 4,
    }  # fmt: skip
    assert counts_of(found) == {"unscored": 7, "lost": 2}
    assert unscored(replace(job, pipeline=make_pipeline()), replace(features, upstream={})) == {}
