"""Numbers against 32-bit floats: what is infinite fails its row, what falls together is warned of."""

import math
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from nightshift import storage, tables
from nightshift.gates.partition import Audited, audit_partition
from nightshift.gates.single_precision import GREATEST, extremes, range_checks
from nightshift.job import Job, new_attempt
from nightshift.lineage import DataFile, Manifest
from nightshift.settings import Settings
from nightshift.specs.model import Column, Gate, Pipeline

DAY = "2024-02-10"
COLUMNS = {
    "k": Column(type="string"),
    "weight": Column(type="number", nulls=1.0),
    "doors": Column(type="integer", nulls=1.0),
}
SCHEMA = tables.arrow_schema({name: column.type for name, column in COLUMNS.items()})
WARNING = "values stay apart as the 32-bit floats that a model computes in"


@pytest.fixture
def job(settings: Settings, pipeline: Pipeline) -> Job:
    return Job(settings, pipeline, date(2024, 2, 10))


def gated(job: Job, x: list[float | None], n: list[int | None] | None = None, policy: Gate | None = None) -> Audited:
    rows = {"k": [f"k{place}" for place in range(len(x))], "weight": x, "doors": n or [None] * len(x)}
    attempt = new_attempt()
    batch = pa.record_batch(rows, schema=SCHEMA)
    files = tables.write_partition(job.table("features"), attempt, DAY, "f", SCHEMA, [batch], max(2, len(x) // 3))
    staged = Manifest("parcels", "features", DAY, "f", attempt, "run", "now", "v", "s", files)
    return audit_partition(job, dataset="features", staged=staged, columns=COLUMNS, key=("k",), gate=policy or Gate())


@pytest.mark.parametrize("value", [math.inf, -math.inf, 1e39, -3.5e38])
def test_what_is_infinite_as_a_32_bit_float_blocks_its_day_and_names_its_column(job: Job, value: float) -> None:
    report = gated(job, [1.0, None, value, 2.0]).report
    assert (report.status, report.ds) == ("blocked", DAY)
    [failed] = report.failed
    assert (failed.column, failed.unexpected) == ("weight", 1)


def test_it_may_leave_for_quarantine(job: Job) -> None:
    audited = gated(job, [1.0, math.inf, math.nan], policy=Gate(policy="quarantine", limit=0.5))
    assert (audited.report.status, audited.report.removed, audited.manifest.rows) == ("quarantined", 1, 2)


@pytest.mark.parametrize(
    ("x", "n"),
    [
        ([None] * 3, [16_777_216, 16_777_217, 5]),
        ([None] * 3, [-(2**60), -(2**60) + 1, 0]),
        ([1.7e9 - 1, 1.7e9, 1.7e9 + 1], None),
        ([1_000_000.01, 1_000_000.02, 1_000_000.03], None),
        ([1e-50, 5e-60, 3e-300], None),
        ([1_000_000.01, 1_000_000.02, 1_000_000.03, 0.0], None),
        ([1_000_000.01, 1_000_000.02, 1_000_000.03, -3e6], None),
        ([1e-50, 5e-60, 3e-300, 1.0], None),
        ([2.0**24, 2.0**24 + 1, 0.5], None),
        ([*(1_000 + place / 1e6 for place in range(500)), *(place / 7 for place in range(400))], None),
    ],
)
def test_what_falls_together_is_published_with_a_warning(
    job: Job, x: list[float | None], n: list[int | None] | None
) -> None:
    audited = gated(job, x, n)
    assert audited.report.status == "warned"
    assert [(item.name, item.column) for item in audited.report.failed] == [
        (WARNING, "weight" if n is None else "doors")
    ]
    assert audited.manifest.warnings == 1


@pytest.mark.parametrize(
    ("x", "n"),
    [
        ([0.1, 0.2, 1e-9, GREATEST, -GREATEST], None),
        ([None, math.nan, None], [2**24, 2**24 - 1, None]),
        ([2.0**40, 2.0**41, 0.5], [2**40, 2**41, 0]),
        ([1.7e9, 1.7e9, None], None),
        ([20_000_000.123, 31_000_000.456, 17_000_001.789], None),
        ([0.1, math.nextafter(0.1, 1), *(place / 7 for place in range(50))], None),
        (list(np.random.default_rng(1).normal(1_000, 1, 3_000)), None),
    ],
)
def test_ordinary_numbers_pass(job: Job, x: list[float | None], n: list[int | None] | None) -> None:
    assert gated(job, x, n).report.status == "passed"


def test_a_quarantine_does_not_hide_the_warning(job: Job) -> None:
    n: list[int | None] = [2**24, 2**24 + 1, 3]
    audited = gated(job, [1.0, 2.0, math.inf], n, Gate(policy="quarantine", limit=0.5))
    assert (audited.report.status, audited.manifest.warnings) == ("quarantined", 1)


@limits(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.none() | st.floats(allow_infinity=True, allow_nan=True), max_size=12),
    rows=st.integers(1, 5),
    footer=st.booleans(),
)
def test_extremes_are_numpys_whoever_wrote_the_footer(
    settings: Settings, values: list[float | None], rows: int, footer: bool
) -> None:
    table, name = storage.join(settings.lake, "t"), f"{new_attempt()}.parquet"
    system, path = storage.resolve(storage.join(table, name))
    system.create_dir(table)
    pq.write_table(pa.table({"x": pa.array(values, pa.float64())}), path, row_group_size=rows, write_statistics=footer)
    found = extremes(table, [DataFile(name, 1, len(values))], ["x", "later"])
    numbers = [value for value in values if value is not None and not math.isnan(value)]
    assert "later" not in found, "a file of before the column was added says nothing of it"
    assert ("x" in found) == bool(numbers)
    if numbers:
        assert (found["x"].least, found["x"].greatest) == (min(numbers), max(numbers))
        with np.errstate(over="ignore"):
            assert bool(range_checks(found)) == any(abs(value) > GREATEST for value in numbers)
