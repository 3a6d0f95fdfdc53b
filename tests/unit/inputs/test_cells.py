import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.inputs.cells import arrow_type, fits, from_arrow, from_text

NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, 5, tzinfo=UTC)
EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
NUMBERISH = st.text("0123456789.-+eE _,xnaif٣²½\n\0", max_size=24)


def read(cells: list[str | None], kind: str) -> list[object]:
    found = from_text(pa.array(cells, pa.string()), kind, NEW_YORK)  # type: ignore[arg-type]
    assert found.type == arrow_type(kind)  # type: ignore[arg-type]
    assert len(found) == len(cells)
    return found.to_pylist()


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        *(
            ("integer", cell)
            for cell in ("", " 5", "5 ", "+5", "1_000", "1,000", "5.0", "5e0", "0x10", "٣", "5\n", "-")
        ),
        *(("integer", cell) for cell in ("9223372036854775808", "-9223372036854775809", "nan", "true")),
        *(
            ("number", cell)
            for cell in ("", " 5", "+5", "1_000", "1,5", "nan", "NaN", "inf", "-inf", "1e400", "-1e400")
        ),
        *(("number", cell) for cell in ("1e-400", "0x1p3", "٣", "5\n", ".", "-", "e5", "1e", "9007199254740993")),
        *(("number", cell) for cell in ("9007199254740993.0", "-9007199254740993.", "9.007199254740993e15")),
        *(("number", cell) for cell in ("90071992547409930e-1", "9007199254740992.5", "4503599627370497.3")),
        *(("number", cell) for cell in ("5.00000000000000000001", "0.99999999999999999999", "1" + "0" * 23)),
        *(
            ("number", cell)
            for cell in ("123456789012345678901234567890.5", "1.2345678901234567891e30", "1.0.0", "1e3.5")
        ),
        *(("boolean", cell) for cell in ("", "yes", "t", "T", "y", "2", " true", "tRUE", "on")),
        *(("date", cell) for cell in ("2024-02-30", "2023-02-29", "2024-2-3", "20240203", "2024-W05-1", "03.02.2024")),
        *(("date", cell) for cell in ("2024-02-03T00:00", "2024-02-03 ", "٢٠٢٤-02-03", "0000-01-01")),
        *(
            ("timestamp", cell)
            for cell in ("2024-02-03", "2024-02-03T24:00", "2024-02-03T12:00:60", "2024-02-30T01:00")
        ),
        *(("timestamp", cell) for cell in ("2024-02-03T12:00:00.1234567", "2024-02-03T12", "1706961600", "12:00")),
        *(("timestamp", cell) for cell in ("0001-01-01T00:00:00+14:00", "2024-02-03T12:00+24:00")),
    ],
)
def test_a_cell_that_is_not_exactly_of_its_type_does_not_parse(kind: str, cell: str) -> None:
    assert read([cell, None], kind) == [None, None]


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("integer", "007", 7),
        ("integer", "-9223372036854775808", -(2**63)),
        ("number", ".5", 0.5),
        ("number", "5.", 5.0),
        ("number", "-1.5E+3", -1500.0),
        ("number", "0e999", 0.0),
        ("number", "0000000000000000.0e99999999999999999999", 0.0),
        ("number", "9007199254740992.0", 2.0**53),
        ("number", "9007199254740994.0000", 2.0**53 + 2),
        ("number", "123456.00000000000000000000", 123456.0),
        ("number", "1e23", 1e23),
        ("number", "1.2345678901234567e+30", 1.2345678901234567e30),
        ("number", "16.6666666666666667", 50 / 3),
        ("number", "0.10000000000000001", 0.1),
        ("number", "1000000000000000000000000e-24", 1.0),
        ("integer", "-0", 0),
        ("boolean", "TRUE", True),
        ("boolean", "0", False),
        ("date", "2024-02-29", date(2024, 2, 29)),
        ("timestamp", "2024-02-03 07:00", datetime(2024, 2, 3, 12, tzinfo=UTC)),
        ("timestamp", "2024-02-03T07:00:00.5Z", datetime(2024, 2, 3, 7, 0, 0, 500_000, tzinfo=UTC)),
        ("timestamp", "2024-02-03T07:00:00.123456000+0530", datetime(2024, 2, 3, 1, 30, 0, 123_456, tzinfo=UTC)),
        ("timestamp", "2024-02-03T07:00-05", datetime(2024, 2, 3, 12, tzinfo=UTC)),
        ("string", " as it is\n", " as it is\n"),
        ("category", "NA", "NA"),
    ],
)
def test_what_is_allowed_keeps_its_value(kind: str, cell: str, value: object) -> None:
    assert read([cell], kind) == [value]


def test_one_cell_beyond_64_bits_takes_no_other_with_it() -> None:
    assert read(["1", "9223372036854775807", "9223372036854775808", None], "integer") == [1, 2**63 - 1, None, None]


def test_local_times_that_daylight_saving_skips_or_repeats() -> None:
    skipped, ambiguous = read(["2024-03-10 02:30", "2024-11-03 01:30"], "timestamp")
    assert skipped == datetime(2024, 3, 10, 7, 30, tzinfo=UTC), "as if the clock had not moved yet"
    assert ambiguous == datetime(2024, 11, 3, 5, 30, tzinfo=UTC), "the first of the two"


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_come_back(values: list[int]) -> None:
    assert read([str(value) for value in values], "integer") == values


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_numbers_come_back(values: list[float]) -> None:
    assert read([repr(value) for value in values], "number") == values


@given(st.lists(st.dates()))
def test_dates_come_back(values: list[date]) -> None:
    assert read([value.isoformat() for value in values], "date") == values


@given(st.lists(st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)), max_size=20), st.integers(-1439, 1439))
def test_timestamps_with_an_offset_come_back(values: list[datetime], minutes: int) -> None:
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    cells = [f"{value.isoformat(' ')}{sign}{hours:02d}:{rest:02d}" for value in values]
    expected = [value.replace(tzinfo=UTC) - timedelta(minutes=minutes) for value in values]
    assert read(list(cells), "timestamp") == expected


@given(NUMBERISH)
def test_an_integer_is_never_another_value(cell: str) -> None:
    [value] = read([cell], "integer")
    if re.fullmatch("-?[0-9]+", cell) and -(2**63) <= int(cell) < 2**63:
        assert value == int(cell)
    else:
        assert value is None


@given(NUMBERISH)
def test_a_number_is_never_another_value(cell: str) -> None:
    [value] = read([cell], "number")
    if value is not None:
        assert isinstance(value, float)
        assert math.isfinite(value)
        assert cell.isascii()
        exact = Decimal(cell)
        assert value == float(exact)
        assert not (exact and value == 0)
        assert not re.fullmatch("-?[0-9]{16,}", cell) or Decimal(value) == exact
        assert (exact == int(exact)) == value.is_integer()
        assert int(exact) == int(value) or "e" in cell.lower()


@given(st.integers(-(10**20), 10**20), st.integers(0, 25))
def test_a_whole_number_is_exact_however_it_is_written(whole: int, zeros: int) -> None:
    cells = [f"{whole}.{'0' * zeros}", str(whole), f"{whole * 10**zeros}e-{zeros}"]
    assert read(list(cells), "number") == [float(whole) if int(float(whole)) == whole else None] * 3


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(16, 30))
def test_a_float_that_is_written_with_more_digits_comes_back(value: float, digits: int) -> None:
    assert read([f"{value:.{digits}e}"], "number") == [value]


@given(st.text("0123456789-:T Z+.٣", max_size=30))
def test_a_timestamp_is_never_another_value(cell: str) -> None:
    [value] = read([cell], "timestamp")
    if value is not None:
        found = datetime.fromisoformat(cell)
        assert value == (found if found.tzinfo else found.replace(tzinfo=NEW_YORK)).astimezone(UTC)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pa.array([1, None, 2**40], pa.int64()), "number", [1.0, None, 2.0**40]),
        (pa.array([2**53 + 1, 2**53], pa.int64()), "number", [None, 2.0**53]),
        (pa.array([1.5, math.nan, math.inf, None]), "number", [1.5, None, None, None]),
        (pa.array([0.1], pa.float32()), "number", [0.10000000149011612]),
        (pa.array([2**63 - 1, -(2**63), 2**63 - 1024], pa.int64()), "number", [None, -(2.0**63), 2.0**63 - 1024]),
        (
            pa.array([2**64 - 1, 2**63, 2**64 - 2048, None], pa.uint64()),
            "number",
            [None, 2.0**63, 2.0**64 - 2048, None],
        ),
        (pa.array([127, -128], pa.int8()), "number", [127.0, -128.0]),
        (pa.array([2**32 - 1], pa.uint32()), "number", [2.0**32 - 1]),
        (pa.array([2**64 - 1, 2**63 - 1], pa.uint64()), "integer", [None, 2**63 - 1]),
        (pa.array([2**63 - 1, -(2**63), 0], pa.int64()).cast(pa.timestamp("s")), "timestamp", [None, None, EPOCH]),
        (pa.array([2**63 - 1, 0], pa.int64()).cast(pa.timestamp("ms", "UTC")), "timestamp", [None, EPOCH_UTC]),
        (pa.array([86_400_000, 1, 2**62], pa.int64()).view(pa.date64()), "date", [date(1970, 1, 2), None, None]),
        (
            pa.array([253_402_300_799, -62_135_596_800, 253_402_300_800]).cast(pa.timestamp("s", "UTC")),
            "timestamp",
            [datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC), None],
        ),
        (pa.array([2**63, 5], pa.uint64()), "integer", [None, 5]),
        (pa.array([-3], pa.int8()), "integer", [-3]),
        (pa.array(["a", None, "a"]).dictionary_encode(), "category", ["a", None, "a"]),
        (pa.array(["a"], pa.large_string()), "string", ["a"]),
        (pa.nulls(2), "timestamp", [None, None]),
        (pa.array([date(2024, 2, 3)], pa.date64()), "date", [date(2024, 2, 3)]),
        (
            pa.array([1, 1_000], pa.timestamp("ns", "UTC")),
            "timestamp",
            [None, datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)],
        ),
        (
            pa.array([datetime(2024, 3, 10, 2, 30), None], pa.timestamp("ms")),
            "timestamp",
            [datetime(2024, 3, 10, 7, 30, tzinfo=UTC), None],
        ),
        (
            pa.array([datetime(2024, 2, 3, 7)], pa.timestamp("s", "America/New_York")),
            "timestamp",
            [datetime(2024, 2, 3, 7, tzinfo=UTC)],
        ),
    ],
)
def test_parquet_values_fit_without_loss_or_not_at_all(values: pa.Array, kind: str, expected: list[object]) -> None:
    found = from_arrow(values, kind, NEW_YORK)  # type: ignore[arg-type]
    assert found is not None
    assert found.type == arrow_type(kind)  # type: ignore[arg-type]
    assert found.to_pylist() == expected


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1.0]), "integer"),
        (pa.array(["1"]), "integer"),
        (pa.array([1]), "string"),
        (pa.array([1]), "boolean"),
        (pa.array([b"x"]), "string"),
        (pa.array([date(2024, 2, 3)]), "timestamp"),
        (pa.array([Decimal("1.5")]), "number"),
    ],
)
def test_a_parquet_type_that_never_fits_says_so(values: pa.Array, kind: str) -> None:
    assert not fits(values.type, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["integer", "number"])
def test_thousands_of_digits_are_a_cell_that_does_not_fit(kind: str) -> None:
    cells = ["9" * 5_000, "-" + "9" * 5_000, "0" * 5_000 + "7", "-" + "0" * 5_000 + "7", "9" * 400, "1"]
    assert read(cells, kind) == [None, None, 7, -7, None, 1]
