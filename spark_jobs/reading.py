"""The files of a build plan as frames, with an explicit schema and the day of each row."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, SparkSession, types
from pyspark.sql import functions as sf

from nightshift.errors import NightshiftError, SpecError
from nightshift.features.build_plan import BuildPlan, Source, Target
from spark_jobs.names import in_the_code

FAR = "9999-12-31"

_TYPES: Mapping[str, types.DataType] = {
    "string": types.StringType(),
    "category": types.StringType(),
    "integer": types.LongType(),
    "number": types.DoubleType(),
    "boolean": types.BooleanType(),
    "date": types.DateType(),
    "timestamp": types.TimestampType(),
}


class Inputs(dict[str, DataFrame]):
    """The frames of a feature module by source; asking for another source says which ones there are."""

    def __missing__(self, name: str) -> DataFrame:
        """Raises SpecError."""
        raise SpecError(
            f"there is no source {in_the_code([name])} here",
            allowed=", ".join(sorted(self)) or "none",
            do="declare it under inputs, and under features.inputs or label.inputs where those are given",
        )


def frames(spark: SparkSession, plan: BuildPlan, target: Target) -> Inputs:
    """What the function of a target is given: each of its sources, and of each only the days it may read."""
    return Inputs({name: _frame(spark, plan.sources[name], days) for name, days in target.inputs.items()})


def spark_schema(columns: Mapping[str, str]) -> types.StructType:
    """The schema of columns given as name and contract type; all are nullable."""
    return types.StructType([types.StructField(name, _TYPES[kind]) for name, kind in columns.items()])


def read_files(spark: SparkSession, schema: types.StructType, uris: Sequence[str]) -> DataFrame:
    """The rows of Parquet files with the columns that the files hold, whatever folders they lie in.

    Spark would take each ``name=value`` above a file for a column, which beats a column of that name in the file.
    """
    return spark.read.schema(schema).option("recursiveFileLookup", True).parquet(*uris)


def _frame(spark: SparkSession, source: Source, days: Sequence[str]) -> DataFrame:
    """The rows of some days, and ``ds`` as text. No source has a column of that name."""
    schema = spark_schema(source.columns)
    uris = [uri for day in days for uri in _checked(day, source.files.get(day, ()))]
    if uris:
        rows = read_files(spark, schema, uris).withColumn("ds", day_of_file())
    else:
        rows = spark.createDataFrame([], schema.add("ds", types.StringType()))
    return _snapshot(rows, days, source.lag) if source.snapshot else rows


def day_of_file() -> Column:
    """The day in the path of a row's file: the first ten characters after the last ``/ds=``, see ``_checked``."""
    return sf.substring(sf.substring_index(sf.col("_metadata.file_path"), "/ds=", -1), 1, 10)


def _snapshot(rows: DataFrame, days: Sequence[str], lag: int) -> DataFrame:
    """A snapshot's rows with the days for which it is the newest known: from ``as_of`` until the next one's, excluded.

    A snapshot with a lag is known so many days later: ``as_of`` is the first day that may use it.
    """
    known = [(date.fromisoformat(day) + timedelta(days=lag)).isoformat() for day in sorted(days)]
    first = _looked_up(dict(zip(sorted(days), known, strict=True)))
    until = _looked_up(dict(zip(sorted(days), [*known[1:], FAR], strict=True)))
    return rows.withColumn("until", until).withColumn("as_of", first).drop("ds")


def _looked_up(texts: Mapping[str, str]) -> Column:
    """The text of a row's ``ds``; nothing where there are no rows."""
    pairs = [sf.lit(text) for pair in texts.items() for text in pair]
    return sf.create_map(*pairs)[sf.col("ds")] if pairs else sf.lit(FAR)


def _checked(day: str, uris: Sequence[str]) -> Sequence[str]:
    for uri in uris:
        if f"/ds={day}/" not in uri or "/attempt=" not in uri:
            raise NightshiftError(
                f"the plan names a file for {day} that is not in a partition of that day",
                where=uri,
                allowed="<table>/attempt=…/ds=…/fingerprint=…/",
            )
    return uris
