"""Several Spark attempts at the same days of one table at once: each keeps all of its files, and one is published."""

from pathlib import Path
from typing import Any

import pytest

from nightshift import tables
from nightshift.errors import NightshiftError
from nightshift.features.build_plan import Target
from nightshift.lineage import Manifest
from spark_jobs.writing import refuse_written, stage
from tests.unit.tables.test_publish import at_once

pytestmark = pytest.mark.spark

COLUMNS = {"key": "string", "n": "integer"}
SCHEMA = tables.arrow_schema(COLUMNS)
DAYS = {"2024-02-01": "f1", "2024-02-02": "f1"}
ROWS = 400


def rows(spark: Any) -> Any:
    """The same rows for each day."""
    numbered = spark.range(ROWS).selectExpr("cast(id as string) as key", "id as n")
    return numbered.crossJoin(spark.createDataFrame([(day,) for day in DAYS], "ds string"))


def test_attempts_at_once_keep_all_rows_and_one_is_published(spark: Any, tmp_path: Path) -> None:
    # Below one root they would delete each other's files, and all would report success.
    table = str(tmp_path / "features")
    wanted = Target("features", table, ("key",), COLUMNS, DAYS, {})
    attempts = [f"attempt{number}" for number in range(4)]
    staged = at_once([lambda a=a: stage(rows(spark), wanted, a, 1000) for a in attempts])
    for files in staged:
        assert {day: sum(file.rows for file in found) for day, found in files.items()} == dict.fromkeys(DAYS, ROWS)
    manifests = [
        [
            Manifest("parcels", "features", day, DAYS[day], attempt, "r", "now", "c", "s", files=files[day])
            for day in DAYS
        ]
        for attempt, files in zip(attempts, staged, strict=True)
    ]
    outcomes = at_once([lambda m=m: tables.publish(table, SCHEMA, m) for m in manifests])
    assert sorted(len(outcome.published) for outcome in outcomes) == [0, 0, 0, 2]
    found = tables.state(table)
    for day in DAYS:
        published = tables.read(table, found.files(day))
        assert published["key"].to_pylist() == sorted(str(number) for number in range(ROWS))


def test_an_attempt_writes_once(spark: Any, tmp_path: Path) -> None:
    wanted = Target("features", str(tmp_path / "features"), ("key",), COLUMNS, DAYS, {})
    stage(rows(spark), wanted, "first", 1000)
    with pytest.raises(NightshiftError, match="attempt first has written features before"):
        refuse_written(wanted, "first")


def test_a_long_session_has_room_for_what_java_compiles(spark: Any) -> None:
    """Half of the tests of this folder failed when it was full, at 48 MB."""
    pools = spark._jvm.java.lang.management.ManagementFactory.getMemoryPoolMXBeans()
    assert sum(pool.getUsage().getMax() for pool in pools if "Code" in pool.getName()) >= 240 << 20
