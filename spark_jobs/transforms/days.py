"""Days as text, ``YYYY-MM-DD``, the way every frame carries them."""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf


def moved(ds: Column, days: int) -> Column:
    """The day that many days later (earlier where negative), as text."""
    return sf.date_format(sf.date_add(sf.to_date(ds), days), "yyyy-MM-dd")


def known_later(rows: DataFrame, days: Sequence[str], lag: int) -> DataFrame:
    """The rows of a source under the day at whose cutoff they are the newest known: ``ds`` moves by the source's lag.

    For features of yesterday (``lag=1``); ``trailing`` is for windows of more days.
    """
    return rows.withColumn("ds", moved(sf.col("ds"), lag)).where(sf.col("ds").isin(list(days)))
