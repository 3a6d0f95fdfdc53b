"""Golden rows of building: the session, what it reads, what it writes. Needs Java."""

import os
import tempfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightshift import storage, tables
from nightshift.features.build_plan import BuildPlan, Source, Target

ORDERS = {"id": "string", "attempt": "string", "weight": "number", "count": "integer", "flag": "boolean",
          "day": "date", "at": "timestamp"}  # fmt: skip
DEPOTS = {"id": "string", "doors": "integer"}
DAYS = ("2024-03-09", "2024-03-10", "2024-03-11")


def built() -> list[Any]:
    """The rows of each day in their order, as files hold them, and the files' schema."""
    from nightshift.java import java_home
    from spark_jobs.main import session
    from spark_jobs.reading import frames
    from spark_jobs.writing import conform, stage

    os.environ |= {"JAVA_HOME": str(java_home()), "SPARK_LOCAL_IP": "127.0.0.1"}
    with tempfile.TemporaryDirectory() as folder:
        plan = _plan(folder)
        spark = session("golden")
        try:
            [target] = plan.targets
            inputs = frames(spark, plan, target)
            known = inputs["depots"].withColumnRenamed("id", "depot")
            rows = inputs["orders"].join(
                known, (inputs["orders"].ds >= known.as_of) & (inputs["orders"].ds < known.until), "left"
            )
            columns = ["ds", *target.columns]
            files = stage(conform(rows.select(*columns), target, "golden"), target, plan.attempt, 3)
        finally:
            spark.stop()
        return [[day, len(found), *_read(target.table, found)] for day, found in sorted(files.items())]


def _read(table: str, files: tuple[Any, ...]) -> tuple[list[str], list[Any]]:
    schema = pq.read_schema(storage.join(table, files[0].path))
    rows = [row for file in files for row in pq.ParquetFile(storage.join(table, file.path)).read().to_pylist()]
    return [str(field) for field in schema], rows


def _plan(folder: str) -> BuildPlan:
    from datetime import UTC, date, datetime

    moment = datetime(2024, 3, 10, 7, 30, tzinfo=UTC)
    orders = [
        {"id": f"p{number}", "attempt": f"a{number}", "weight": None if number == 3 else number / 3, "count": 2**40,
         "flag": number % 2 == 0, "day": date(1900, 1, number + 1), "at": moment if number else None}
        for number in (4, 2, 3, 1, 0)
    ]  # fmt: skip
    sources = {
        "orders": Source(ORDERS, False, {day: _files(folder, "orders", day, ORDERS, orders) for day in DAYS[:2]}),
        "depots": Source(
            DEPOTS,
            True,
            {day: _files(folder, "depots", day, DEPOTS, [{"id": "N", "doors": int(day[-2:])}]) for day in DAYS[:2]},
        ),
    }
    target = Target(
        dataset="features",
        table=f"{folder}/features",
        key=("id",),
        columns={**ORDERS, "depot": "category", "doors": "number"},
        days={day: f"f{number}" for number, day in enumerate(DAYS)},
        inputs={"orders": DAYS, "depots": DAYS[:2]},
    )
    return BuildPlan("golden", "golden", "a1", "golden", "America/New_York", 3, sources, (target,), (), {})


def _files(folder: str, name: str, day: str, columns: dict[str, str], rows: list[Any]) -> tuple[str, ...]:
    schema = tables.arrow_schema(columns)
    batches = [pa.RecordBatch.from_pylist(rows, schema=schema)]
    written = tables.write_partition(f"{folder}/{name}", "a0", day, "f0", schema, batches)
    return tuple(storage.join(f"{folder}/{name}", file.path) for file in written)
