"""Departures: by how many minutes the afternoon's departures will be late, by airport and hour."""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from spark_jobs.transforms.clock import day_of_week
from spark_jobs.transforms.exact import exact_mean, exact_sum, ratio
from spark_jobs.transforms.trailing import trailing

LAG = 2
COUNTS = ["departures", "departed", "minutes"]


def build(inputs: Mapping[str, DataFrame], days: Sequence[str]) -> DataFrame:
    """One row for each airport and hour with departures, from what is known at noon."""
    today = {name: inputs[name].where(sf.col("ds").isin(list(days))) for name in ("schedule", "morning", "weather")}
    past = inputs["delays"].select("ds", "origin", "hour", *COUNTS)
    rows = _schedule(today["schedule"])
    for found, on in (
        (_morning(today["morning"]), ["ds", "origin"]),
        (_weather(today["weather"]), ["ds", "origin"]),
        (_history(past, days, ["origin"], 7, "origin"), ["ds", "origin"]),
        (_history(past, days, ["origin", "hour"], 21, "hour"), ["ds", "origin", "hour"]),
    ):
        rows = rows.join(sf.broadcast(found), on, "left")
    return rows


def label(inputs: Mapping[str, DataFrame], days: Sequence[str]) -> DataFrame:
    """The mean delay of each airport and hour in which something left."""
    outcomes = inputs["delays"].where(sf.col("ds").isin(list(days)) & (sf.col("departed") > 0))
    return outcomes.select("ds", "origin", "hour", ratio(sf.col("minutes"), sf.col("departed")).alias("delay"))


def _schedule(schedule: DataFrame) -> DataFrame:
    distance = ratio(sf.col("miles"), sf.col("departures")).alias("distance")
    weekday = day_of_week(sf.col("ds")).alias("day_of_week")
    return schedule.select("ds", "origin", "hour", weekday, "departures", "carriers", distance)


def _morning(morning: DataFrame) -> DataFrame:
    """How the day has gone so far."""
    departed = sf.col("departed")
    return morning.select(
        "ds",
        "origin",
        ratio(departed, sf.col("departures")).alias("morning_departed_rate"),
        ratio(sf.col("late"), departed).alias("morning_late_rate"),
        ratio(sf.col("minutes"), departed).alias("morning_mean_delay"),
    )


def _weather(weather: DataFrame) -> DataFrame:
    return weather.groupBy("ds", "origin").agg(
        exact_mean(sf.col("temp")).alias("weather_temp_mean"),
        sf.max("wind_speed").alias("weather_wind_max"),
        exact_sum(sf.col("precip")).alias("weather_precip_sum"),
        exact_mean(sf.col("pressure")).alias("weather_pressure_mean"),
        sf.min("visib").alias("weather_visib_min"),
    )


def _history(past: DataFrame, days: Sequence[str], by: Sequence[str], window: int, name: str) -> DataFrame:
    """The rates of a trailing window for each group."""
    daily = past.groupBy("ds", *by).agg(*[sf.sum(count).alias(count) for count in COUNTS])
    totals = trailing(daily, days, by=by, sums=COUNTS, windows=(window,), lag=LAG)
    departures, departed, minutes = (sf.col(f"{count}_{window}d") for count in COUNTS)
    return totals.select(
        "ds",
        *by,
        ratio(departed, departures).alias(f"{name}_departed_rate_{window}d"),
        ratio(minutes, departed).alias(f"{name}_mean_delay_{window}d"),
    )
