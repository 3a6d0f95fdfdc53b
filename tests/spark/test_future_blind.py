"""What finds a feature module that looks into the future finds it; and a whole job is blind, as its module is."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import storage
from nightshift.commands import FeaturesCommand
from nightshift.settings import Settings
from nightshift.spark_local import run_local
from nightshift.specs.model import Pipeline
from tests.spark.future_blind import changed_columns, differences, landed_days
from tests.spark.typed import build_plan

pytestmark = pytest.mark.spark

DAY = date(2013, 3, 10)

CHEAT = """
from pyspark.sql import functions as sf
from spark_jobs.features import flights
{extra}

def build(inputs, days):
    rows = flights.build(inputs, days)
    {cheat}

label = flights.label
"""
READS_TODAY = """
    today = inputs["actuals"].where(sf.col("ds").isin(days)).select("ds", "flight_id", "arr_delay")
    late = rows.join(today, ["ds", "flight_id"], "left")
    return late.withColumn("distance", sf.coalesce("arr_delay", "distance")).drop("arr_delay")
"""
READS_TOO_FAR_BACK = """
    past = inputs["actuals"].where(sf.datediff(sf.lit(days[0]), sf.to_date("ds")).between(1, 29))
    total = past.agg(sf.count("*").alias("network_flights_1d"))
    return rows.drop("network_flights_1d").crossJoin(total)
"""


@pytest.mark.parametrize(("cheat", "column"), [(READS_TODAY, "distance"), (READS_TOO_FAR_BACK, "network_flights_1d")])
def test_a_module_that_cheats_is_found(
    cheat: str, column: str, spark: Any, landed: Settings, flights: Pipeline, feature_module: Any
) -> None:
    feature_module("cheating", CHEAT.format(extra="", cheat=cheat.strip()))
    cheating = flights.model_copy(update={"features": flights.features.model_copy(update={"module": "cheating"})})

    assert changed_columns(spark, landed, cheating, DAY) == [column]


def test_the_job_itself_is_blind_to_what_is_deleted_from_landing(
    landed: Settings, flights: Pipeline, tmp_path: Path
) -> None:
    """Two real submits: on all that has landed, and on a copy from which everything not known yet is deleted."""
    everything = _submitted(replace(landed, var=tmp_path), flights, "everything")
    copy = replace(landed, landing=str(tmp_path / "landing"), lake=str(tmp_path / "lake"), var=tmp_path)
    shutil.copytree(landed.landing, copy.landing)
    for name, days in landed_days(copy, flights).items():
        source = flights.inputs[name]
        for day in days:
            if day > DAY - timedelta(days=source.lag):
                shutil.rmtree(Path(copy.landing, "flights", name, f"ds={day}"))
    blind = _submitted(copy, flights, "blind")

    assert everything.num_rows == 908
    assert differences(everything, blind, flights.features.key) == []


def _submitted(settings: Settings, pipeline: Pipeline, attempt: str) -> pa.Table:
    plan = build_plan(settings, pipeline, [DAY], attempt=attempt, reads=landed_days(settings, pipeline))
    uri = storage.join(settings.lake, f"{attempt}.json")
    storage.write_json(uri, plan.document())
    run_local(settings, FeaturesCommand(pipeline.name, DAY, DAY, uri))
    (file,) = Path(plan.targets[0].table, f"attempt={attempt}").rglob("*.parquet")
    table = pq.read_table(file, partitioning=None)
    return table.append_column("ds", pa.array([DAY.isoformat()] * table.num_rows))
