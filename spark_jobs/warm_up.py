"""A small job that touches what real ones touch: for the class-data archive."""

from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from spark_jobs.transforms.days import day_frame
from spark_jobs.transforms.trailing import trailing

_DAYS = [f"2000-01-{day:02d}" for day in range(1, 11)]


def warm_up(spark: SparkSession, folder: str) -> None:
    """Write, read, aggregate, join, sort and write partitions below a folder."""
    source, target = str(Path(folder, "source")), str(Path(folder, "target"))
    numbers = spark.range(1000).withColumn("name", F.concat(F.lit("n"), (F.col("id") % 7).cast("string")))
    day = F.element_at(F.array(*[F.lit(ds) for ds in _DAYS]), (F.col("id") % 10 + 1).cast("int"))
    timed = numbers.withColumn("at", F.timestamp_seconds(F.col("id"))).withColumn("part", F.col("id") / 3)
    timed.withColumn("ds", day).repartition("ds").write.partitionBy("ds").parquet(source)
    rows = spark.read.option("basePath", source).parquet(*[f"{source}/ds={ds}" for ds in _DAYS])
    daily = rows.groupBy("ds", "name").agg(F.count("*").alias("rows"), F.sum("id").alias("total"))
    totals = trailing(daily, _DAYS, by=["name"], sums=["rows", "total"], windows=(1, 3), lag=1)
    extremes = rows.groupBy("ds").agg(
        F.max("part").alias("most"), F.avg(F.col("part").cast("decimal(18,3)")).alias("mean")
    )
    joined = rows.join(F.broadcast(totals), ["ds", "name"], "left").join(F.broadcast(extremes), "ds", "left")
    joined = joined.join(F.broadcast(day_frame(spark, _DAYS)), "ds").withColumn("month", F.month(F.to_date("ds")))
    ordered = joined.repartition("ds").sortWithinPartitions("ds", "name", "id")
    ordered.write.partitionBy("ds").option("maxRecordsPerFile", 50).parquet(target)
