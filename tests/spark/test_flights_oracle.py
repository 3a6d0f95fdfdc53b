"""The features of flights agree with an oracle that reads the landing files with DuckDB."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from spark_jobs.building import returned
from tests.spark.typed import build_plan

pytestmark = pytest.mark.spark

# A blizzard with more than half of the flights cancelled, a snow day, the day without a 02:00, and the day after it.
DAYS = [date(2013, 2, 9), date(2013, 3, 8), date(2013, 3, 10), date(2013, 3, 11)]


@pytest.fixture(scope="module")
def landing(landed: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    for source in ("schedule", "actuals", "weather"):
        files = f"{landed.landing}/flights/{source}/*/*.csv"
        rows = connection.read_csv(files, filename=True)
        rows.project("*, regexp_extract(filename, 'ds=([0-9-]+)', 1) AS day").create(source)
    for source in ("planes", "airports"):
        files = f"{landed.landing}/flights/{source}/*/*.csv"
        connection.read_csv(files).create(source)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def computed(spark: Any, landed: Settings, flights: Pipeline) -> pd.DataFrame:
    plan = build_plan(landed, flights, DAYS)
    return returned(spark, plan, plan.targets[0]).toArrow().to_pandas()


def oracle(landing: duckdb.DuckDBPyConnection, ds: date) -> pd.DataFrame:
    sql = Path(__file__).with_name("oracle.sql").read_text()
    rows = landing.execute(sql, {"ds": ds.isoformat()}).df()
    rates = ("flights", "late_rate", "cancel_rate", "mean_delay", "p90_delay")
    wide = [
        {f"{item['name']}_{what}_{item['days']}d": item[what] for item in history for what in rates}
        for history in rows.pop("history")
    ]
    return pd.concat([rows, pd.DataFrame(wide)], axis=1)


@pytest.mark.parametrize("ds", DAYS, ids=str)
def test_every_column_agrees_with_the_oracle(
    ds: date, landing: duckdb.DuckDBPyConnection, computed: pd.DataFrame, flights: Pipeline
) -> None:
    expected = oracle(landing, ds)
    found = computed[computed["ds"] == ds.isoformat()].sort_values("flight_id").reset_index(drop=True)

    assert list(found["flight_id"]) == list(expected["flight_id"])
    assert set(expected.columns) == set(flights.feature_contract)
    for name in flights.features.columns:
        if flights.features.columns[name].type == "category":
            assert list(found[name]) == list(expected[name]), name
            continue
        ours, theirs = found[name].astype(float).to_numpy(), expected[name].astype(float).to_numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("ds", DAYS, ids=str)
def test_the_label_agrees_with_the_oracle(
    ds: date, spark: Any, landing: duckdb.DuckDBPyConnection, landed: Settings, flights: Pipeline
) -> None:
    plan = build_plan(landed, flights, [], [ds])
    found = returned(spark, plan, plan.targets[0]).toArrow().to_pandas().sort_values("flight_id")
    expected = landing.execute(
        "SELECT flight_id, CASE WHEN arr_delay < 30 THEN 0 ELSE 1 END AS late FROM actuals WHERE day = $ds ORDER BY 1",
        {"ds": ds.isoformat()},
    ).fetchall()

    assert list(zip(found["flight_id"], found["late"], strict=True)) == expected
    scheduled = landing.execute("SELECT count(*) FROM schedule WHERE day = $ds", {"ds": ds.isoformat()}).fetchall()
    assert len(found) == scheduled[0][0]


def test_a_missing_tail_number_does_not_betray_a_cancellation(
    landing: duckdb.DuckDBPyConnection, computed: pd.DataFrame
) -> None:
    nameless = landing.execute("SELECT flight_id FROM schedule WHERE day = '2013-03-08' AND tailnum IS NULL").fetchall()
    rows = computed[computed["ds"] == "2013-03-08"].set_index("flight_id").loc[[row[0] for row in nameless]]

    assert len(rows) > 20
    assert (rows["tail_flights_28d"] > 0).mean() > 0.9
