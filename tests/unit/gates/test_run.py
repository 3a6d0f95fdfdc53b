import io
import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightshift.errors import GateFailed
from nightshift.gates.frames import frame_of
from nightshift.gates.results import CheckResult, GateReport
from nightshift.gates.run import PandasEngine, Request, audit, audit_with, enforce
from nightshift.gates.suite import Check, contract_checks
from nightshift.specs.model import Column

COLUMNS = {
    "k": Column(type="string"),
    "depot": Column(type="string", allowed=("N", "S"), public=True),
    "weight": Column(type="number", min=0, max=100, nulls=0.5),
}
CHECKS = contract_checks(COLUMNS, ["k"])


def frame(**columns: list[Any]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def check(name: str, row_level: bool = False, **arguments: Any) -> Check:
    return Check(name, arguments, row_level)


GOOD = frame(k=["a", "b", "c", "d"], depot=["N", "S", "N", "N"], weight=[1.0, 100.0, None, 0.0])


def test_good_rows_pass_every_check() -> None:
    found = audit(GOOD, CHECKS, COLUMNS)
    assert [result.success for result in found.results] == [True] * 6
    assert found.failing == {}


def test_of_duplicates_all_rows_leave_and_each_row_knows_why() -> None:
    bad = frame(k=["a", "b", "a", None], depot=["N", "X", "N", "N"], weight=[1.0, 2.0, 101.0, 3.0])
    found = audit(bad, CHECKS, COLUMNS, removable=4)
    assert found.failing == {
        0: ["expect_column_values_to_be_unique(k)"],
        1: ["expect_column_values_to_be_in_set(depot)"],
        2: ["expect_column_values_to_be_unique(k)", "expect_column_values_to_be_between(weight)"],
        3: ["expect_column_values_to_not_be_null(k)"],
    }
    unique = found.results[1]
    assert (unique.unexpected, unique.rows, unique.fraction, unique.observed) == (2, 4, 0.5, {"nulls": 1})


@pytest.mark.parametrize("removable", [0, 1, 2, 3])
def test_more_failing_rows_than_may_leave_means_that_none_leaves(removable: int) -> None:
    bad = frame(k=["a", "b", "c", "d"], depot=["X", "Y", "N", "N"], weight=[1.0, 2.0, 3.0, -1.0])
    assert bool(audit(bad, CHECKS, COLUMNS, removable=removable).failing) == (removable == 3)


def test_the_table_is_measured_without_the_rows_that_leave() -> None:
    bad = frame(k=["a", "b", "c"], depot=["N", "N", "N"], weight=[10.0, 20.0, 9000.0])
    checks = [
        *CHECKS,
        check("expect_column_mean_to_be_between", column="weight", max_value=15),
        check("expect_table_row_count_to_equal", value=2),
    ]
    kept = audit(bad, checks, COLUMNS, removable=1)
    assert [(item.success, item.observed) for item in kept.results[-2:]] == [
        (True, {"observed": 15.0}),
        (True, {"observed": 2}),
    ]
    assert not audit(bad, checks, COLUMNS, removable=0).results[-1].success


def test_an_expectation_with_mostly_judges_the_table() -> None:
    mostly = check("expect_column_values_to_be_between", column="weight", max_value=50, mostly=0.5)
    found = audit(GOOD, [mostly], COLUMNS, removable=4)
    assert found.results[0].success
    assert found.results[0].unexpected == 1
    assert found.failing == {}


def test_values_are_kept_of_public_columns_alone() -> None:
    checks = [
        check("expect_column_max_to_be_between", column="weight", max_value=50),
        check("expect_column_median_to_be_between", column="weight", max_value=0),
        check("expect_column_most_common_value_to_be_in_set", column="k", value_set=["a"]),
        check("expect_column_most_common_value_to_be_in_set", column="depot", value_set=["S"]),
        check("expect_column_mean_to_be_between", column="weight", max_value=5),
    ]
    assert [result.observed for result in audit(GOOD, checks, COLUMNS).results] == [
        {"observed": "not public"},
        {"observed": "not public"},
        {"observed": "not public"},
        {"observed": ["N"]},
        {"observed": pytest.approx(101 / 3)},
    ]


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (check("expect_column_mean_to_be_between", column="nowhere"), "InvalidMetricAccessorDomainKwargsKeyError"),
        (check("expect_nothing"), "ExpectationNotFoundError"),
        (check("expect_column_values_to_be_between", True, column="k", min_value=5), "TypeError"),
        (check("expect_column_values_to_be_between", column="k", minimum=5), "ValidationError"),
        (check("expect_column_mean_to_be_between", column="k", min_value=5), "TypeError"),
    ],
)
def test_an_expectation_that_raises_fails_and_keeps_no_cell(wrong: Check, kind: str) -> None:
    secret = frame(k=["secret-1", "secret-2"], depot=["N", "S"], weight=[1.0, 2.0])
    found = audit(secret, [*CHECKS, wrong], COLUMNS, removable=2)
    assert not found.results[-1].success
    assert found.results[-1].error == f"could not be evaluated ({kind})"
    assert found.failing == {}
    assert "secret" not in str([asdict(result) for result in found.results])


def test_great_expectations_logs_nothing() -> None:
    stream = io.StringIO()
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel("DEBUG")
    try:
        audit(GOOD, [*CHECKS, check("expect_column_mean_to_be_between", column="k")], COLUMNS)
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    assert stream.getvalue() == ""


def test_dates_and_moments_are_compared_as_such() -> None:
    columns = {"on": Column(type="date"), "at": Column(type="timestamp")}
    rows = pa.table(
        {
            "on": pa.array([date(2024, 2, 3), None, date(2024, 2, 5)]),
            "at": pa.array([datetime(2024, 2, 3), datetime(2024, 2, 4), None], pa.timestamp("us", "UTC")),
        }
    )
    checks = [
        check("expect_column_values_to_be_between", True, column="on", max_value="2024-02-04"),
        check("expect_column_values_to_be_between", True, column="at", min_value="2024-02-03T02:00:00+02:00"),
        check("expect_column_values_to_be_in_set", True, column="on", value_set=["2024-02-03"]),
        check("expect_column_values_to_be_between", True, column="at", min_value="2024-02-03T00:00:01+00:00"),
    ]
    found = audit(frame_of(rows), checks, columns, removable=3)
    assert [result.success for result in found.results] == [False, True, False, False]
    assert list(found.failing) == [0, 2]


@pytest.mark.parametrize(("column", "bound"), [("on", "yesterday"), ("on", "2024-02-03T10:00"), ("at", "2024-02-03")])
def test_a_bound_that_is_no_date_or_moment_has_no_answer(column: str, bound: str) -> None:
    columns = {"on": Column(type="date"), "at": Column(type="timestamp")}
    rows = pa.table({"on": [date(2024, 2, 3)], "at": pa.array([datetime(2024, 2, 3)], pa.timestamp("us", "UTC"))})
    wrong = check("expect_column_values_to_be_between", True, column=column, min_value=bound)
    [result] = audit(frame_of(rows), [wrong], columns, removable=1).results
    assert not result.success
    assert result.error.startswith("could not be evaluated")


def test_large_integers_with_nulls_stay_exact() -> None:
    rows = pa.table({"n": pa.array([2**53 + 1, None, 5])})
    found = audit(frame_of(rows), [check("expect_column_values_to_be_in_set", True, column="n", value_set=[2**53, 5])])
    assert found.results[0].unexpected == 1
    assert frame_of(pa.table({"n": pa.array([1, None])}))["n"].dtype == "float64"
    assert frame_of(pa.table({"n": pa.array([2**40, 1])}))["n"].dtype == "int64"


LEAST, MOST = -(2**63), 2**63 - 1


def whole(**columns: list[int | None]) -> pd.DataFrame:
    return frame_of(pa.table({name: pa.array(values, pa.int64()) for name, values in columns.items()}))


@pytest.mark.parametrize(
    ("name", "columns", "arguments", "unexpected"),
    [
        ("expect_column_sum_to_be_between", {"n": [MOST, MOST, 1]}, {"min_value": 1.8e19}, 0),
        ("expect_column_sum_to_be_between", {"n": [MOST, MOST, 1]}, {"max_value": 0}, 1),
        ("expect_column_sum_to_be_between", {"n": [LEAST, None, -1]}, {"max_value": -9.2e18}, 0),
        ("expect_column_sum_to_be_between", {"n": [2**53, None, 1]}, {"max_value": 2**53}, 1),
        ("expect_column_sum_to_be_between", {"n": [2**53, 1]}, {"max_value": 2**53}, 1),
        ("expect_column_mean_to_be_between", {"n": [MOST, MOST, None]}, {"min_value": 9e18}, 0),
        ("expect_column_stdev_to_be_between", {"n": [MOST, LEAST, None]}, {"min_value": 1e19}, 0),
        ("expect_column_max_to_be_between", {"n": [2**53 + 1, 3]}, {"max_value": 2**53}, 1),
        ("expect_column_min_to_be_between", {"n": [-(2**53) - 1, 3]}, {"min_value": -(2**53)}, 1),
        ("expect_column_values_to_be_between", {"n": [2**53 + 1, MOST, 2**53]}, {"max_value": 2**53}, 2),
        ("expect_column_values_to_be_in_set", {"n": [2**53 + 1, 2**53, 7]}, {"value_set": [2.0**53, 7.0]}, 1),
        ("expect_column_values_to_be_increasing", {"n": [LEAST, MOST]}, {}, 0),
        ("expect_column_values_to_be_decreasing", {"n": [LEAST, MOST]}, {}, 1),
        ("expect_multicolumn_sum_to_equal", {"n": [MOST, 2, None], "o": [1, 3, 5]}, {"sum_total": 2.0**63}, 2),
        ("expect_multicolumn_sum_to_equal", {"n": [MOST, MOST], "o": [1, -1]}, {"sum_total": float(LEAST)}, 2),
        ("expect_multicolumn_sum_to_equal", {"n": [2**53, 0, None], "o": [1, 2**53, 1]}, {"sum_total": 2**53}, 2),
        ("expect_column_pair_values_a_to_be_greater_than_b", {"n": [MOST, None], "o": [MOST - 1, 1]}, {}, 1),
        ("expect_column_pair_values_to_be_equal", {"n": [MOST, 5], "o": [MOST - 1, 5]}, {}, 1),
        ("expect_multicolumn_values_to_be_equal", {"n": [MOST, 5], "o": [MOST - 1, 5]}, {}, 1),
        ("expect_select_column_values_to_be_unique_within_record", {"n": [MOST, 5], "o": [MOST - 1, 5]}, {}, 1),
    ],
)
def test_integers_neither_wrap_around_nor_are_rounded(
    name: str, columns: dict[str, list[int | None]], arguments: dict[str, Any], unexpected: int
) -> None:
    named = (
        {"column_A": "n", "column_B": "o"}
        if "pair" in name
        else {"column_list": ["n", "o"]}
        if "o" in columns
        else {"column": "n"}
    )
    [result] = audit(whole(**columns), [check(name, **named, **arguments)]).results
    assert result.error == ""
    assert result.success is not bool(unexpected)
    assert result.unexpected == (unexpected if result.rows else 0), "what is about the column counts no rows"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.none() | st.integers(LEAST, MOST) | st.integers(2**53 - 2, 2**53 + 2) | st.integers(-3, 3),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([0.0, 2.0**53, -(2.0**53), 2.0**62, 2.0**63, -(2.0**63)]),
)
def test_a_sum_is_compared_as_pythons(values: list[int | None], bound: float) -> None:
    exact = sum(value for value in values if value is not None)
    checks = [
        check("expect_column_sum_to_be_between", column="n", max_value=bound),
        check("expect_column_values_to_be_between", True, column="n", max_value=bound),
    ]
    in_sum, in_rows = audit(whole(n=values), checks).results
    assert in_sum.success is (exact <= bound)
    assert in_rows.unexpected == sum(value is not None and value > bound for value in values)


def test_no_rows_pass_what_is_about_rows_and_fail_a_mean() -> None:
    empty = frame_of(
        pa.table({name: pa.array([], pa.string()) for name in ("k", "depot")} | {"weight": pa.array([], pa.float64())})
    )
    found = audit(empty, [*CHECKS, check("expect_column_mean_to_be_between", column="weight", min_value=0)], COLUMNS)
    assert [result.success for result in found.results] == [True] * 6 + [False]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e", None]),
        st.sampled_from(["N", "S", "X", None]),
        st.sampled_from([None, -1.0, 0.0, 50.0, 100.0, 101.0]),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_the_rows_that_leave_are_those_that_a_plain_loop_finds(rows: list[tuple[Any, Any, Any]]) -> None:
    names = [row[0] for row in rows]
    wrong = {
        number
        for number, (key, depot, weight) in enumerate(rows)
        if names.count(key) > 1 - (key is None) or depot not in ("N", "S") or not 0 <= (weight or 0) <= 100
    }
    schema = pa.schema([("k", pa.string()), ("depot", pa.string()), ("weight", pa.float64())])
    table = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)
    assert set(audit(frame_of(table), CHECKS, COLUMNS, removable=len(rows)).failing) == wrong


def report(*results: CheckResult, status: Any = "blocked", **changes: Any) -> GateReport:
    return GateReport("parcels", "inputs/orders", "2024-02-10", "t", status, 1200, 0, results, **changes)


def test_a_blocked_report_is_an_error_that_ends_in_a_table() -> None:
    bounds = {"column": "weight", "min_value": 0, "max_value": 10}
    failed = (
        CheckResult("expect_column_values_to_be_between", "weight", bounds, False, {}, 3, 1200, True),
        CheckResult("expect_table_row_count_to_be_between", None, {"min_value": 5000}, False, {"observed": 1200}),
    )
    passed = CheckResult("fine", None, {}, True)
    with pytest.raises(GateFailed) as caught:
        enforce(report(*failed, passed, policy="quarantine", limit=0.001), "/reports/t.html")
    assert str(caught.value) == (
        "parcels/inputs/orders of 2024-02-10: the gate blocked 1200 rows: 2 of 3 expectations failed. What to do: "
        "Have the landing files of 2024-02-10 corrected, then clear gate_inputs of the days that read them. "
        "At most 0.1 % of the rows may leave for quarantine. "
        "If the data is right, correct the contract or the gate in include/pipelines/parcels.yaml, "
        "then clear the task. The report: /reports/t.html.\n\n"
        "expectation                           column  threshold  observed  unexpected\n"
        "------------------------------------  ------  ---------  --------  -------------------\n"
        "expect_column_values_to_be_between    weight  ≥ 0, ≤ 10            3 of 1,200 (0.25 %)\n"
        "expect_table_row_count_to_be_between          ≥ 5,000    1,200"
    )
    assert caught.value.links == {"gate report": "/reports/t.html"}
    assert not caught.value.retryable


@pytest.mark.parametrize("status", ["passed", "warned", "quarantined"])
def test_what_is_not_blocked_is_no_error(status: str) -> None:
    enforce(report(CheckResult("a", None, {}, False), status=status))


def test_nan_is_null() -> None:
    found = audit(frame(weight=[math.nan, 1.0]), [check("expect_column_values_to_not_be_null", True, column="weight")])
    assert found.results[0].unexpected == 1


@dataclass(frozen=True)
class Losing:
    """An engine that counts all rows and loses the position of one, as Spark's does of a moment in year 1."""

    engine: PandasEngine
    lost: int

    def validate(self, checks: Sequence[Request], positions: bool) -> list[dict[str, Any]]:
        answers = self.engine.validate(checks, positions)
        return [{**item, "positions": [n for n in item["positions"] if n != self.lost]} for item in answers]

    def without(self, positions: Collection[int]) -> "Losing":
        return Losing(self.engine.without(positions), self.lost)


def test_a_row_that_was_counted_and_not_located_stops_the_rest_from_leaving() -> None:
    bad = frame(k=["a", "b", "c", "d"], depot=["N", "N", "N", "X"], weight=[-1.0, 101.0, 1.0, 2.0])
    engine = PandasEngine(bad)
    assert sorted(audit_with(engine, CHECKS, COLUMNS, 4).failing) == [0, 1, 3]
    found = audit_with(Losing(engine, 1), CHECKS, COLUMNS, 4)
    assert found.failing == {}
    [error] = [result.error for result in found.results if result.error]
    assert error == "could not be evaluated (2 rows were counted, 1 were located)"
