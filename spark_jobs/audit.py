"""The gate of a partition too large for pandas: the same checks, judged by Great Expectations' Spark engine."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from nightshift import storage
from nightshift.commands import AuditCommand
from nightshift.gates.engine import POSITION, great_expectations, gx_validate
from nightshift.gates.frames import answer_document
from nightshift.gates.run import Request, audit_with
from nightshift.gates.suite import Check
from nightshift.specs.model import Column
from spark_jobs.reading import read_files, spark_schema


@dataclass(frozen=True)
class SparkEngine:
    """A Spark frame with the position of each row in a column of its own; see ``nightshift.gates.run.Engine``."""

    frame: DataFrame

    def validate(self, checks: Sequence[Request], positions: bool) -> list[dict[str, Any]]:
        """See ``Engine``. Without positions the column that holds them is no part of what is judged."""
        context = great_expectations().get_context(mode="ephemeral")
        asset = context.data_sources.add_spark("spark").add_dataframe_asset("rows")
        frame = self.frame if positions else self.frame.drop(POSITION)
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        return gx_validate(context, batch, checks, positions, index_column=POSITION)

    def without(self, positions: Collection[int]) -> "SparkEngine":
        """See ``Engine``."""
        gone = self.frame.sparkSession.createDataFrame([(position,) for position in positions], f"{POSITION} long")
        return SparkEngine(self.frame.join(sf.broadcast(gone), POSITION, "left_anti"))


def run(spark: SparkSession, command: AuditCommand) -> None:
    """Answer an audit request (see ``nightshift.gates.frames``)."""
    request = storage.read_json(command.request)
    columns = {name: Column.model_validate_json(text) for name, text in request["columns"].items()}
    checks = [Check(**item) for item in request["checks"]]
    frame = rows(spark, request["files"], columns).cache()
    storage.write_json(
        request["answer"], answer_document(audit_with(SparkEngine(frame), checks, columns, request["removable"]))
    )


def rows(spark: SparkSession, files: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]) -> DataFrame:
    """The rows of files (``uri`` and ``rows`` each) with their positions; NaN is null, as it is in pandas."""
    schema = spark_schema({name: column.type for name, column in columns.items()})
    numbers = {name for name, column in columns.items() if column.type == "number"}
    wanted = [sf.nanvl(sf.col(name), sf.lit(None)).alias(name) if name in numbers else sf.col(name) for name in columns]
    frames, first = [], 0
    for file in files:
        position = (sf.lit(first) + sf.col("_metadata.row_index")).alias(POSITION)
        frames.append(read_files(spark, schema, [file["uri"]]).select(*wanted, position))
        first += file["rows"]
    return reduce(DataFrame.union, frames)
