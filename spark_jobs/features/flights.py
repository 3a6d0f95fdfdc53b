"""Flights: which of today's departures arrive 30 minutes late or more, or never."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_jobs.transforms.clock import clock_hour, clock_minute, day_of_week, month
from spark_jobs.transforms.days import known_later
from spark_jobs.transforms.exact import exact_mean, exact_sum, ratio
from spark_jobs.transforms.quantiles import below_names, counts_below, quantile
from spark_jobs.transforms.snapshots import with_newest
from spark_jobs.transforms.trailing import trailing

LATE_MINUTES = 30
LAG = 1
WINDOWS = (7, 28)
GROUPS = {
    "carrier": ["carrier"],
    "origin": ["origin"],
    "route": ["origin", "dest"],
    "hour": ["dep_hour"],
    "tail": ["tailnum"],
}
EDGES = (-10, 0, 10, 20, 30, 40, 50, 60, 80, 100, 120, 150, 180, 240)  # minutes of delay
ABOVE = 300
SUMS = ["flights", "late", "cancelled", "arrived", "delay", *below_names(EDGES)]


def build(inputs: Mapping[str, DataFrame], days: Sequence[str]) -> DataFrame:
    """One row for each scheduled flight of the days, from what is known at 02:00 of its day."""
    past = _past(inputs["actuals"])
    rows = _scheduled(inputs["schedule"], days)
    rows = with_newest(rows, _planes(inputs["planes"]), days, on=["tailnum"])
    rows = with_newest(rows, _airports(inputs["airports"]), days, on=["dest"])
    rows = rows.withColumn("plane_age", F.year(F.to_date("ds")) - F.col("built"))
    for group, by in GROUPS.items():
        rows = rows.join(F.broadcast(_history(past, days, group, by, WINDOWS)), ["ds", *by], "left")
    rows = rows.join(F.broadcast(_history(past, days, "network", [], (1,))), "ds", "left")
    rows = rows.join(F.broadcast(_weather(inputs["weather"], days)), ["ds", "origin"], "left")
    counts = [f"{group}_flights_{window}d" for group in GROUPS for window in WINDOWS]
    return rows.fillna(0, [*counts, "network_flights_1d"]).drop("tailnum", "built")


def label(inputs: Mapping[str, DataFrame], days: Sequence[str]) -> DataFrame:
    """1 for each flight that was late, cancelled or diverted, else 0."""
    outcomes = inputs["actuals"].where(F.col("ds").isin(list(days)))
    return outcomes.select("ds", "flight_id", _late().cast("int").alias("late"))


def _late() -> Column:
    """A flight without an arrival delay never arrived."""
    return F.col("cancelled") | F.col("diverted") | F.coalesce(F.col("arr_delay") >= LATE_MINUTES, F.lit(True))


def _scheduled(schedule: DataFrame, days: Sequence[str]) -> DataFrame:
    """What the schedule itself says.

    Upstream has no tail number for some flights, and it turns out that all of those were cancelled: whoever sees
    the gap knows the outcome. Such a flight gets the tail number of another flight of its carrier that day.
    """
    today = schedule.where(F.col("ds").isin(list(days)))
    some_plane = F.min_by("tailnum", F.when(F.col("tailnum").isNotNull(), F.md5(F.concat("ds", "tailnum"))))
    stand_in = today.groupBy("ds", "carrier").agg(some_plane.alias("stand_in"))
    rows = today.join(F.broadcast(stand_in), ["ds", "carrier"]).select(
        "ds",
        "flight_id",
        "carrier",
        "origin",
        "dest",
        F.coalesce("tailnum", "stand_in").alias("tailnum"),
        month(F.col("ds")).alias("month"),
        day_of_week(F.col("ds")).alias("day_of_week"),
        clock_hour(F.col("sched_dep_time")).alias("dep_hour"),
        clock_minute(F.col("sched_dep_time")).alias("dep_minute"),
        clock_minute(F.col("sched_arr_time")).alias("arr_minute"),
        "distance",
    )
    per_hour = rows.groupBy("ds", "origin", "dep_hour").agg(F.count("*").alias("departures_origin_hour"))
    per_origin = rows.groupBy("ds", "origin").agg(F.count("*").alias("departures_origin"))
    rows = rows.join(F.broadcast(per_hour), ["ds", "origin", "dep_hour"])
    return rows.join(F.broadcast(per_origin), ["ds", "origin"])


def _planes(planes: DataFrame) -> DataFrame:
    return planes.select("as_of", "tailnum", F.col("year").alias("built"), F.col("seats").alias("plane_seats"))


def _airports(airports: DataFrame) -> DataFrame:
    place = [F.col("lat").alias("dest_lat"), F.col("lon").alias("dest_lon")]
    return airports.select("as_of", F.col("faa").alias("dest"), *place)


def _past(actuals: DataFrame) -> DataFrame:
    """The flights that have been, with what is counted; delays are whole minutes."""
    delay = F.col("arr_delay").cast("long").alias("delay")
    hour = clock_hour(F.col("sched_dep_time")).alias("dep_hour")
    return actuals.select("ds", "carrier", "tailnum", "origin", "dest", hour, delay, _late().alias("late"), "cancelled")


def _history(past: DataFrame, days: Sequence[str], group: str, by: Sequence[str], windows: Sequence[int]) -> DataFrame:
    """Counts, rates and delays of a group over the windows, ``<group>_<what>_<window>d``."""
    complete = past.dropna(subset=list(by)) if by else past
    daily = complete.groupBy("ds", *by).agg(
        F.count("*").alias("flights"),
        F.count(F.when(F.col("late"), True)).alias("late"),
        F.count(F.when(F.col("cancelled"), True)).alias("cancelled"),
        F.count("delay").alias("arrived"),
        F.coalesce(F.sum("delay"), F.lit(0)).alias("delay"),
        *counts_below(F.col("delay"), EDGES),
    )
    totals = trailing(daily, days, by=by, sums=SUMS, windows=windows, lag=LAG)
    return totals.select("ds", *by, *[column for window in windows for column in _rates(group, window)])


def _rates(group: str, window: int) -> list[Column]:
    def total(name: str) -> Column:
        return F.col(f"{name}_{window}d")

    below = [total(name) for name in below_names(EDGES)]
    return [
        total("flights").alias(f"{group}_flights_{window}d"),
        ratio(total("late"), total("flights")).alias(f"{group}_late_rate_{window}d"),
        ratio(total("cancelled"), total("flights")).alias(f"{group}_cancel_rate_{window}d"),
        ratio(total("delay"), total("arrived")).alias(f"{group}_mean_delay_{window}d"),
        quantile(90, total("arrived"), below, EDGES, ABOVE).alias(f"{group}_p90_delay_{window}d"),
    ]


def _weather(weather: DataFrame, days: Sequence[str]) -> DataFrame:
    """Yesterday at the origin."""
    return (
        known_later(weather, days, LAG)
        .groupBy("ds", "origin")
        .agg(
            exact_mean(F.col("temp")).alias("weather_temp_mean"),
            exact_mean(F.col("humid")).alias("weather_humid_mean"),
            F.max("wind_speed").alias("weather_wind_max"),
            F.max("wind_gust").alias("weather_gust_max"),
            exact_sum(F.col("precip")).alias("weather_precip_sum"),
            exact_mean(F.col("pressure")).alias("weather_pressure_mean"),
            F.min("visib").alias("weather_visib_min"),
        )
    )
