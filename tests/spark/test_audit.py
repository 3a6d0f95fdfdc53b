"""Both engines of the gates say the same of the same rows."""

import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from nightshift import storage, tables
from nightshift.commands import AuditCommand
from nightshift.gates.frames import audit_staged
from nightshift.gates.run import Audit
from nightshift.gates.suite import contract_checks, custom_checks
from nightshift.job import Job
from nightshift.lineage import Manifest
from nightshift.settings import Settings
from nightshift.specs.model import Column, Gate, Pipeline

pytestmark = pytest.mark.spark

COLUMNS = {
    "a": Column(type="string"),
    "b": Column(type="integer"),
    "depot": Column(type="category", allowed=("N", "S"), public=True),
    "weight": Column(type="number", min=0, max=100, nulls=0.5),
    "late": Column(type="boolean", nulls=0.5),
    "day": Column(type="date", min=date(2024, 2, 1), max=date(2024, 2, 29)),
    "at": Column(type="timestamp", min=datetime(2024, 2, 1, tzinfo=UTC)),
}
KEY = ("a", "b")
GATE = Gate(
    expect=(
        {"expect_table_row_count_to_be_between": {"min_value": 190, "max_value": 1000}},
        {"expect_column_mean_to_be_between": {"column": "weight", "min_value": 0, "max_value": 60}},
        {"expect_column_max_to_be_between": {"column": "weight", "max_value": 100}},
        {"expect_column_values_to_be_in_set": {"column": "late", "value_set": [True], "mostly": 0.2}},
        {"expect_column_values_to_match_regex": {"column": "a", "regex": "^p"}},
        {"expect_table_columns_to_match_set": {"column_set": list(COLUMNS)}},
        {"expect_column_proportion_of_unique_values_to_be_between": {"column": "depot", "max_value": 0.5}},
        {"expect_column_mean_to_be_between": {"column": "nowhere"}},
    )
)


def rows() -> list[dict[str, Any]]:
    """200 rows over three files; some break the contract, each in another way."""
    start = datetime(2024, 2, 1, 5, tzinfo=UTC)
    made = [
        {
            "a": f"p{number // 2}",
            "b": number % 2,
            "depot": "NS"[number % 2],
            "weight": None if number % 5 == 0 else number / 4,
            "late": None if number % 3 == 0 else number % 7 == 0,
            "day": date(2024, 2, 1) + timedelta(days=number % 29),
            "at": start + timedelta(hours=number),
        }
        for number in range(200)
    ]
    made[3] |= {"depot": "X"}
    made[50] |= {"weight": 1000.0}
    made[51] |= {"weight": math.nan}
    made[90] |= {"a": None}
    made[120] |= {"day": date(2024, 3, 1), "at": datetime(2023, 1, 1, tzinfo=UTC)}
    made[150] |= {"a": made[151]["a"], "b": made[151]["b"]}
    made[180] |= {"a": "q"}
    return made


@pytest.fixture
def both(settings: Settings, pipeline: Pipeline, spark: Any) -> Callable[[int], tuple[Audit, Audit]]:
    from spark_jobs.main import main

    def by_spark(_: Settings, command: AuditCommand) -> None:
        assert main(command.argv()) == 0

    job = Job(settings, pipeline, date(2024, 2, 10), run_spark=by_spark)
    table = job.table("inputs/orders")
    schema = tables.arrow_schema({name: column.type for name, column in COLUMNS.items()})
    batch = pa.RecordBatch.from_pylist(rows(), schema=schema)
    files = tables.write_partition(table, job.attempt, job.day, "f", schema, [batch], rows_per_file=70)
    staged = Manifest("parcels", "inputs/orders", job.day, "f", job.attempt, "r", "", "", "", files)
    checks = (*contract_checks(COLUMNS, KEY), *custom_checks(GATE))

    def audits(removable: int) -> tuple[Audit, Audit]:
        found = [audit_staged(job, table, staged, checks, COLUMNS, KEY, limit, removable) for limit in (1000, 10)]
        return found[0], found[1]

    return audits


def rounded(audit: Audit) -> list[dict[str, Any]]:
    """The results, their means rounded: the engines add in another order. The kinds of errors are the engines' own."""
    documents = [asdict(result) for result in audit.results]
    for document in documents:
        observed = document["observed"]
        document["observed"] = {n: round(v, 9) if isinstance(v, float) else v for n, v in observed.items()}
        document["error"] = bool(document["error"])
    return documents


def same(one: Audit, other: Audit) -> None:
    assert rounded(one) == rounded(other)
    assert one.failing == other.failing


def test_the_same_results_and_the_same_failing_rows(both: Callable[[int], tuple[Audit, Audit]]) -> None:
    pandas, spark = both(20)
    assert sorted(pandas.failing) == [3, 50, 90, 120, 150, 151, 180]
    same(pandas, spark)


def test_above_the_limit_no_row_leaves_and_all_are_measured(both: Callable[[int], tuple[Audit, Audit]]) -> None:
    pandas, spark = both(3)
    assert pandas.failing == {}
    same(pandas, spark)
    highest = next(item for item in spark.results if item.name == "expect_column_max_to_be_between")
    assert not highest.success
    assert highest.observed == {"observed": "not public"}


def test_the_answer_lies_in_storage_and_has_no_cell(
    both: Callable[[int], tuple[Audit, Audit]], settings: Settings
) -> None:
    both(20)
    documents = [
        file for file in storage.list_files(settings.tables, recursive=True) if file.uri.endswith("answer.json")
    ]
    [answer] = documents
    text = storage.read_bytes(answer.uri).decode()
    assert "1000.0" not in text
    assert '"X"' not in text
