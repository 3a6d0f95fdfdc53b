"""The transforms against plain Python over the same random rows."""

import random
from collections import defaultdict
from datetime import date, timedelta
from math import ceil
from typing import Any

import pytest
from pyspark.sql import functions as sf

from nightshift.errors import SpecError
from spark_jobs.transforms.clock import clock_hour, clock_minute, local_hour
from spark_jobs.transforms.days import known_later
from spark_jobs.transforms.exact import exact_mean, exact_sum, ratio
from spark_jobs.transforms.groups import in_groups, with_groups
from spark_jobs.transforms.quantiles import below_names, counts_below, quantile
from spark_jobs.transforms.snapshots import with_newest
from spark_jobs.transforms.trailing import trailing

pytestmark = pytest.mark.spark

EDGES = (0, 5, 20)


def _day(number: int) -> str:
    return (date(2024, 2, 1) + timedelta(days=number)).isoformat()


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_trailing_totals_are_those_of_the_window_and_of_nothing_else(spark: Any, lag: int) -> None:
    numbers = random.Random(lag)
    rows = [(_day(numbers.randrange(40)), numbers.choice("abc"), numbers.randrange(-50, 50)) for _ in range(400)]
    days = [_day(number) for number in (5, 6, 20, 33)]
    frame = spark.createDataFrame(rows, "ds string, site string, value long")

    found = trailing(frame, days, by=["site"], sums=["value"], windows=(2, 7), lag=lag).collect()

    expected: dict[tuple[str, str], list[int]] = {}
    for ds in days:
        for row_day, site, value in rows:
            age = (date.fromisoformat(ds) - date.fromisoformat(row_day)).days - lag
            if 0 <= age < 7:
                totals = expected.setdefault((ds, site), [0, 0])
                totals[0] += value if age < 2 else 0
                totals[1] += value
    assert {(row.ds, row.site): [row.value_2d, row.value_7d] for row in found} == expected


def test_trailing_refuses_sums_that_depend_on_the_order_of_rows(spark: Any) -> None:
    frame = spark.createDataFrame([("2024-02-01", 0.1)], "ds string, value double")

    with pytest.raises(SpecError, match="trailing sums value, which is double: such a sum depends on the order"):
        trailing(frame, ["2024-02-02"], by=[], sums=["value"], windows=(1,), lag=1)


def test_a_quantile_is_the_first_edge_that_enough_values_do_not_exceed(spark: Any) -> None:
    numbers = random.Random(1)
    groups = {name: [numbers.randrange(-5, 40) for _ in range(size)] for name, size in (("a", 1), ("b", 10), ("c", 77))}
    rows = [(name, value) for name, values in groups.items() for value in values] + [("d", None), ("b", None)]
    counted = (
        spark.createDataFrame(rows, "name string, value long")
        .groupBy("name")
        .agg(sf.count("value").alias("n"), *counts_below(sf.col("value"), EDGES))
    )
    below = [sf.col(name) for name in below_names(EDGES)]
    found = counted.select("name", *[quantile(q, sf.col("n"), below, EDGES, 99).alias(f"q{q}") for q in (50, 90)])

    for row in found.collect():
        for percent in (50, 90):
            values = sorted(groups.get(row["name"], []))
            at = values[ceil(len(values) * percent / 100) - 1] if values else None
            expected = None if at is None else next((edge for edge in EDGES if edge >= at), 99)
            assert row[f"q{percent}"] == expected, (row["name"], percent)


def test_groups_are_counted_and_found_again_in_one_pass(spark: Any) -> None:
    rows = [("2024-02-01", n, "xy"[n % 2], None if n == 3 else n % 3) for n in range(9)]
    frame = spark.createDataFrame(rows, "ds string, id long, site string, kind long")
    groups = {"site": ["site"], "both": ["site", "kind"]}
    found = in_groups(frame, groups).groupBy("ds", "group", "group_key").agg(sf.count("*").alias("rows"))
    result = with_groups(frame, found.where("group_key is not null"), groups, key=["id"], values=["rows"])

    counts: dict[Any, int] = defaultdict(int)
    for _, _, site, kind in rows:
        counts[site] += 1
        counts[site, kind] += 1
    answers = {row.id: (row.site, row.kind, row.site_rows, row.both_rows) for row in result.collect()}
    assert answers == {
        number: (site, kind, counts[site], None if kind is None else counts[site, kind])
        for _, number, site, kind in rows
    }


def test_a_snapshot_is_the_newest_that_is_not_after_the_day(spark: Any) -> None:
    snapshot = spark.createDataFrame(
        [
            ("2024-01-01", "2024-02-03", "a", 1),
            ("2024-01-01", "2024-02-03", "b", 2),
            ("2024-02-03", "9999-12-31", "a", 3),
        ],
        "as_of string, until string, site string, size long",
    )
    rows = spark.createDataFrame([(_day(n), site) for n in range(4) for site in "ab"], "ds string, site string")

    found = {(row.ds, row.site): row["size"] for row in with_newest(rows, snapshot, on=["site"]).collect()}

    assert [found[_day(n), "a"] for n in range(4)] == [1, 1, 3, 3]
    assert [found[_day(n), "b"] for n in range(4)] == [2, 2, None, None]


def test_means_and_sums_do_not_depend_on_the_order_of_rows(spark: Any) -> None:
    values = [0.1, 1e6, -0.3, 7.77, -1e6, 0.2]
    results = set()
    for seed in range(3):
        random.Random(seed).shuffle(values)
        frame = spark.createDataFrame([(value,) for value in [*values, None]], "value double").repartition(3)
        results.add(tuple(frame.agg(exact_mean(sf.col("value")), exact_sum(sf.col("value"))).first()))

    assert results == {(1.295, 7.77)}


def test_days_and_clock_times(spark: Any) -> None:
    frame = spark.createDataFrame([("2024-02-28", 2400, 5), ("2024-02-29", 59, 0)], "ds string, hhmm long, n long")
    moved = known_later(frame, ["2024-02-29"], 1)
    assert [(row.ds, row.hhmm) for row in moved.collect()] == [("2024-02-29", 2400)]
    instant = sf.to_timestamp(sf.lit("2024-07-01T03:30:00Z"))
    parts = frame.select(
        clock_hour(sf.col("hhmm")).alias("hour"),
        clock_minute(sf.col("hhmm")).alias("minute"),
        ratio(sf.lit(1), sf.col("n")).alias("ratio"),
        local_hour(instant, "America/New_York").alias("local"),
    )
    assert [tuple(row) for row in parts.collect()] == [(0, 0, 0.2, 23), (0, 59, None, 23)]
