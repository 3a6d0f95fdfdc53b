"""Which engine audits a staged partition: pandas in this process, or Spark for what is too large for it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nightshift import storage, tables
from nightshift.commands import AuditCommand
from nightshift.errors import NightshiftError
from nightshift.gates.results import CheckResult
from nightshift.gates.run import Audit, audit
from nightshift.gates.suite import Check, checked_columns
from nightshift.job import Job
from nightshift.lineage import Manifest
from nightshift.specs.model import Column

if TYPE_CHECKING:
    from pandas import DataFrame

_EXACT_IN_FLOAT = 2**53


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

    Above ``pandas_rows`` rows a Spark job audits, with the same results. Positions count rows over the manifest's
    files in their order.
    """
    names = checked_columns(checks, key, list(columns))
    if staged.rows > pandas_rows:
        return _by_spark(job, table, staged, checks, {name: columns[name] for name in names}, removable)
    schema = tables.arrow_schema({name: column.type for name, column in columns.items()})
    rows = tables.read(table, staged.files, names, schema)
    return audit(frame_of(rows), checks, columns, removable)


def frame_of(rows: pa.Table) -> "DataFrame":
    """The rows in pandas, without loss: integers with nulls are floats only where these are exact."""
    import pandas as pd

    frame: DataFrame = rows.to_pandas()
    for field in rows.schema:
        column = rows[field.name]
        if pa.types.is_integer(field.type) and column.null_count:
            bounds = pc.min_max(column).as_py()
            if max(abs(bounds["min"] or 0), abs(bounds["max"] or 0)) > _EXACT_IN_FLOAT:
                frame[field.name] = pd.array(column.to_pylist(), dtype="Int64")
    return frame


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
        "files": [{"uri": storage.join(table, file.path), "rows": file.rows} for file in staged.files],
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
