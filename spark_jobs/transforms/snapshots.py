"""Reference data as it was: for each day the newest snapshot that is not after it."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_jobs.transforms.days import day_frame


def with_newest(rows: DataFrame, snapshot: DataFrame, days: Sequence[str], on: Sequence[str]) -> DataFrame:
    """The rows with the columns of the newest snapshot whose ``as_of`` is not after their ``ds``, null where it has no match.

    ``snapshot`` has ``as_of``, the columns ``on`` (unique within ``as_of``) and those to add.
    """
    known = day_frame(rows.sparkSession, days).join(
        F.broadcast(snapshot.select("as_of").distinct()), F.col("as_of") <= F.col("ds")
    )
    newest = known.groupBy("ds").agg(F.max("as_of").alias("as_of"))
    return rows.join(F.broadcast(newest), "ds", "left").join(snapshot, ["as_of", *on], "left").drop("as_of")
