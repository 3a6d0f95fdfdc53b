"""Which engine audits a staged partition: pandas in this process, or Spark for what is too large for it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nightshift import storage, tables
from nightshift.commands import AuditCommand
from nightshift.errors import NightshiftError
from nightshift.gates.results import NO_ANSWER, CheckResult
from nightshift.gates.run import Audit, audit
from nightshift.gates.suite import Check, checked_columns
from nightshift.job import Job
from nightshift.lineage import Manifest
from nightshift.specs.expectations import pandas_alone
from nightshift.specs.model import Column

if TYPE_CHECKING:
    from pandas import DataFrame

_EXACT_IN_FLOAT = 2**53
_MOST_COLUMNS = 1024


def audit_staged(
    job: Job,
    table: str,
    staged: Manifest,
    checks: Sequence[Check],
    columns: Mapping[str, Column],
    key: Sequence[str],
    pandas_rows: int,
    removable: int,
) -> Audit:
    """Audit a partition, reading only the columns that the key and the checks name; see ``gates.run.audit_with``.

    Above ``pandas_rows`` rows a Spark job audits, with the same results; a check that Spark would answer in another way
    has no answer then. Positions count rows over the manifest's files in their order.
    """
    names = checked_columns(checks, key, list(columns))
    if staged.rows > pandas_rows:
        return _without_refused(job, table, staged, checks, {name: columns[name] for name in names}, removable)
    schema = tables.arrow_schema({name: column.type for name, column in columns.items()})
    rows = tables.read(table, staged.files, names, schema)
    return audit(frame_of(rows), checks, columns, removable)


def frame_of(rows: pa.Table, integers: Mapping[str, str] | None = None) -> "DataFrame":
    """The rows in pandas, without loss: integers are floats, or of 64 bits, only where their sums are exact.

    ``integers`` has pandas' types of integer columns, for rows that are a part of more.
    """
    frame: DataFrame = rows.to_pandas()
    for field in rows.schema:
        if not pa.types.is_integer(field.type):
            continue
        column = rows[field.name]
        kind = integers[field.name] if integers is not None else _integer_type(column)
        if kind == "object":
            frame[field.name] = _python_integers(column)
        elif kind == "float64" and not column.null_count:
            frame[field.name] = frame[field.name].astype("float64")
    return frame


def _python_integers(column: pa.ChunkedArray) -> Any:
    integers = pc.fill_null(column, 0).to_numpy().astype(object)
    integers[pc.is_null(column).to_numpy()] = None
    return integers


def _integer_type(column: pa.ChunkedArray) -> str:
    bounds = pc.min_max(column).as_py()
    return integer_type(bool(column.null_count), bounds["min"], bounds["max"], len(column))


def integer_type(nulls: bool, least: int | None, greatest: int | None, rows: int = 0) -> str:
    """The type in pandas of an integer column with these extremes, with or without nulls.

    ``rows`` is how many of them an expectation may add up. Where a sum of them, or of as many columns of one row as
    there may be, does not fit what a float holds exactly, they are Python's own integers. Numpy's wrap around when they
    are added or subtracted, and are rounded beside a bound, which is a float to Great Expectations.
    """
    greatest_sum = max(abs(least or 0), abs(greatest or 0)) * max(rows, _MOST_COLUMNS)
    if greatest_sum > _EXACT_IN_FLOAT:
        return "object"
    return "float64" if nulls else "int64"


def _without_refused(
    job: Job, table: str, staged: Manifest, checks: Sequence[Check], columns: Mapping[str, Column], removable: int
) -> Audit:
    """Audits by Spark; checks that it would answer in another way have no answer, and `nightshift check` names them."""
    types = {name: column.type for name, column in columns.items()}
    why = [pandas_alone(check.name, check.arguments, types) for check in checks]
    found = _by_spark(
        job, table, staged, [check for check, words in zip(checks, why, strict=True) if not words], columns, removable
    )
    answers = iter(found.results)
    results = tuple(
        CheckResult(
            check.name,
            ", ".join(check.columns) or None,
            check.arguments,
            False,
            row_level=check.row_level,
            error=f"{NO_ANSWER} ({words}: raise gate.rows above {staged.rows})",
        )
        if words
        else next(answers)
        for check, words in zip(checks, why, strict=True)
    )
    return Audit(results, found.failing)


def _by_spark(
    job: Job,
    table: str,
    staged: Manifest,
    checks: Sequence[Check],
    columns: Mapping[str, Column],
    removable: int,
) -> Audit:
    if job.run_spark is None:
        raise NightshiftError(
            f"{staged.rows} rows are more than gate.rows, and this process has no Spark to audit them with",
            where=f"{staged.dataset} of {staged.ds}",
            do="raise gate.rows in the spec, or run the step where Spark can be started",
        )
    request = job.document(f"audit-{staged.dataset.replace('/', '-')}-{staged.ds}-{job.attempt}")
    answer = request.removesuffix(".json") + "-answer.json"
    document = {
        "table": table,
        "files": [asdict(file) for file in staged.files],
        "columns": {name: column.model_dump_json() for name, column in columns.items()},
        "checks": [asdict(check) for check in checks],
        "removable": removable,
        "answer": answer,
    }
    storage.write_json(request, document)
    job.run_spark(job.settings, AuditCommand(request))
    return read_answer(storage.read_json(answer))


def answer_document(found: Audit) -> dict[str, Any]:
    """An audit as the document in which a Spark job answers."""
    return {"results": [asdict(result) for result in found.results], "failing": found.failing}


def read_answer(document: Mapping[str, Any]) -> Audit:
    """The audit that ``answer_document`` made."""
    failing = {int(position): list(names) for position, names in document["failing"].items()}
    return Audit(tuple(CheckResult(**item) for item in document["results"]), dict(sorted(failing.items())))
