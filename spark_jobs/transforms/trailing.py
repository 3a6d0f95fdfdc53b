"""What the past says: totals over trailing windows, for many days in one aggregation."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf
from pyspark.sql.types import DecimalType, IntegralType

from nightshift.errors import SpecError


def trailing(
    daily: DataFrame, days: Sequence[str], *, by: Sequence[str], sums: Sequence[str], windows: Sequence[int], lag: int
) -> DataFrame:
    """Totals of daily values over windows of days that end ``lag`` days before each wanted day.

    ``daily`` has ``ds``, the columns ``by`` and, for each group and day, additive values ``sums`` (integers or
    decimals, at best already one row for each group and day). The result has ``ds``, ``by`` and, for every value
    ``v`` and window ``w``, ``v_<w>d``: its total over ``[ds-lag-w+1, ds-lag]``, 0 where the window is empty. A group
    without a row in the longest window has no row. ``lag`` and the longest window are the lag and at most the
    lookback of the source in the spec.

    Each row is sent to the few days whose windows it falls into: no window functions, no join.
    """
    _check_sums(daily, sums)
    longest = max(windows)
    row_day, wanted_day = sf.to_date("ds"), sf.to_date("wanted_ds")
    first, last = sf.to_date(sf.lit(min(days))), sf.to_date(sf.lit(max(days)))
    # `greatest` and `least` skip nulls: the days of rows are never null, so there are none to skip here.
    start = sf.greatest(sf.date_add(row_day, lag), first)
    end = sf.least(sf.date_add(row_day, lag + longest - 1), last)
    near = daily.where(start <= end)
    sent = near.withColumn("wanted_day", sf.explode(sf.sequence(start, end)))
    sent = sent.withColumn("wanted_ds", sf.date_format("wanted_day", "yyyy-MM-dd"))
    sent = sent.where(sf.col("wanted_ds").isin(list(days)))
    age = sf.datediff(wanted_day, row_day) - lag
    totals = []
    for window in windows:
        for value in sums:
            inside = sf.col(value) if window == longest else sf.when(age < window, sf.col(value))
            totals.append(sf.coalesce(sf.sum(inside), sf.lit(0)).alias(f"{value}_{window}d"))
    return sent.groupBy(sf.col("wanted_ds").alias("ds"), *by).agg(*totals)


def _check_sums(daily: DataFrame, sums: Sequence[str]) -> None:
    for name in sums:
        found = daily.schema[name].dataType
        if not isinstance(found, IntegralType | DecimalType):
            raise SpecError(
                f"trailing sums {name}, which is {found.simpleString()}: such a sum depends on the order of rows",
                allowed="integers and decimals",
                do="cast it to a whole number, or use exact() of spark_jobs.transforms.exact",
            )
