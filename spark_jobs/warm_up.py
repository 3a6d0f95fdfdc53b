"""A small job that touches what real ones touch: for the class-data archive."""

from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from spark_jobs.transforms.days import day_frame
from spark_jobs.transforms.trailing import trailing

_DAYS = [f"2000-01-{day:02d}" for day in range(1, 11)]


def warm_up(spark: SparkSession, folder: str) -> None:
    """Write, read, aggregate, join, sort and write partitions below a folder."""
    source, target = str(Path(folder, "source")), str(Path(folder, "target"))
    numbers = spark.range(1000).withColumn("name", sf.concat(sf.lit("n"), (sf.col("id") % 7).cast("string")))
    day = sf.element_at(sf.array(*[sf.lit(ds) for ds in _DAYS]), (sf.col("id") % 10 + 1).cast("int"))
    timed = numbers.withColumn("at", sf.timestamp_seconds(sf.col("id"))).withColumn("part", sf.col("id") / 3)
    timed.withColumn("ds", day).repartition("ds").write.partitionBy("ds").parquet(source)
    rows = spark.read.option("basePath", source).parquet(*[f"{source}/ds={ds}" for ds in _DAYS])
    daily = rows.groupBy("ds", "name").agg(sf.count("*").alias("rows"), sf.sum("id").alias("total"))
    totals = trailing(daily, _DAYS, by=["name"], sums=["rows", "total"], windows=(1, 3), lag=1)
    extremes = rows.groupBy("ds").agg(
        sf.max("part").alias("most"), sf.avg(sf.col("part").cast("decimal(18,3)")).alias("mean")
    )
    joined = rows.join(sf.broadcast(totals), ["ds", "name"], "left").join(sf.broadcast(extremes), "ds", "left")
    joined = joined.join(sf.broadcast(day_frame(spark, _DAYS)), "ds").withColumn("month", sf.month(sf.to_date("ds")))
    ordered = joined.repartition("ds").sortWithinPartitions("ds", "name", "id")
    ordered.write.partitionBy("ds").option("maxRecordsPerFile", 50).parquet(target)
