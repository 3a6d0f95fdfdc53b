"""The files of a build plan as frames, with an explicit schema and the day of each row."""

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from nightshift.errors import NightshiftError, SpecError
from nightshift.features.build_plan import BuildPlan, Source, Target

_TYPES: Mapping[str, T.DataType] = {
    "string": T.StringType(),
    "category": T.StringType(),
    "integer": T.LongType(),
    "number": T.DoubleType(),
    "boolean": T.BooleanType(),
    "date": T.DateType(),
    "timestamp": T.TimestampType(),
}


class Inputs(dict[str, DataFrame]):
    """The frames of a feature module by source; asking for another source says which ones there are."""

    def __missing__(self, name: str) -> DataFrame:
        """Raises SpecError."""
        raise SpecError(
            f"there is no source {name} here",
            allowed=", ".join(sorted(self)) or "none",
            do="declare it under inputs, and under features.inputs or label.inputs where those are given",
        )


def frames(spark: SparkSession, plan: BuildPlan, target: Target) -> Inputs:
    """What the function of a target is given: each of its sources, and of each only the days it may read."""
    return Inputs({name: _frame(spark, plan.sources[name], days) for name, days in target.inputs.items()})


def spark_schema(columns: Mapping[str, str]) -> T.StructType:
    """The schema of columns given as name and contract type; all are nullable."""
    return T.StructType([T.StructField(name, _TYPES[kind]) for name, kind in columns.items()])


def _frame(spark: SparkSession, source: Source, days: Sequence[str]) -> DataFrame:
    """The rows of some days. Spark takes ``ds`` from the files' paths: as text, since the schema says so."""
    schema = spark_schema(source.columns).add("ds", T.StringType())
    uris = [uri for day in days for uri in _checked(day, source.files.get(day, ()))]
    if uris:
        reader = spark.read.schema(schema).option("basePath", uris[0].partition("/attempt=")[0])
        rows = reader.parquet(*uris).select(*schema.names)
    else:
        rows = spark.createDataFrame([], schema)
    return rows.withColumnRenamed("ds", "as_of") if source.snapshot else rows


def _checked(day: str, uris: Sequence[str]) -> Sequence[str]:
    for uri in uris:
        if f"/ds={day}/" not in uri or "/attempt=" not in uri:
            raise NightshiftError(
                f"the plan names a file for {day} that is not in a partition of that day",
                where=uri,
                allowed="<table>/attempt=…/ds=…/fingerprint=…/",
            )
    return uris
