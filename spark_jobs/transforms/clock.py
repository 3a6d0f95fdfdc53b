"""Clock times and calendar parts."""

from pyspark.sql import Column
from pyspark.sql import functions as sf


def clock_hour(hhmm: Column) -> Column:
    """The hour of a clock time written as a number: 17 for 1745, 0 for 2400."""
    return (sf.floor(hhmm / 100) % 24).cast("long")


def clock_minute(hhmm: Column) -> Column:
    """The minute of the day of a clock time written as a number; 2400 is 0."""
    return ((clock_hour(hhmm) * 60 + hhmm % 100) % 1440).cast("long")


def month(ds: Column) -> Column:
    """The month of a day, 1 to 12."""
    return sf.month(sf.to_date(ds)).cast("long")


def day_of_week(ds: Column) -> Column:
    """The day of the week, 1 for Monday to 7 for Sunday."""
    return (sf.weekday(sf.to_date(ds)) + 1).cast("long")


def local_hour(instant: Column, timezone: str) -> Column:
    """The hour of a timestamp on the clock of a timezone, 0 to 23."""
    return sf.hour(sf.from_utc_timestamp(instant, timezone)).cast("long")
