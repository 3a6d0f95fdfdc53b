"""The gate of a partition too large for pandas: the same checks, and the same answers.

What judges each row by itself is judged in pandas, some rows at a time, as it is in a smaller partition. Great
Expectations' Spark engine judges what needs a column as a whole.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from nightshift import storage, tables
from nightshift.commands import AuditCommand
from nightshift.gates.chunks import chunks, judged
from nightshift.gates.engine import POSITION, great_expectations, gx_validate
from nightshift.gates.frames import answer_document, integer_type
from nightshift.gates.run import PandasEngine, Request, audit_with
from nightshift.gates.suite import Check
from nightshift.lineage import DataFile
from nightshift.specs.expectations import judges_rows, judges_values
from nightshift.specs.model import Column
from spark_jobs.reading import read_files, spark_schema

if TYPE_CHECKING:
    from pandas import DataFrame as PandasFrame


@dataclass(frozen=True)
class SparkEngine:
    """The rows of files, in Spark with the position of each in a column; see ``nightshift.gates.run.Engine``.

    ``integers`` has pandas' types of integer columns, ``gone`` the positions that are left out.
    """

    frame: DataFrame
    table: str
    files: Sequence[DataFile]
    schema: pa.Schema
    integers: Mapping[str, str]
    gone: frozenset[int] = field(default=frozenset(), repr=False)

    def validate(self, checks: Sequence[Request], positions: bool) -> list[dict[str, Any]]:
        """See ``Engine``. Without positions the column that holds them is no part of what is judged."""
        by_rows = [judges_rows(name) for name, _ in checks]
        answers = {
            rows: iter(judge([check for check, own in zip(checks, by_rows, strict=True) if own is rows], positions))
            for rows, judge in ((True, self._by_rows), (False, self._as_a_whole))
        }
        return [next(answers[rows]) for rows in by_rows]

    def without(self, positions: Collection[int]) -> "SparkEngine":
        """See ``Engine``."""
        gone = self.frame.sparkSession.createDataFrame([(position,) for position in positions], f"{POSITION} long")
        left = self.frame.join(sf.broadcast(gone), POSITION, "left_anti").cache()  # or each expectation would join
        return replace(self, frame=left, gone=self.gone | frozenset(positions))

    def _by_rows(self, checks: Sequence[Request], positions: bool) -> list[dict[str, Any]]:
        if not checks:
            return []
        return judged(self._chunks(), checks, positions, self.gone, self.integers)

    def _chunks(self) -> Iterator[pa.Table]:
        return chunks(tables.read_batches(self.table, self.files, self.schema.names, self.schema), self.schema)

    def _as_a_whole(self, checks: Sequence[Request], positions: bool) -> list[dict[str, Any]]:
        if not checks:
            return []
        context = great_expectations().get_context(mode="ephemeral")
        source = context.data_sources.add_spark("spark")
        frame = self.frame if positions else self.frame.drop(POSITION)
        kinds = [_kind(name, arguments.get("column") in self.integers) for name, arguments in checks]
        answers: dict[str, Iterator[dict[str, Any]]] = {}
        for kind in dict.fromkeys(kinds):
            asked = [check for check, own in zip(checks, kinds, strict=True) if own == kind]
            if kind == "sum of integers":
                sums = _sums(frame, {arguments["column"] for _, arguments in asked})
                answers[kind] = iter(PandasEngine(sums).validate(asked, positions))
                continue
            asset = source.add_dataframe_asset(kind)
            rows = _comparable(frame) if kind == "equal" else _with_zeros(frame) if kind == "sum" else frame
            batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows})
            answers[kind] = iter(gx_validate(context, batch, asked, positions, POSITION))
        return [next(answers[kind]) for kind in kinds]


def _kind(name: str, of_integers: bool) -> str:
    """What an expectation about whole columns looks at: which values are equal, which there are, or their sum."""
    if not judges_values(name):
        return "equal"
    if name != "expect_column_sum_to_be_between":
        return "values"
    return "sum of integers" if of_integers else "sum"


def run(spark: SparkSession, command: AuditCommand) -> None:
    """Answer an audit request (see ``nightshift.gates.frames``)."""
    request = storage.read_json(command.request)
    columns = {name: Column.model_validate_json(text) for name, text in request["columns"].items()}
    checks = [Check(**item) for item in request["checks"]]
    engine = engine_of(spark, request["table"], [DataFile(**item) for item in request["files"]], columns)
    storage.write_json(request["answer"], answer_document(audit_with(engine, checks, columns, request["removable"])))


def engine_of(spark: SparkSession, table: str, files: Sequence[DataFile], columns: Mapping[str, Column]) -> SparkEngine:
    """The engine over some files of a table."""
    schema = tables.arrow_schema({name: column.type for name, column in columns.items()})
    frame = rows(spark, table, files, columns).cache()
    names = [name for name, column in columns.items() if column.type == "integer"]
    wanted = [part for name in names for part in (sf.max(sf.col(name).isNull()), sf.min(name), sf.max(name))]
    found = list(frame.select(wanted).first() or ()) if wanted else []
    integers = {name: integer_type(*found[3 * place : 3 * place + 3]) for place, name in enumerate(names)}
    return SparkEngine(frame, table, files, schema, integers)


def _comparable(frame: DataFrame) -> DataFrame:
    """The frame with moments as numbers, equal where these are equal: Python cannot hold all moments of Spark."""
    numbers = {"date": sf.unix_date, "timestamp": sf.unix_micros}
    return frame.select(
        [numbers[kind](name).alias(name) if kind in numbers else sf.col(name) for name, kind in frame.dtypes]
    )


def _sums(frame: DataFrame, names: Collection[str]) -> "PandasFrame":
    """One row with the exact sums of integer columns: its own sum. Great Expectations would make Spark's a float."""
    import pandas as pd

    wanted = [sf.sum(sf.col(name).cast("decimal(38, 0)")).alias(name) for name in names]
    [found] = frame.select(wanted).collect()
    return pd.DataFrame({name: [int(found[name] or 0)] for name in names}, dtype=object)


def _with_zeros(frame: DataFrame) -> DataFrame:
    """The frame and a row of zeros, since the sum of nothing is 0 in pandas and null in Spark."""
    zeros = {name: 0 if kind == "double" else None for name, kind in frame.dtypes}
    row = [sf.lit(zero).cast(frame.schema[name].dataType).alias(name) for name, zero in zeros.items()]
    return frame.union(frame.sparkSession.range(1).select(row))


def rows(spark: SparkSession, table: str, files: Sequence[DataFile], columns: Mapping[str, Column]) -> DataFrame:
    """The rows of files with their positions; NaN is null, as it is in pandas."""
    schema = spark_schema({name: column.type for name, column in columns.items()})
    numbers = {name for name, column in columns.items() if column.type == "number"}
    wanted = [sf.nanvl(sf.col(name), sf.lit(None)).alias(name) if name in numbers else sf.col(name) for name in columns]
    frames, first = [], 0
    for file in files:
        position = (sf.lit(first) + sf.col("_metadata.row_index")).alias(POSITION)
        uri = storage.join(table, file.path)
        frames.append(read_files(spark, schema, [uri]).select(*wanted, position))
        first += file.rows
    return reduce(DataFrame.union, frames)
