"""Reference data as it was: for each day the newest snapshot that is not after it."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf


def with_newest(rows: DataFrame, snapshot: DataFrame, on: Sequence[str]) -> DataFrame:
    """The rows with the columns of the newest snapshot whose ``as_of`` is not after their ``ds``; null without a match.

    ``snapshot`` has ``as_of`` and ``until`` (the days for which it is the newest, the latter excluded), the columns
    ``on`` (unique within ``as_of``) and those to add.
    """
    newest = snapshot.withColumnsRenamed({name: f"snapshot_{name}" for name in on})
    same = [sf.col(name) == sf.col(f"snapshot_{name}") for name in on]
    known = sf.col("ds").between(sf.col("as_of"), sf.col("until")) & (sf.col("ds") != sf.col("until"))
    for condition in same:
        known = known & condition
    return rows.join(newest, known, "left").drop("as_of", "until", *[f"snapshot_{name}" for name in on])
