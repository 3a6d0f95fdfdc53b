"""Both engines of the gates say the same of the same rows."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from nightshift import storage, tables
from nightshift.commands import AuditCommand
from nightshift.gates.frames import audit_staged, frame_of
from nightshift.gates.run import Audit, CheckResult, Engine, PandasEngine, Request, audit_with
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


@pytest.fixture(autouse=True)
def few_jobs(spark: Any) -> Iterator[None]:
    """A question is one job, not one for each shuffle, and a job of few tasks: the rows are few."""
    fewer = {"spark.sql.adaptive.enabled": "false", "spark.sql.shuffle.partitions": "1"}
    before = {name: spark.conf.get(name) for name in fewer}
    for name, value in fewer.items():
        spark.conf.set(name, value)
    yield
    for name, value in before.items():
        spark.conf.set(name, value)


@pytest.fixture
def both_of(settings: Settings, pipeline: Pipeline, spark: Any) -> Callable[..., tuple[Audit, Audit]]:
    """Audits rows with both engines, by the limit of rows for pandas."""
    from spark_jobs.main import main

    def by_spark(_: Settings, command: AuditCommand) -> None:
        assert main(command.argv()) == 0

    def audits(
        columns: dict[str, Column], key: Sequence[str], gate: Gate, rows: list[dict[str, Any]], removable: int
    ) -> tuple[Audit, Audit]:
        job = Job(settings, pipeline, date(2024, 2, 10), run_spark=by_spark)
        table = job.table("inputs/orders")
        schema = tables.arrow_schema({name: column.type for name, column in columns.items()})
        batch = pa.RecordBatch.from_pylist(rows, schema=schema)
        files = tables.write_partition(table, job.attempt, job.day, "f", schema, [batch], rows_per_file=70)
        staged = Manifest("parcels", "inputs/orders", job.day, "f", job.attempt, "r", "", "", "", files)
        checks = (*contract_checks(columns, key), *custom_checks(gate))
        found = [audit_staged(job, table, staged, checks, columns, key, limit, removable) for limit in (1000, 10)]
        return found[0], found[1]

    return audits


@pytest.fixture
def both(both_of: Callable[..., tuple[Audit, Audit]]) -> Callable[[int], tuple[Audit, Audit]]:
    return lambda removable: both_of(COLUMNS, KEY, GATE, rows(), removable)


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


def test_the_same_results_and_the_same_failing_rows_and_the_answer_has_no_cell(
    both: Callable[[int], tuple[Audit, Audit]], settings: Settings
) -> None:
    pandas, spark = both(20)
    assert sorted(pandas.failing) == [3, 50, 90, 120, 150, 151, 180]
    same(pandas, spark)
    documents = [
        file for file in storage.list_files(settings.tables, recursive=True) if file.uri.endswith("answer.json")
    ]
    [answer] = documents
    text = storage.read_bytes(answer.uri).decode()
    assert "1000.0" not in text
    assert '"X"' not in text


def test_above_the_limit_no_row_leaves_and_all_are_measured(both: Callable[[int], tuple[Audit, Audit]]) -> None:
    pandas, spark = both(3)
    assert pandas.failing == {}
    same(pandas, spark)
    highest = next(item for item in spark.results if item.name == "expect_column_max_to_be_between")
    assert not highest.success
    assert highest.observed == {"observed": "not public"}


EDGES = {
    "s": Column(type="string", nulls=0.9),
    "i": Column(type="integer", nulls=0.9, min=0, max=3),
    "j": Column(type="integer", nulls=0.9),
    "n": Column(type="number", nulls=0.9, min=-1, max=2),
    "m": Column(type="number", nulls=0.9, max=1e300),
    "b": Column(type="boolean", nulls=0.9),
    "d": Column(type="date", nulls=0.9, min=date(1900, 1, 1)),
    "t": Column(type="timestamp", nulls=0.9, min=datetime(1900, 1, 1, tzinfo=UTC)),
    "key": Column(type="date"),
}
FAR = (date(1, 1, 1), date(1500, 2, 28), date(9999, 12, 31))
LONG_AGO = (
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1883, 11, 18, tzinfo=UTC),
    datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
)
TEXTS = ("a", "é", "e\u0301", "p\n", None, "\U0001d518")
NUMBERS = (-0.0, 0.0, math.nan, None, 1.5, 2.5, 1 / 3)
BIG = (2**62 + 1, 2**62 + 2, -(2**62), 2**53 + 1, 2**53)


def edge(number: int) -> dict[str, Any]:
    """A row of nulls, NaN, infinities, numbers at the edge of what engines hold, and moments of few calendars."""
    return {
        "s": TEXTS[number % 6],
        "i": None if number == 5 else number % 6,
        "j": BIG[number % 5],
        "n": NUMBERS[number % 7],
        "m": (math.inf, 1.0, 2.0, 1e300)[number % 4],
        "b": (True, False, None)[number % 3],
        "d": FAR[number % 3] if number % 2 else None,
        "t": None if number == 3 else LONG_AGO[number % 3],
        "key": date(1, 1, 1) + timedelta(days=number % 11),
    }


def _between(name: str, column: str, low: Any, high: Any) -> dict[str, Any]:
    return {f"expect_column_{name}_to_be_between": {"column": column, "min_value": low, "max_value": high}}


# Java has no `\\Z`, its `$` and `\\w` are others than Python's, and it has `\\p{L}`, which Python does not know.
REGEXES = (r"^p$", r"p\Z", r"^\w$", r"(?i)É", r"\p{L}")
EDGE_GATE = Gate(
    policy="quarantine",
    limit=1.0,
    expect=(
        *({"expect_column_values_to_match_regex": {"column": "s", "regex": regex}} for regex in REGEXES),
        {"expect_column_value_lengths_to_equal": {"column": "s", "value": 1}},
        {"expect_column_values_to_be_in_set": {"column": "d", "value_set": [date(1500, 2, 28)]}},
        {"expect_column_values_to_be_in_set": {"column": "n", "value_set": [0.0, 1.5]}},
        {"expect_column_pair_values_a_to_be_greater_than_b": {"column_A": "m", "column_B": "n"}},
        {"expect_column_values_to_be_between": {"column": "j", "min_value": 2**62, "row_condition": 'col("i") > 1'}},
        {"expect_column_values_to_match_strftime_format": {"column": "s", "strftime_format": "%Y"}},
        {"expect_column_values_to_be_dateutil_parseable": {"column": "s", "mostly": 0.5}},
        *({"expect_column_values_to_be_unique": {"column": column}} for column in EDGES),
        *(_between("unique_value_count", column, 1, 3) for column in EDGES),
        *(_between("proportion_of_non_null_values", column, 0.9, 1) for column in "nd"),
        *(_between("min", column, low, high) for column, low, high in (
            ("s", "b", "z"), ("i", 1, 2), ("j", 0, 1), ("n", 0, 1), ("m", 0, 1), ("d", FAR[1], FAR[2]))),
        *(_between("max", column, low, high) for column, low, high in (
            ("s", "a", "z"), ("i", 0, 5), ("j", 0, 2**62 + 2), ("n", 0, 2.5), ("m", 0, 1e308), ("d", FAR[0], FAR[1]))),
        *(_between(name, column, 0.5, 3) for name in ("mean", "sum", "stdev") for column in "inm"),
        {"expect_column_distinct_values_to_be_in_set": {"column": "s", "value_set": ["a", "é"]}},
        {"expect_column_distinct_values_to_contain_set": {"column": "n", "value_set": [0.0, 1.5]}},
        {"expect_column_distinct_values_to_equal_set": {"column": "i", "value_set": [0, 1, 2, 3, 4, 5]}},
        {"expect_column_distinct_values_to_be_in_set": {"column": "b", "value_set": [True, False]}},
        {"expect_compound_columns_to_be_unique": {"column_list": ["d", "t"]}},
        {"expect_compound_columns_to_be_unique": {"column_list": ["s", "i"]}},
        {"expect_table_columns_to_match_ordered_list": {"column_list": list(EDGES)}},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Remembering:
    """An engine that is asked each question once: an answer of Spark's is dozens of jobs."""

    engine: Engine
    known: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def validate(self, checks: Sequence[Request], positions: bool) -> list[dict[str, Any]]:
        question = repr((checks, positions))
        if question not in self.known:
            self.known[question] = self.engine.validate(checks, positions)
        return self.known[question]

    def without(self, positions: Collection[int]) -> Engine:
        return self.engine.without(positions)


@pytest.mark.parametrize("number", [12, 0])
def test_edges_are_judged_alike(settings: Settings, pipeline: Pipeline, spark: Any, number: int) -> None:
    from spark_jobs.audit import engine_of

    table, schema = f"{settings.lake}/edges", tables.arrow_schema({name: item.type for name, item in EDGES.items()})
    batch = pa.RecordBatch.from_pylist([edge(place) for place in range(number)], schema=schema)
    files = tables.write_partition(table, "a1", "2024-02-10", "f", schema, [batch], rows_per_file=7)
    checks = (*contract_checks(EDGES, ["key"]), *custom_checks(EDGE_GATE))
    whole = tables.read(table, files, schema.names, schema)
    engine = Remembering(engine_of(spark, table, files, EDGES))
    for removable in (0, number):
        pandas = audit_with(PandasEngine(frame_of(whole)), checks, EDGES, removable)
        by_spark = audit_with(engine, checks, EDGES, removable)
        pairs = zip(by_spark.results, pandas.results, strict=True)
        assert [(line(one), line(other)) for one, other in pairs if line(one) != line(other)] == []
        assert by_spark.failing == pandas.failing
    assert bool(pandas.failing) is bool(number)


WHOLE = {
    "k": Column(type="string"),
    "w": Column(type="integer", nulls=0.9, public=True),
    "v": Column(type="integer", nulls=1.0, public=True),
    "n": Column(type="number", nulls=0.9),
}
SUM = 6 * (2**63 - 1) - 6


def test_integers_neither_wrap_around_nor_are_rounded_whichever_engine_judges(
    both_of: Callable[..., tuple[Audit, Audit]],
) -> None:
    gate = Gate(
        expect=(
            *(_between("sum", "w", low, high) for low, high in ((0, 2.0**66), (-(2.0**63), 0), (6 * 2.0**63, None))),
            *(_between("sum", column, 0, 3) for column in "vn"),
            *(_between("max", "w", 2**62, high) for high in (2.0**62, 2.0**63)),
            *(_between(name, "w", 2.0**61, 2.0**64) for name in ("mean", "stdev")),
            {"expect_multicolumn_sum_to_equal": {"column_list": ["w", "w"], "sum_total": -2}},
        )
    )
    rows = [
        {"k": str(place), "w": (2**63 - 1, -2, 2**63 - 1, None)[place % 4], "v": None, "n": place / 8}
        for place in range(12)
    ]
    pandas, spark = both_of(WHOLE, ("k",), gate, rows, 0)
    found = pandas.results[-10:]
    assert [result.success for result in found] == [True, False, False, True, False, False, True, True, True, False]
    assert found[0].observed == {"observed": SUM}
    assert found[-1].unexpected == 9
    assert [line(one) for one in spark.results] == [line(one) for one in pandas.results]
    assert [one.observed for one in spark.results[-10:-3]] == [one.observed for one in found[:-3]]


def line(result: CheckResult) -> tuple[Any, ...]:
    where = (result.name, str(result.arguments))
    return (*where, result.success, result.unexpected, result.rows, bool(result.error))


def test_a_year_of_one_digit_leaves_for_quarantine_whichever_engine_judges(
    both_of: Callable[..., tuple[Audit, Audit]],
) -> None:
    columns = {"a": Column(type="string"), "day": Column(type="date", min=date(1900, 1, 1))}
    rows = [{"a": str(number), "day": date(2024, 1, 1)} for number in range(20)]
    rows[7]["day"] = date(1, 1, 1)
    pandas, spark = both_of(columns, ("a",), Gate(), rows, 5)
    assert pandas.failing == {7: ["expect_column_values_to_be_between(day)"]}
    same(pandas, spark)


def test_what_spark_would_answer_otherwise_has_no_answer_above_the_limit(
    both_of: Callable[..., tuple[Audit, Audit]],
) -> None:
    gate = Gate(expect=({"expect_column_median_to_be_between": {"column": "n", "min_value": 0}},))
    columns = {"a": Column(type="string"), "n": Column(type="number")}
    rows = [{"a": str(number), "n": 1.0} for number in range(20)]
    pandas, spark = both_of(columns, ("a",), gate, rows, 0)
    assert [result.success for result in pandas.results] == [True] * 4
    assert [result.success for result in spark.results] == [True, True, True, False]
    assert spark.results[-1].error == (
        "could not be evaluated (pandas and Spark answer it in different ways: raise gate.rows above 20)"
    )
