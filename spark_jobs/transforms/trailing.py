"""What the past says: totals over trailing windows, for many days in one aggregation."""

from collections.abc import Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf
from pyspark.sql.types import DecimalType, IntegralType

from nightshift.errors import SpecError
from spark_jobs.transforms.internal import internal

_EPOCH = date(1970, 1, 1).toordinal()
_NUMBER, _WANTED = internal("day number"), internal("wanted day")


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
    _check(daily, by, sums)
    longest, numbers = max(windows), sorted(date.fromisoformat(day).toordinal() - _EPOCH for day in days)
    # Day numbers: text and dates would be made and read again for each row and day of its windows.
    numbered = daily.withColumn(_NUMBER, sf.unix_date(sf.to_date("ds")) + lag)
    # `greatest` and `least` skip nulls: the days of rows are never null, so there are none to skip here.
    first = sf.greatest(sf.col(_NUMBER), sf.lit(numbers[0]))
    last = sf.least(sf.col(_NUMBER) + (longest - 1), sf.lit(numbers[-1]))
    sent = numbered.where(first <= last).withColumn(_WANTED, sf.explode(sf.sequence(first, last)))
    if len(set(numbers)) <= numbers[-1] - numbers[0]:
        sent = sent.where(sf.col(_WANTED).isin(numbers))
    age = sf.col(_WANTED) - sf.col(_NUMBER)
    totals = []
    for window in windows:
        for value in sums:
            inside = sf.col(value) if window == longest else sf.when(age < window, sf.col(value))
            totals.append(sf.coalesce(sf.sum(inside), sf.lit(0)).alias(f"{value}_{window}d"))
    found = sent.groupBy(_WANTED, *by).agg(*totals)
    ds = sf.date_format(sf.date_from_unix_date(_WANTED), "yyyy-MM-dd")
    return found.withColumn("ds", ds).drop(_WANTED)


def _check(daily: DataFrame, by: Sequence[str], sums: Sequence[str]) -> None:
    if any(name.lower() == "ds" for name in by):
        raise SpecError(
            "trailing groups by ds: the result has the wanted day of that name",
            do="take ds out of `by`: each wanted day has totals of its own",
        )
    for name in sums:
        found = daily.schema[name].dataType
        if not isinstance(found, IntegralType | DecimalType):
            raise SpecError(
                f"trailing sums {name}, which is {found.simpleString()}: such a sum depends on the order of rows",
                allowed="integers and decimals",
                do="cast it to a whole number, or use exact() of spark_jobs.transforms.exact",
            )
