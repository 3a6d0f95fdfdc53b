"""Staging what a feature module returned: checked columns, sorted rows, one partition for each day."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from pyspark.sql import DataFrame, types
from pyspark.sql import functions as sf

from nightshift import storage
from nightshift.errors import NightshiftError, SpecError
from nightshift.features.build_plan import Target
from nightshift.lineage import DataFile
from nightshift.tables import arrow_schema, staged_files, write_partition
from spark_jobs.names import in_the_code
from spark_jobs.reading import spark_schema

NOT_ASKED = "nightshift: a row of a day that was not asked for"

_ACCEPTED: Mapping[str, tuple[type[types.DataType], ...]] = {
    "string": (types.StringType,),
    "category": (types.StringType,),
    "integer": (types.IntegralType,),
    "number": (types.FractionalType, types.IntegralType),
    "boolean": (types.BooleanType,),
    "date": (types.DateType,),
    "timestamp": (types.TimestampType,),
}


def conform(frame: DataFrame, target: Target, where: str) -> DataFrame:
    """The frame with exactly the columns of the contract, in its order and types, and ``ds``.

    Raises SpecError, its place ``where``, for other columns and for types that would lose something.
    """
    names, wanted = frame.columns, {**_contract(target), "ds": "string"}
    wrong = {
        "missing": [name for name in wanted if name not in names],
        "not in the contract": [name for name in names if name not in wanted],
        "there twice": sorted({name for name in names if names.count(name) > 1}),
    }
    if any(wrong.values()):
        found = "; ".join(f"{what}: {in_the_code(some, wanted)}" for what, some in wrong.items() if some)
        raise SpecError(
            f"the columns are not those of {target.dataset}: {found}", where=where, allowed=", ".join(wanted)
        )
    for name, kind in wanted.items():
        found_type = frame.schema[name].dataType
        if not isinstance(found_type, _ACCEPTED[kind]):
            raise SpecError(
                f"column {name} of {target.dataset} must be {kind}, and is {_shown(found_type)}",
                where=where,
                do="cast it in the module, or correct the spec",
            )
    schema = spark_schema(wanted)
    return frame.select(*[sf.col(field.name).cast(field.dataType) for field in schema])


def refuse_written(target: Target, attempt: str) -> None:
    """Raises NightshiftError where the attempt, or a part of it, has been written before."""
    roots = (f"attempt={attempt}", f"attempt={attempt}-")
    if any(name == roots[0] or name.startswith(roots[1]) for name in storage.list_folders(target.table)):
        raise NightshiftError(
            f"attempt {attempt} has written {target.dataset} before",
            where=storage.join(target.table, roots[0]),
            do="plan the build again: each try has an attempt of its own",
        )


def stage(frame: DataFrame, target: Target, attempt: str, rows_per_file: int) -> dict[str, tuple[DataFile, ...]]:
    """Write the rows below the attempt's root; returns the files of each day.

    Each day is one partition of the shuffle, hence one file (more where it has more rows than one may hold), its
    rows sorted by key.
    """
    root = storage.join(target.table, f"attempt={attempt}")
    days = sf.create_map(*[sf.lit(text) for item in target.days.items() for text in item])
    fingerprint = sf.coalesce(sf.try_element_at(days, sf.col("ds")), sf.raise_error(sf.lit(NOT_ASKED)))
    rows = frame.repartition("ds").withColumn("fingerprint", fingerprint)
    # Spark's writer sorts by the partition columns unless the rows are sorted so already, and then forgets the key.
    ordered = rows.sortWithinPartitions("ds", "fingerprint", *target.key)
    writer = ordered.write.partitionBy("ds", "fingerprint").option("maxRecordsPerFile", rows_per_file)
    writer.parquet(root)
    return {day: _files(target, attempt, day) for day in target.days}


def _files(target: Target, attempt: str, day: str) -> tuple[DataFile, ...]:
    """A day's files; a day without rows gets one file without rows."""
    fingerprint = target.days[day]
    files = staged_files(target.table, attempt, day, fingerprint)
    if files:
        return files
    return write_partition(target.table, attempt, day, fingerprint, arrow_schema(_contract(target)), [])


def _shown(found: types.DataType) -> str:
    """A type, without the names of the fields that it may have: those of a pivot are cells."""
    nested = types.StructType | types.ArrayType | types.MapType
    return found.typeName() if isinstance(found, nested) else found.simpleString()


def _contract(target: Target) -> dict[str, str]:
    """The columns, the key first."""
    return {**{name: target.columns[name] for name in target.key}, **target.columns}


def module_file(module: str) -> str:
    """How messages name a feature module."""
    return str(PurePosixPath("spark_jobs", "features", f"{module}.py"))
