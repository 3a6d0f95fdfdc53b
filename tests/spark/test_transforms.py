"""The transforms against plain Python over the same random rows."""

import random
from collections import defaultdict
from datetime import date, timedelta
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import functions as sf

from nightshift.errors import SpecError
from nightshift.features.build_plan import Source
from nightshift.tables import arrow_schema, write_partition
from spark_jobs.reading import _frame
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


@pytest.mark.parametrize("lag", [0, 2])
def test_a_snapshot_is_the_newest_known_from_its_lag_on(spark: Any, tmp_path: Path, lag: int) -> None:
    schema, days = arrow_schema({"site": "string", "size": "integer"}), ("2024-02-01", "2024-02-05")
    files = {}
    for size, day in enumerate(days):
        rows = pa.record_batch([["a"], [size]], schema=schema)
        [file] = write_partition(str(tmp_path), "one", day, "f1", schema, [rows])
        files[day] = (str(tmp_path / file.path),)
    source = Source({"site": "string", "size": "integer"}, snapshot=True, files=files, lag=lag)
    frame = _frame(spark, source, days)
    wanted = [f"2024-02-{number:02d}" for number in range(1, 10)]
    asked = spark.createDataFrame([(ds, "a") for ds in wanted], "ds string, site string")
    found = {row.ds: row["size"] for row in with_newest(asked, frame, on=["site"]).collect()}
    known = {ds: [size for size, day in enumerate(days) if moved_by(day, lag) <= ds] for ds in wanted}
    assert found == {ds: sizes[-1] if sizes else None for ds, sizes in known.items()}


def moved_by(day: str, number: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=number)).isoformat()


INTERNAL = ("day_number", "wanted", "Wanted", "row", "answers", "group", "group_key", "found", "as_of", "until")


@pytest.mark.parametrize("name", [*INTERNAL[:3], "nightshift_wanted_day"])
def test_trailing_sums_a_column_of_any_name(spark: Any, name: str) -> None:
    days = [_day(number) for number in (3, 4, 8)]
    rows = [(_day(number), "ab"[number % 2], number + 1) for number in range(8)]
    tables = [
        trailing(spark.createDataFrame(rows, schema), days, by=[by], sums=[value], windows=(2, 5), lag=1)
        .select("ds", by, f"{value}_2d", f"{value}_5d")
        .collect()
        for schema, by, value in (
            ("ds string, site string, value long", "site", "value"),
            (f"ds string, site string, {name} long", "site", name),
            (f"ds string, {name} string, value long", name, "value"),
        )
    ]
    assert len(tables[0]) == 6
    assert [{tuple(row) for row in rows} for rows in tables[1:]] == [{tuple(row) for row in tables[0]}] * 2


def test_trailing_refuses_to_group_by_the_day(spark: Any) -> None:
    frame = spark.createDataFrame([("2024-02-01", 1)], "ds string, value long")
    with pytest.raises(SpecError, match="trailing groups by ds: the result has the wanted day of that name"):
        trailing(frame, ["2024-02-02"], by=["DS"], sums=["value"], windows=(1,), lag=1)


@pytest.mark.parametrize("name", INTERNAL)
def test_groups_are_found_by_and_beside_columns_of_any_name(spark: Any, name: str) -> None:
    rows = [(_day(0), number, "xy"[number % 2], number) for number in range(4)]
    found = spark.createDataFrame([(_day(0), "site", "x", 7)], "ds string, group string, group_key string, n long")
    results = []
    for key, site, value, answer in (("id", "site", "v", "n"), (name, "s", "v", "n"), ("id", name, "v", "n"),
                                     ("id", "s", name, "n"), ("id", "s", "v", name)):  # fmt: skip
        frame = spark.createDataFrame(rows, f"ds string, {key} long, {site} string, {value} long")
        if answer == name and name in ("group", "group_key"):
            continue  # `found` has these names for what they are
        answers = found.withColumnRenamed("n", answer)
        result = with_groups(frame, answers, {"site": [site]}, key=[key], values=[answer])
        assert result.columns == ["ds", key, site, value, f"site_{answer}"]
        results.append({tuple(row) for row in result.collect()})
    assert results[0] == {(*row, 7 if row[2] == "x" else None) for row in rows}
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("name", ["group", "Group_Key"])
def test_rows_in_groups_have_no_column_of_their_names(spark: Any, name: str) -> None:
    frame = spark.createDataFrame([("2024-02-01", "a")], f"ds string, {name} string")
    with pytest.raises(SpecError, match=f"in_groups adds group and group_key, and the rows have a column {name}"):
        in_groups(frame, {"one": [name]})


def test_a_key_of_several_columns_is_no_other_key(spark: Any) -> None:
    pairs = [("a|b", "c"), ("a", "b|c"), ("", "|"), ("|", ""), ("1|", ""), ("", "1|"), ("a", None)]
    frame = spark.createDataFrame([("2024-02-01", *pair) for pair in pairs], "ds string, one string, two string")
    keys = [row.group_key for row in in_groups(frame, {"both": ["one", "two"]}).collect()]
    assert len(set(keys)) == len(pairs)
    assert keys.count(None) == 1


@pytest.mark.parametrize("name", ["snapshot_site", "until", "as_of", "row"])
def test_a_snapshot_is_joined_beside_columns_of_any_name(spark: Any, name: str) -> None:
    snapshot = spark.createDataFrame(
        [("2024-01-01", "2024-02-03", "a", 1), ("2024-02-03", "9999-12-31", "a", 3)],
        "as_of string, until string, site string, size long",
    )
    rows = spark.createDataFrame([(_day(n), "a", n) for n in range(4)], f"ds string, site string, {name} long")
    result = with_newest(rows, snapshot, on=["site"])
    assert result.columns == ["ds", "site", name, "size"]
    assert [tuple(row)[2:] for row in result.orderBy("ds").collect()] == [(0, 1), (1, 1), (2, 3), (3, 3)]
