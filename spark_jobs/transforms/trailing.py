"""What the past says: totals over trailing windows, for many days in one aggregation."""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DecimalType, IntegralType

from nightshift.errors import SpecError


def trailing(  # noqa: PLR0913 (a window has a lag, lengths, groups and values)
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
    row_day, wanted_day = F.to_date("ds"), F.to_date("wanted_ds")
    first, last = F.to_date(F.lit(min(days))), F.to_date(F.lit(max(days)))
    # `greatest` and `least` skip nulls: the days of rows are never null, so there are none to skip here.
    start = F.greatest(F.date_add(row_day, lag), first)
    end = F.least(F.date_add(row_day, lag + longest - 1), last)
    near = daily.where(start <= end)
    sent = near.withColumn("wanted_day", F.explode(F.sequence(start, end)))
    sent = sent.withColumn("wanted_ds", F.date_format("wanted_day", "yyyy-MM-dd"))
    sent = sent.where(F.col("wanted_ds").isin(list(days)))
    age = F.datediff(wanted_day, row_day) - lag
    totals = [
        F.coalesce(F.sum(F.when(age < window, F.col(value))), F.lit(0)).alias(f"{value}_{window}d")
        for window in windows
        for value in sums
    ]
    return sent.groupBy(F.col("wanted_ds").alias("ds"), *by).agg(*totals)


def _check_sums(daily: DataFrame, sums: Sequence[str]) -> None:
    for name in sums:
        found = daily.schema[name].dataType
        if not isinstance(found, IntegralType | DecimalType):
            raise SpecError(
                f"trailing sums {name}, which is {found.simpleString()}: such a sum depends on the order of rows",
                allowed="integers and decimals",
                do="cast it to a whole number, or use exact() of spark_jobs.transforms.exact",
            )
