"""Sums that do not depend on the order of rows.

A sum of doubles differs in its last digits with the order in which Spark adds them, so that a day computed alone
would not equal the same day computed with others. Sums of integers and decimals are exact.
"""

from pyspark.sql import Column
from pyspark.sql import functions as sf


def exact(value: Column, digits: int = 3) -> Column:
    """The value as a decimal with that many digits after the point, to be summed or averaged."""
    return value.cast(f"decimal(18,{digits})")


def exact_mean(value: Column, digits: int = 3) -> Column:
    """The mean of a group as a double, the same for any order of its rows; null where all are null."""
    return sf.avg(exact(value, digits)).cast("double")


def exact_sum(value: Column, digits: int = 3) -> Column:
    """The sum of a group as a double, the same for any order of its rows; null where all are null."""
    return sf.sum(exact(value, digits)).cast("double")


def ratio(part: Column, whole: Column) -> Column:
    """``part / whole`` as a double, null where the whole is null or zero."""
    return sf.try_divide(part.cast("double"), whole.cast("double"))
