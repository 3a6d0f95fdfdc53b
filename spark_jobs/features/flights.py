"""Flights: which of today's departures arrive 30 minutes late or more, or never."""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from spark_jobs.transforms.clock import clock_hour, clock_minute, day_of_week, month
from spark_jobs.transforms.days import known_later
from spark_jobs.transforms.exact import exact_mean, exact_sum, ratio
from spark_jobs.transforms.groups import GROUP, in_groups, with_groups
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
EDGES = (0, 15, 30, 45, 60, 90, 120, 180)  # minutes of delay
ABOVE = 240
RATES = ("flights", "late_rate", "cancel_rate", "mean_delay", "p90_delay")
SUMS = ["flights", "late", "cancelled", "arrived", "delay", *below_names(EDGES)]


def build(inputs: Mapping[str, DataFrame], days: Sequence[str]) -> DataFrame:
    """One row for each scheduled flight of the days, from what is known at 02:00 of its day."""
    past = _past(inputs["actuals"])
    rows = _scheduled(inputs["schedule"], days)
    rows = with_newest(rows, _planes(inputs["planes"]), on=["tailnum"])
    rows = with_newest(rows, _airports(inputs["airports"]), on=["dest"])
    rows = rows.withColumn("plane_age", sf.year(sf.to_date("ds")) - sf.col("built"))
    rows = rows.join(sf.broadcast(_weather(inputs["weather"], days)), ["ds", "origin"], "left")
    rows = rows.join(sf.broadcast(_network(past, days)), "ds", "left")
    rows = with_groups(
        rows,
        _history(past, days),
        GROUPS,
        key=["flight_id"],
        values=[f"{rate}_{window}d" for rate in RATES for window in WINDOWS],
    )
    counts = [f"{group}_flights_{window}d" for group in GROUPS for window in WINDOWS]
    return rows.fillna(0, [*counts, "network_flights_1d"]).drop("tailnum", "built")


def label(inputs: Mapping[str, DataFrame], days: Sequence[str]) -> DataFrame:
    """1 for each flight that was late, cancelled or diverted, else 0."""
    outcomes = inputs["actuals"].where(sf.col("ds").isin(list(days)))
    return outcomes.select("ds", "flight_id", _late().cast("int").alias("late"))


def _late() -> Column:
    """A flight without an arrival delay never arrived."""
    return sf.col("cancelled") | sf.col("diverted") | sf.coalesce(sf.col("arr_delay") >= LATE_MINUTES, sf.lit(True))


def _scheduled(schedule: DataFrame, days: Sequence[str]) -> DataFrame:
    """What the schedule itself says.

    Upstream has no tail number for some flights, and it turns out that all of those were cancelled: whoever sees
    the gap knows the outcome. Such a flight gets the tail number of another flight of its carrier that day.
    """
    today = schedule.where(sf.col("ds").isin(list(days)))
    some_plane = sf.min_by("tailnum", sf.when(sf.col("tailnum").isNotNull(), sf.md5(sf.concat("ds", "tailnum"))))
    stand_in = today.groupBy("ds", "carrier").agg(some_plane.alias("stand_in"))
    rows = today.join(sf.broadcast(stand_in), ["ds", "carrier"]).select(
        "ds",
        "flight_id",
        "carrier",
        "origin",
        "dest",
        sf.coalesce("tailnum", "stand_in").alias("tailnum"),
        month(sf.col("ds")).alias("month"),
        day_of_week(sf.col("ds")).alias("day_of_week"),
        clock_hour(sf.col("sched_dep_time")).alias("dep_hour"),
        clock_minute(sf.col("sched_dep_time")).alias("dep_minute"),
        clock_minute(sf.col("sched_arr_time")).alias("arr_minute"),
        "distance",
    )
    hour = clock_hour(sf.col("sched_dep_time")).alias("dep_hour")
    per_hour = today.groupBy("ds", "origin", hour).agg(sf.count("*").alias("departures_origin_hour"))
    return rows.join(sf.broadcast(per_hour), ["ds", "origin", "dep_hour"])


def _planes(planes: DataFrame) -> DataFrame:
    return planes.select(
        "as_of", "until", "tailnum", sf.col("year").alias("built"), sf.col("seats").alias("plane_seats")
    )


def _airports(airports: DataFrame) -> DataFrame:
    place = [sf.col("lat").alias("dest_lat"), sf.col("lon").alias("dest_lon")]
    return airports.select("as_of", "until", sf.col("faa").alias("dest"), *place)


def _past(actuals: DataFrame) -> DataFrame:
    """The flights that have been, with what is counted; delays are whole minutes."""
    delay = sf.col("arr_delay").cast("long").alias("delay")
    hour = clock_hour(sf.col("sched_dep_time")).alias("dep_hour")
    return actuals.select("ds", "carrier", "tailnum", "origin", "dest", hour, delay, _late().alias("late"), "cancelled")


def _history(past: DataFrame, days: Sequence[str]) -> DataFrame:
    """For each group and day the ``RATES`` of each window."""
    daily = in_groups(past, GROUPS).where("group_key IS NOT NULL").groupBy("ds", *GROUP).agg(*_counted())
    totals = trailing(daily, days, by=GROUP, sums=SUMS, windows=WINDOWS, lag=LAG)
    rates = [rate.alias(f"{name}_{window}d") for window in WINDOWS for name, rate in _rates(f"_{window}d").items()]
    return totals.select("ds", *GROUP, *rates)


def _network(past: DataFrame, days: Sequence[str]) -> DataFrame:
    """Yesterday, all flights."""
    yesterday = known_later(past, days, LAG).groupBy("ds").agg(*_counted())
    return yesterday.select("ds", *[rate.alias(f"network_{name}_1d") for name, rate in _rates().items()])


def _counted() -> list[Column]:
    """What is counted of a group of flights; all of it adds up over days."""
    return [
        sf.count("*").alias("flights"),
        sf.count(sf.when(sf.col("late"), True)).alias("late"),
        sf.count(sf.when(sf.col("cancelled"), True)).alias("cancelled"),
        sf.count("delay").alias("arrived"),
        sf.coalesce(sf.sum("delay"), sf.lit(0)).alias("delay"),
        *counts_below(sf.col("delay"), EDGES),
    ]


def _rates(window: str = "") -> dict[str, Column]:
    """From what was counted (in a window) to what a model sees."""

    def total(name: str) -> Column:
        return sf.col(f"{name}{window}")

    below = [total(name) for name in below_names(EDGES)]
    return {
        "flights": total("flights"),
        "late_rate": ratio(total("late"), total("flights")),
        "cancel_rate": ratio(total("cancelled"), total("flights")),
        "mean_delay": ratio(total("delay"), total("arrived")),
        "p90_delay": quantile(90, total("arrived"), below, EDGES, ABOVE),
    }


def _weather(weather: DataFrame, days: Sequence[str]) -> DataFrame:
    """Yesterday at the origin."""
    return (
        known_later(weather, days, LAG)
        .groupBy("ds", "origin")
        .agg(
            exact_mean(sf.col("temp")).alias("weather_temp_mean"),
            exact_mean(sf.col("humid")).alias("weather_humid_mean"),
            sf.max("wind_speed").alias("weather_wind_max"),
            sf.max("wind_gust").alias("weather_gust_max"),
            exact_sum(sf.col("precip")).alias("weather_precip_sum"),
            exact_mean(sf.col("pressure")).alias("weather_pressure_mean"),
            sf.min("visib").alias("weather_visib_min"),
        )
    )
