"""Reference data as it was: for each day the newest snapshot that is not after it."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from spark_jobs.transforms.internal import internal


def with_newest(rows: DataFrame, snapshot: DataFrame, on: Sequence[str]) -> DataFrame:
    """The rows with the columns of the newest snapshot whose ``as_of`` is not after their ``ds``; null without a match.

    ``snapshot`` has ``as_of`` and ``until`` (the days for which it is the newest, the latter excluded), the columns
    ``on`` (unique within ``as_of``) and those to add.
    """
    names = {name: internal(name) for name in ("as_of", "until", *on)}
    newest = snapshot.withColumnsRenamed(names)
    known = (sf.col(names["as_of"]) <= sf.col("ds")) & (sf.col("ds") < sf.col(names["until"]))
    for name in on:
        known = known & (sf.col(name) == sf.col(names[name]))
    return rows.join(newest, known, "left").drop(*names.values())
