"""Landing files that are not as they should be: what the task says, what Airflow does, and what readers see."""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightshift import storage
from nightshift.lineage import sha256
from nightshift.runs import read_run
from tests.bad_input.conftest import DS, LOOKBACK, Night
from tests.conftest import spec_document
from tests.unit.inputs.landed import DELIVERIES, drop, drop_day

GOOD = ("a,N,1.5", "b,S,2", "c,N,", "d,S,4")
CORRECT = "What to do: have the file corrected and landed again"
GATE = (
    "parcels/inputs/orders of 2024-02-05: the gate blocked {rows} rows: {failed} of {all} expectations failed. "
    "What to do: Have the landing files of 2024-02-05 corrected, then clear gate_inputs of the days that read them."
)


def content(*rows: str, header: str = "parcel_id,depot,weight") -> bytes:
    return "".join(f"{line}\n" for line in (header, *rows)).encode()


UNREADABLE: Mapping[str, tuple[bytes, str]] = {
    "truncated": (content(*GOOD)[:-3], f", row 5: a row has 2 cells instead of 3. {CORRECT}."),
    "empty": (
        b"",
        ": the file names none of the contract's columns: it has no header, or another delimiter. "
        f"Allowed: parcel_id, depot, weight. {CORRECT}.",
    ),
    "another header": (
        content(*GOOD, header="id;place;kg"),
        ": the file names none of the contract's columns: it has no header, or another delimiter. "
        f"Allowed: parcel_id, depot, weight. {CORRECT}.",
    ),
    "a column missing": (
        content("N,1", "S,2", header="depot,weight"),
        ": the columns are not the contract's: missing: parcel_id. Allowed: parcel_id, depot, weight. "
        f"{CORRECT}, or change the contract.",
    ),
    "a column twice": (
        content("a,N,1,x", header="parcel_id,depot,weight,depot"),
        ": the columns are not the contract's: more than once: depot. Allowed: parcel_id, depot, weight. "
        f"{CORRECT}, or change the contract.",
    ),
    "another encoding": (content("a,N,1") + b"\xe9,N,1\n", f", row 3: the text is not UTF-8. {CORRECT}."),
    "an open quote": (content("a,N,1", '"b,S,2', "c,N,3"), f", row 5: the quotes do not match. {CORRECT}."),
    "a comma in a field": (content("a,N,1", "b,S,2,5"), f", row 3: a row has 4 cells instead of 3. {CORRECT}."),
}  # fmt: skip


def told(path: Path) -> str:
    """How messages tell a file that is the only one of its delivery."""
    return f"{path.parent}, file 1 of 1 (SHA-256 {sha256(path.read_bytes())[:12]})"


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_fails_a_night_that_has_nothing_else(night: Night, case: str) -> None:
    flawed, words = UNREADABLE[case]
    path = drop(night.settings, f"orders/ds={DS}")
    path.write_bytes(flawed)
    found = night.fails("gate_inputs")
    assert (found.retried, found.message) == (False, f"{told(path)}{words}")
    assert night.seen("inputs/orders")[0] == -1
    assert sorted(night.seen("inputs/deliveries")[1]) == list(LOOKBACK), "what is good is published"


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_correction_that_cannot_be_read_changes_nothing_and_warns(night: Night, case: str) -> None:
    night.says("gate_inputs")
    before = night.seen("inputs/orders")
    flawed, words = UNREADABLE[case]
    path = drop(night.settings, f"orders/ds={DS}")
    path.write_bytes(flawed)
    assert night.says("gate_inputs") == (
        "0 partitions published (0 rows, 0 quarantined), 4 up to date; 1 warnings, the first: "
        f"orders of 2024-02-05: {told(path)}{words}"
    )
    assert night.seen("inputs/orders") == before


BLOCKED: Mapping[str, tuple[tuple[str, ...], dict[str, int], str]] = {
    "wrong type": (("a,N,heavy", "b,S,light", "c,N,3"), {"rows": 3, "failed": 1, "all": 7}, "weight parses as number"),
    "duplicate keys": (("a,N,1", "a,N,1", "a,S,2", "d,S,1"), {"rows": 4, "failed": 1, "all": 6}, "be_unique"),
    "nulls over the limit": (("a,N,", "b,S,", "c,N,", "d,S,1"), {"rows": 4, "failed": 1, "all": 6}, "not_be_null"),
    "out of range": (("a,N,-1", "b,S,101", "c,N,3"), {"rows": 3, "failed": 1, "all": 6}, "be_between"),
    "not allowed": (("a,X,1", "b,Y,1", "c,N,3"), {"rows": 3, "failed": 1, "all": 6}, "be_in_set"),
}  # fmt: skip
OVER = " At most 50 % of the rows may leave for quarantine."


@pytest.mark.parametrize("case", BLOCKED)
def test_rows_over_the_limit_block_their_day_and_no_other(night: Night, case: str) -> None:
    rows, counts, expectation = BLOCKED[case]
    drop(night.settings, f"orders/ds={DS}", *rows)
    found = night.fails("gate_inputs")
    assert not found.retried
    over = "" if case == "nulls over the limit" else OVER
    assert found.sentence.startswith(f"{GATE.format(**counts)}{over} If the data is right, ")
    assert expectation in found.message.splitlines()[4]
    assert night.seen("inputs/orders")[0] == -1
    assert night.seen("quarantine/inputs/orders")[0] == -1

    drop(night.settings, f"orders/ds={DS}", *GOOD)
    night.says("gate_inputs")
    before = night.seen("inputs/orders")
    drop(night.settings, f"orders/ds={DS}", *rows)
    assert "1 warnings, the first: orders of 2024-02-05: parcels/inputs/orders of 2024-02-05" in night.says(
        "gate_inputs"
    )
    assert night.seen("inputs/orders") == before
    assert len(before[2]["2024-02-05"]) == 4


@pytest.mark.parametrize(("rows", "seen"), [(0, "0"), (40, "40")])
def test_no_rows_and_ten_times_the_usual_rows_block_where_the_spec_says_what_is_usual(
    night: Night, rows: int, seen: str
) -> None:
    inputs = spec_document()["inputs"]
    usual = {"expect_table_row_count_to_be_between": {"min_value": 1, "max_value": 20}}
    inputs["orders"]["gate"]["expect"] = [usual]
    night.spec(inputs=inputs)
    drop(night.settings, f"orders/ds={DS}", *(f"p{number},N,1" for number in range(rows)))
    found = night.fails("gate_inputs")
    assert not found.retried
    assert found.sentence.startswith(GATE.format(rows=rows, failed=1, all=7) + " If the data is right, ")
    assert found.message.splitlines()[-1].split() == (
        ["expect_table_row_count_to_be_between", "≥", "1,", "≤", "20", seen]
    )
    assert night.seen("inputs/orders")[0] == -1


def test_an_empty_delivery_is_published_and_everybody_is_told(night: Night, caplog: pytest.LogCaptureFixture) -> None:
    drop(night.settings, f"orders/ds={DS}")
    drop(night.settings, "deliveries/ds=2024-02-04", header=DELIVERIES)
    empty = "the landing files have no row, the day is published as empty"
    with caplog.at_level("WARNING", "nightshift"):
        said = night.says("gate_inputs")
    assert said == (
        f"5 partitions published (6 rows, 0 quarantined), 0 up to date; 2 warnings, the first: orders of 2024-02-05: "
        f"{empty}; orders is the spine, so nothing is scored from it"
    )
    assert night.job.left("gate_inputs")["warnings"][1] == f"deliveries of 2024-02-04: {empty}"
    for name in ("orders of 2024-02-05", "deliveries of 2024-02-04"):
        assert f"{name}: {empty}" in [message.partition(";")[0] for message in caplog.messages]
    assert night.seen("inputs/orders")[2] == {"2024-02-05": []}
    [step] = read_run(night.settings, "parcels", night.run_id)
    assert (step["message"], step["counts"]["warnings"]) == (said, 2)
    assert night.says("gate_inputs") == "0 partitions published (0 rows, 0 quarantined), 5 up to date"


def text_that_is_not_utf8() -> pa.Array:
    """Four strings, the last of two bytes that no UTF-8 has; Arrow writes them as they are."""
    ends = np.array([0, 1, 2, 3, 5], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), 4, [None, pa.py_buffer(ends), pa.py_buffer(b"abc\xff\xfe")])


def parquet_orders(night: Night, **columns: Any) -> Path:
    """Orders as Parquet, with a date and a timestamp beside; the spec says so."""
    inputs = spec_document()["inputs"]
    inputs["orders"]["path"] = "parcels/orders/ds={ds}/*.parquet"
    inputs["orders"]["columns"] |= {"day": {"type": "date"}, "at": {"type": "timestamp"}}
    night.spec(inputs=inputs)
    whole = {
        "parcel_id": ["a", "b", "c", "d"],
        "depot": ["N", "S", "N", "S"],
        "weight": [1.0, 2.0, 3.0, 4.0],
        "day": pa.array([date(2024, 2, 5)] * 4),
        "at": pa.array([0] * 4, pa.timestamp("us", "UTC")),
        **columns,
    }
    path = Path(night.settings.landing, f"parcels/orders/ds={DS}", "part-0.parquet")
    pq.write_table(pa.table(whole), path)
    return path


@pytest.mark.parametrize("column", ["parcel_id", "depot"])
def test_parquet_text_that_is_not_utf8_is_a_flaw_of_the_file(night: Night, column: str) -> None:
    path = parquet_orders(night, **{column: text_that_is_not_utf8()})
    found = night.fails("gate_inputs")
    assert (found.retried, found.message) == (
        False,
        f"{told(path)}: the text of column {column} is not UTF-8. {CORRECT}.",
    )
    assert night.seen("inputs/orders")[0] == -1


FAR = pa.array([0, 2**60, -(2**60), 0], pa.int64())
TIMES: Mapping[str, tuple[str, Callable[[], pa.Array], str]] = {
    "days": ("day", lambda: pa.array([0, 3_000_000, -800_000, 0], pa.int32()).view(pa.date32()), "day parses as date"),
    "moments": ("at", lambda: FAR.view(pa.timestamp("us", "UTC")), "at parses as timestamp"),
    "moments without a timezone": ("at", lambda: FAR.view(pa.timestamp("us")), "at parses as timestamp"),
    "moments of no timezone": ("at", lambda: FAR.view(pa.timestamp("us", "Mars/Olympus")), "at parses as timestamp"),
}  # fmt: skip


@pytest.mark.parametrize("case", TIMES)
def test_times_that_no_calendar_has_take_their_rows_out(night: Night, case: str) -> None:
    column, values, expectation = TIMES[case]
    parquet_orders(night, **{column: values()})
    night.says("gate_inputs")
    assert [row["parcel_id"] for row in night.seen("inputs/orders")[2]["2024-02-05"]] == ["a", "d"]
    gone = night.seen("quarantine/inputs/orders")[2]["2024-02-05"]
    assert [(row["key"], row["expectation"]) for row in gone] == [('["b"]', expectation), ('["c"]', expectation)]


def test_a_bad_correction_of_three_weeks_ago_stops_no_night(night: Night) -> None:
    inputs = spec_document()["inputs"]
    inputs["deliveries"] |= {"lookback": 21, "missing": {"allow": 21}}
    night.spec(inputs=inputs)
    drop(night.settings, "deliveries/ds=2024-01-16", "x,N,1", "y,S,2", header=DELIVERIES)
    night.says("gate_inputs")
    before = night.seen("inputs/deliveries")
    drop(night.settings, "deliveries/ds=2024-01-16", "x,N,1", "x,N,1", header=DELIVERIES)
    drop(night.settings, f"orders/ds={DS}", *GOOD)
    said = night.says("gate_inputs")
    assert said.startswith(
        "1 partitions published (4 rows, 0 quarantined), 4 up to date; 2 warnings, the first: "
        "deliveries of 2024-01-16: parcels/inputs/deliveries of 2024-01-16: the gate blocked 2 rows: 1 of 3 "
        "expectations failed. What to do: "
    )
    assert night.seen("inputs/deliveries") == before
    [report] = [
        storage.read_json(file.uri)
        for file in storage.list_files(f"{night.settings.reports}/parcels/inputs/deliveries/ds=2024-01-16")
        if file.uri.endswith(".json") and storage.read_json(file.uri)["status"] == "blocked"
    ]
    assert report["rows"] == 2


def test_a_correction_after_publication_redoes_that_day_and_what_reads_it(night: Night) -> None:
    later = night.on(date(2024, 2, 6))
    drop_day(night.settings, "2024-02-06", ())
    drop(night.settings, f"deliveries/ds={DS}", "z,N,3", header=DELIVERIES)
    night.says("gate_inputs")
    later.says("gate_inputs")
    names = ("inputs/orders", "inputs/deliveries", "inputs/depots")
    before = {name: night.seen(name)[1] for name in names}
    drop(night.settings, "deliveries/ds=2024-02-04", "x,N,1.0", "y,S,7", header=DELIVERIES)
    assert later.says("gate_inputs") == "1 partitions published (2 rows, 0 quarantined), 4 up to date"
    assert night.says("gate_inputs") == "0 partitions published (0 rows, 0 quarantined), 5 up to date"
    changed = {(name, day) for name in names for day, now in night.seen(name)[1].items() if before[name][day] != now}
    assert changed == {("inputs/deliveries", "2024-02-04")}
