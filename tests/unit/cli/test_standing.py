"""What ``status`` and ``backfill`` say of days that a green run may hide."""

from datetime import date

import pyarrow as pa

from nightshift import tables
from nightshift.cli.standing import standing_lines
from nightshift.features.unlabelled import record
from nightshift.job import Job
from nightshift.lineage import GateSummary
from nightshift.settings import Settings
from tests.conftest import make_pipeline

DS = date(2024, 2, 10)
SCHEMA = tables.arrow_schema({"parcel_id": "string", "score": "number", "model": "string"})


def publish(home: Settings, ds: date, rows: int, warnings: int = 0, **counts: int) -> None:
    job = Job(home, make_pipeline(), ds)
    batch = pa.record_batch([[str(n) for n in range(rows)], [1.0] * rows, ["m"] * rows], schema=SCHEMA)
    table = job.table("predictions")
    files = tables.write_partition(table, job.attempt, job.day, "f1", SCHEMA, [batch] if rows else [])
    gate = GateSummary("/r.json", "0", "warned", warnings)
    tables.publish(table, SCHEMA, [job.manifest("predictions", job.day, "f1", files=files, counts=counts, gate=gate)])


def test_the_newest_day_of_each_pipeline_is_looked_at(home: Settings) -> None:
    assert list(standing_lines(home)) == []
    publish(home, date(2024, 2, 8), 0)
    asked = "`nightshift diagnose parcels --ds"
    assert list(standing_lines(home)) == [
        f"parcels 2024-02-08: OK with warnings: nothing is scored; {asked} 2024-02-08`"
    ]
    publish(home, date(2024, 2, 9), 3)
    assert list(standing_lines(home)) == []
    publish(home, DS, 3, 2)
    words = "2 expectations of predictions failed that only warn"
    assert list(standing_lines(home)) == [f"parcels 2024-02-10: OK with warnings: {words}; {asked} 2024-02-10`"]
    publish(home, date(2024, 2, 11), 3, unscored=1)
    words = "1 of 4 rows that landed are not scored: 1 rows are in quarantine"
    assert list(standing_lines(home)) == [f"parcels 2024-02-11: OK with warnings: {words}; {asked} 2024-02-11`"]


def test_days_without_labels_and_specs_without_a_line_are_named(home: Settings) -> None:
    for day in (8, 9):
        record(Job(home, make_pipeline(), DS), date(2024, 2, day), "not landed")
    (home.pipelines / "broken.yaml").write_text("pipeline: broken\n")
    broken, never = standing_lines(home)
    assert broken.startswith("a spec is not valid, its nights fail and it has no line here: ")
    assert "broken.yaml" in broken
    assert never == "parcels: 2 days are recorded as unlabelled, the newest is 2024-02-09"
