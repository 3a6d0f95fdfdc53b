"""Cells to typed values. A cell that is not exactly what its type allows becomes null, and its row is rejected.

What text a type allows: integer ``-?digits`` within 64 bits; number a finite decimal, with an exponent if need be, that
a 64-bit float holds: the nearest one to a fraction, which stays a fraction, and any other number to its last digit;
boolean ``true`` or ``false`` in three spellings, ``1``, ``0``; date ``YYYY-MM-DD``; timestamp ISO 8601 to the
microsecond, with an offset or else in the spec's timezone. ASCII digits only.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from nightshift.specs.model import ColumnType
from nightshift.tables import arrow_schema

_INTEGER = r"^-?[0-9]+$"
_NUMBER = r"^-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_ZERO = r"^[^eE]*[1-9]"
_LONG = r"^-?[0-9.]{16,}"  # a float gives back up to 15 digits of any decimal
_TRUE, _FALSE = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6}0{0,3})?)?"
    r"(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?"
)
_MOST_DIGITS = 309  # of the greatest 64-bit float
_INT64 = range(-(2**63), 2**63)
_CALENDAR = {  # what Python's dates hold, and with them every reader: days and microseconds since 1970
    "date": (-719_162, 2_932_896, pa.int32()),
    "timestamp": (-62_135_596_800_000_000, 253_402_300_799_999_999, pa.int64()),
}
_PER_UNIT = {  # what multiplies and divides a calendar's numbers to those of a coarser Arrow type
    "day": ("date", 86_400_000, 1),
    "s": ("timestamp", 1, 1_000_000),
    "ms": ("timestamp", 1, 1_000),
}


def from_text(text: pa.Array, kind: ColumnType, zone: ZoneInfo) -> pa.Array:
    """A string array as a column's type; null where the cell is null or does not parse."""
    wanted = arrow_type(kind)
    if kind == "integer":
        return _integers(text)
    if kind == "number":
        return _numbers(text)
    if kind == "boolean":
        return _booleans(text)
    if kind == "date":
        return _each_distinct(text, _date, wanted)
    if kind == "timestamp":
        return _each_distinct(text, partial(_timestamp, zone=zone), wanted)
    return text


def fits(found: pa.DataType, kind: ColumnType) -> bool:
    """Return whether a column's type may hold what an Arrow type has."""
    values = found.value_type if pa.types.is_dictionary(found) else found
    return bool(pa.types.is_null(values) or _FITS[kind](values))


def from_arrow(values: pa.Array, kind: ColumnType, zone: ZoneInfo) -> pa.Array:
    """An array of a type that ``fits`` as a column's type; null where a value does not.

    Integers widen to floats that hold them exactly; naive timestamps are read in ``zone``; a float that is no finite
    number does not fit, nor does a moment outside of the years 1 to 9999.
    """
    wanted = arrow_type(kind)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), wanted)
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())
    if kind in ("string", "category"):
        return values.cast(wanted)
    if kind == "timestamp" and values.type.tz is None:
        return _localised(values, zone)
    return _in_calendar(_exactly(values, wanted), kind)


def arrow_type(kind: ColumnType) -> pa.DataType:
    """The Arrow type in which a table holds a column type."""
    return arrow_schema({"column": kind}).field("column").type


def _is_text(found: pa.DataType) -> bool:
    return bool(pa.types.is_string(found) or pa.types.is_large_string(found) or pa.types.is_string_view(found))


def _is_number(found: pa.DataType) -> bool:
    return bool(pa.types.is_integer(found) or pa.types.is_floating(found))


_FITS: dict[str, Callable[[pa.DataType], bool]] = {
    "string": _is_text,
    "category": _is_text,
    "integer": pa.types.is_integer,
    "number": _is_number,
    "boolean": pa.types.is_boolean,
    "date": pa.types.is_date,
    "timestamp": pa.types.is_timestamp,
}


def _where(condition: Any, values: pa.Array) -> pa.Array:
    return pc.if_else(condition, values, pa.scalar(None, values.type))


def _matching(text: pa.Array, pattern: str) -> pa.Array:
    return _where(pc.match_substring_regex(text, pattern), text)


def _integers(text: pa.Array) -> pa.Array:
    digits = _matching(text, _INTEGER)
    try:
        return digits.cast(pa.int64())
    except pa.ArrowInvalid:  # one of them is beyond 64 bits
        found = (None if cell is None else _whole(cell) for cell in digits.to_pylist())
        return pa.array([None if number is None or number not in _INT64 else number for number in found], pa.int64())


def _whole(cell: str) -> int | None:
    """The integer of a cell, None where no float holds it: Python refuses to read thousands of digits."""
    digits = cell.removeprefix("-").lstrip("0") or "0"
    number = int(digits) if len(digits) <= _MOST_DIGITS else None
    return -number if number is not None and cell.startswith("-") else number


def _numbers(text: pa.Array) -> pa.Array:
    decimals = _matching(text, _NUMBER)
    found = decimals.cast(pa.float64())
    lost = pc.and_(pc.equal(found, 0.0), pc.match_substring_regex(decimals, _NOT_ZERO))
    found = _where(pc.and_(pc.is_finite(found), pc.invert(lost)), found)
    # A whole number is a float of its own up to 2**53, so that what became no whole number kept its whole part.
    doubtful = pc.and_(pc.equal(pc.floor(found), found), pc.match_substring_regex(decimals, _LONG))
    if not pc.any(doubtful).as_py():
        return found
    cells = zip(found.to_pylist(), decimals.to_pylist(), doubtful.to_pylist(), strict=True)
    exact = [None if doubt and not _comes_back(number, cell) else number for number, cell, doubt in cells]
    return pa.array(exact, pa.float64())


def _comes_back(number: float, cell: str) -> bool:
    """Return whether a float that is written with as many digits as a cell is what the cell says."""
    if not number:
        return True
    said = Decimal(cell)
    return Decimal(f"{number:.{len(said.as_tuple().digits) - 1}e}") == said


def _booleans(text: pa.Array) -> pa.Array:
    true, false = (pc.is_in(text, value_set=pa.array(words)) for words in (_TRUE, _FALSE))
    return _where(pc.or_(true, false), true)


def _each_distinct(text: pa.Array, read: Callable[[str], Any], wanted: pa.DataType) -> pa.Array:
    """Reads each distinct cell once: moments repeat, and Python's own parser checks the calendar."""
    encoded = text.dictionary_encode()
    return pa.array([read(cell) for cell in encoded.dictionary.to_pylist()], wanted).take(encoded.indices)


def _date(cell: str) -> date | None:
    try:
        return date.fromisoformat(cell) if _DATE.fullmatch(cell) else None
    except ValueError:
        return None


def _timestamp(cell: str, zone: ZoneInfo) -> datetime | None:
    try:
        return _moment(datetime.fromisoformat(cell), zone) if _TIMESTAMP.fullmatch(cell) else None
    except ValueError:
        return None


def _moment(found: datetime, zone: ZoneInfo) -> datetime | None:
    """In UTC. As with a cutoff, a local time that daylight saving skips moves forward; of two, the first is meant."""
    try:
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        return None


def _localised(values: pa.Array, zone: ZoneInfo) -> pa.Array:
    naive = _in_calendar(_exactly(values, pa.timestamp("us")), "timestamp")
    encoded = naive.dictionary_encode()
    moments = [None if moment is None else _moment(moment, zone) for moment in encoded.dictionary.to_pylist()]
    return pa.array(moments, pa.timestamp("us", "UTC")).take(encoded.indices)


def _in_calendar(values: pa.Array, kind: ColumnType) -> pa.Array:
    if kind not in _CALENDAR:
        return values
    first, last, number = _CALENDAR[kind]
    numbers = values.view(number)
    inside = pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last))
    return _where(inside, values)


def _exactly(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Cast, and null where the way back does not give the same value. What a cast would not define is not cast."""
    if pa.types.is_unsigned_integer(values.type) and pa.types.is_integer(wanted):
        values = _where(pc.less_equal(values.cast(pa.uint64()), pa.scalar(2**63 - 1, pa.uint64())), values)
    values = _in_reach(values)
    found = back = values.cast(wanted, safe=False)
    if pa.types.is_floating(wanted):
        found = back = _where(pc.is_finite(found), found)
    if pa.types.is_integer(values.type) and pa.types.is_floating(wanted):
        bits = values.type.bit_width - pa.types.is_signed_integer(values.type)
        back = _where(pc.less(found, 2.0**bits), found)  # the greatest integers may have become this one, which is none
    return _where(pc.equal(back.cast(values.type, safe=False), values), found)


def _in_reach(values: pa.Array) -> pa.Array:
    """Dates and moments that microseconds of 64 bits, or days of 32, do not reach are null."""
    unit = "day" if pa.types.is_date64(values.type) else getattr(values.type, "unit", "")
    if unit not in _PER_UNIT:
        return values
    kind, factor, divisor = _PER_UNIT[unit]
    first, last, _ = _CALENDAR[kind]
    numbers = values.view(pa.int64())
    inside = pc.and_(
        pc.greater_equal(numbers, first * factor // divisor), pc.less_equal(numbers, last * factor // divisor)
    )
    return _where(inside, values)
