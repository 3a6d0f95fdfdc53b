"""Features of the pipeline turbines."""

from pyspark.sql import functions as F

from spark_jobs.transforms.exact import exact


def build(inputs, days):
    """Forecast, site, and what the site fed in on the five days that are known two days later."""
    asked = F.explode(F.array(*[F.lit(day) for day in days])).alias("ds")
    readings = inputs["readings"]
    day = readings.groupBy("site", F.col("ds").alias("day")).agg(
        F.sum(exact(F.col("energy"), 4)).alias("total"), F.count("energy").alias("readings")
    )
    wanted = day.select("*", asked)
    age = F.datediff(F.to_date("ds"), F.to_date("day"))
    past = (
        wanted.where(age.between(2, 6))
        .groupBy("site", "ds")
        .agg((F.sum("total") / F.sum("readings")).cast("double").alias("energy_mean_5d"))
    )
    sites = inputs["sites"].select("site", "capacity", "offshore", "as_of", asked)
    newest = (
        sites.where(F.col("as_of") <= F.col("ds"))
        .groupBy("site", "ds")
        .agg(F.max_by("capacity", "as_of").alias("capacity"), F.max_by("offshore", "as_of").alias("offshore"))
    )
    return (
        inputs["forecast"]
        .where(F.col("ds").isin(list(days)))
        .join(newest, ["site", "ds"], "left")
        .join(past, ["site", "ds"], "left")
        .select(
            "ds",
            "site",
            "hour",
            "wind",
            F.pow("wind", F.lit(3)).alias("wind_cubed"),
            "capacity",
            "offshore",
            "energy_mean_5d",
        )
    )


def label(inputs, days):
    """The energy of each site and hour."""
    readings = inputs["readings"].where(F.col("ds").isin(list(days)) & F.col("energy").isNotNull())
    return readings.select("ds", "site", F.hour("measured_at").alias("hour"), "energy")
