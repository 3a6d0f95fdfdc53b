"""A small job that touches what real ones touch: for the class-data archive."""

from pathlib import Path

from pyspark.sql import DataFrame, SparkSession, types
from pyspark.sql import functions as sf

from spark_jobs.reading import day_of_file, read_files
from spark_jobs.transforms.days import known_later
from spark_jobs.transforms.exact import exact_mean, ratio
from spark_jobs.transforms.groups import GROUP, in_groups, with_groups
from spark_jobs.transforms.quantiles import below_names, counts_below, quantile
from spark_jobs.transforms.snapshots import with_newest
from spark_jobs.transforms.trailing import trailing

_DAYS = [f"2000-01-{day:02d}" for day in range(1, 11)]
_GROUPS = {"name": ["name"], "pair": ["name", "half"]}
_EDGES = (10, 100)


def warm_up(spark: SparkSession, folder: str) -> None:
    """Write, read, aggregate, join, sort and write partitions below a folder."""
    source, target = str(Path(folder, "source")), str(Path(folder, "target"))
    day = sf.element_at(sf.array(*[sf.lit(ds) for ds in _DAYS]), (sf.col("id") % 10 + 1).cast("int"))
    name = sf.concat(sf.lit("n"), (sf.col("id") % 7).cast("string"))
    numbers = spark.range(1000).select("id", name.alias("name"), (sf.col("id") / 2).alias("half"), day.alias("ds"))
    timed = numbers.withColumn("at", sf.timestamp_seconds(sf.col("id"))).withColumn("odd", sf.col("id") % 2 == 1)
    timed.repartition("ds").write.partitionBy("ds").parquet(source)
    schema = types.StructType().add("id", "long").add("name", "string").add("half", "double")
    schema = schema.add("at", "timestamp").add("odd", "boolean")
    files = [f"{source}/ds={ds}" for ds in _DAYS]
    rows = read_files(spark, schema, files).withColumn("ds", day_of_file())
    joined = _joined(rows)
    ordered = joined.repartition("ds").sortWithinPartitions("ds", "id")
    ordered.write.partitionBy("ds").option("maxRecordsPerFile", 50).parquet(target)


def _joined(rows: DataFrame) -> DataFrame:
    counted = [sf.count("*").alias("rows"), sf.sum("id").alias("total"), *counts_below(sf.col("id"), _EDGES)]
    daily = in_groups(rows, _GROUPS).groupBy("ds", *GROUP).agg(*counted)
    totals = trailing(daily, _DAYS, by=GROUP, sums=["rows", "total", *below_names(_EDGES)], windows=(1, 3), lag=1)
    below = [sf.col(f"{name}_3d") for name in below_names(_EDGES)]
    rates = [ratio(sf.col("total_3d"), sf.col("rows_3d")), quantile(90, sf.col("rows_3d"), below, _EDGES, 1000)]
    found = totals.select("ds", *GROUP, rates[0].alias("mean"), rates[1].alias("high"))
    valid = [sf.lit("2000-01-01").alias("as_of"), sf.lit("9").alias("until")]
    snapshot = rows.where("id < 5").select("name", *valid, "at")
    yesterday = known_later(rows, _DAYS, 1).groupBy("ds").agg(exact_mean(sf.col("half")).alias("half_mean"))
    joined = with_newest(rows.drop("at"), snapshot, on=["name"])
    joined = joined.join(sf.broadcast(yesterday), "ds", "left").withColumn("month", sf.month(sf.to_date("ds")))
    return with_groups(joined, found, _GROUPS, key=["id"], values=["mean", "high"])
