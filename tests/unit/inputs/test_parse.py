import base64
import csv
import gzip
import io
import time
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow.parquet import encryption

from nightshift.errors import GateFailed, InputMissing, NightshiftError
from nightshift.inputs.columns import match_columns
from nightshift.inputs.csv_files import _Checked, _QuoteError
from nightshift.inputs.parse import Landing, parse
from nightshift.specs.model import Gate, Input
from nightshift.storage import StoredFile

UTC = ZoneInfo("UTC")
CORRECT = "What to do: have the file corrected and landed again."
Reader = Callable[..., tuple[list[dict[str, Any]], Landing]]


def source(path: str = "parcels/{ds}/*.csv", **changes: Any) -> Input:
    columns = {"name": {"type": "string"}, "count": {"type": "integer"}}
    return Input.model_validate({"path": path, "key": ("name",), "columns": columns, **changes})


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Reads bytes as one landing file; an exception is raised as it comes."""

    def reader(
        content: bytes, name: str = "a.csv", contract: Input | None = None, zone: ZoneInfo = UTC
    ) -> tuple[list[dict[str, Any]], Landing]:
        path = tmp_path / name
        path.write_bytes(content)
        landing = Landing()
        file = StoredFile(str(path), len(content), 1)
        batches = parse([file], contract or source(), zone, landing)
        return [row for batch in batches for row in batch.to_pylist()], landing

    return reader


@pytest.mark.parametrize(
    "content",
    [
        b"name,count\na,1\nb,2\n",
        b"name,count\na,1\nb,2",
        b"count,name\r\n1,a\r\n2,b\r\n",
        b"name,count\na,1\r\nb,2\n\n",
        b"\xef\xbb\xbfname,count\na,1\nb,2\n",
        b'\xef\xbb\xbf"name","count"\r\n"a","1"\r\nb,2\r\n',
        b'\xef\xbb\xbf"count",name\n1,a\n2,b',
        b'"name","count"\n"a","1"\n"b",2',
        b"name,count\ra,1\rb,2\r",
        b'"name","count"\r"a","1"\r"b",2',
    ],
)
def test_the_ways_in_which_a_good_file_may_be_written(read: Reader, content: bytes) -> None:
    rows, landing = read(content)
    assert rows == [{"name": "a", "count": 1}, {"name": "b", "count": 2}]
    assert landing == Landing(2, [])


def test_quotes_commas_and_line_ends_inside_a_cell(read: Reader) -> None:
    rows, _ = read(b'name,count\n"x, ""y""\r\nz",1\n"",2\n"""",\n')
    assert rows == [{"name": 'x, "y"\r\nz', "count": 1}, {"name": None, "count": 2}, {"name": '"', "count": None}]


def test_null_values_are_declared(read: Reader) -> None:
    rows, _ = read(b"name;count\nNA;NA\n;3\n", contract=source(delimiter=";", null_values=("NA",)))
    assert rows == [{"name": None, "count": None}, {"name": "", "count": 3}]


def test_a_header_alone_has_no_rows(read: Reader) -> None:
    assert read(b"name,count") == ([], Landing(0, []))
    assert read(b"name,count\r\n") == ([], Landing(0, []))


def test_blank_lines_are_rows_only_where_there_is_one_column(read: Reader) -> None:
    one = source(columns={"name": {"type": "string"}})
    assert read(b"name\na\n\nb\n", contract=one)[0] == [{"name": "a"}, {"name": None}, {"name": "b"}]


def test_a_cell_that_does_not_parse_rejects_its_row_alone(read: Reader) -> None:
    columns = {"name": {"type": "string"}, "count": {"type": "integer"}, "on": {"type": "date"}}
    keyed = source(key=("name", "count"), columns=columns)
    rows, landing = read(b"name,count,on\na,1,2024-02-03\nb,x,2024-02-30\nc,3,3.2.24\nd,4,\n", contract=keyed)
    assert rows == [
        {"name": "a", "count": 1, "on": date(2024, 2, 3)},
        {"name": "d", "count": 4, "on": None},
    ]
    assert landing.rows == 4
    assert [(row.key, row.expectation, row.row) for row in landing.rejected] == [
        ('["b","x"]', "count parses as integer; on parses as date", '{"count":"x","name":"b","on":"2024-02-30"}'),
        ('["c",3]', "on parses as date", '{"count":"3","name":"c","on":"3.2.24"}'),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name\na\n", ": the columns are not the contract's: missing: count. Allowed: name, count. What to do: "),
        (b"name,count,name\n", ": the columns are not the contract's: more than once: name. Allowed: name, count"),
        (b"Nam,Counts\n", ": the file names none of the contract's columns: it has no header, or another delimiter"),
        (b"a,1\nb,2\n", ": the file names none of the contract's columns: it has no header, or another delimiter"),
        (b"name;count\n", ": the file names none of the contract's columns: it has no header, or another delimiter"),
        (b"", ": the file names none of the contract's columns: it has no header, or another delimiter"),
        (b"name,count\na,1\nb\n", f", row 3: a row has 1 cells instead of 2. {CORRECT}"),
        (b"name,count\na,1\nb,2,3\n", f", row 3: a row has 3 cells instead of 2. {CORRECT}"),
        (b'name,count\n"a"b,1\n', f", row 2: the quotes do not match. {CORRECT}"),
        (b'name,count\na"b,1\n', f", row 2: the quotes do not match. {CORRECT}"),
        (b'name,count\na,1\n"b,2\nc,3\n', f", row 5: the quotes do not match. {CORRECT}"),
        (b"name,count\na,1\n\xe9,2\n", f", row 3: the text is not UTF-8. {CORRECT}"),
        ("name,count\na,1\n".encode("utf-16"), f", row 1: the text is not UTF-8. {CORRECT}"),
        (b"\xef\xbb\xbf\xef\xbb\xbfname,count\na,1\n", f", row 1: there are two byte order marks. {CORRECT}"),
        (b"name," + b"x" * (3 << 20) + b",count\na,1,1\n", f", row 1: the header is longer than 1 MiB. {CORRECT}"),
        (b'name,count\n"' + b"x" * (13 << 20) + b'",1\n', f": a row is longer than 4 MiB. {CORRECT}"),
    ],
)
def test_a_malformed_file_is_an_error_that_names_the_place_and_no_cell(
    read: Reader, content: bytes, message: str
) -> None:
    with pytest.raises(GateFailed) as caught:
        read(content)
    assert f"a.csv{message}" in str(caught.value)


@pytest.mark.parametrize("name", ["4111 1111 1111 1111", "Ada_Lovelace", "canary"])
def test_a_name_that_the_contract_does_not_have_is_never_shown(read: Reader, name: str) -> None:
    for header in (f"name,count,{name}", f"name,count,{name},{name}", f"{name},{name}"):
        with pytest.raises(GateFailed) as caught:
            read(f"{header}\n".encode(), contract=source(columns_policy="strict"))
        assert name not in str(caught.value)
    with pytest.raises(GateFailed, match="not in the contract: column 2, column 4"):
        read(f"name,{name},count,x{name}\n".encode(), contract=source(columns_policy="strict"))


def test_rows_are_counted_across_blocks(read: Reader) -> None:
    many = b"name,count\n" + b"".join(b"parcel-%d,%d\n" % (number, number) for number in range(400_000))
    with pytest.raises(GateFailed, match="row 400002: a row has 3 cells"):
        read(many + b"a,b,c\n")
    rows, landing = read(many + b"last,x\n")
    assert len(rows) == 400_000
    assert rows[-1] == {"name": "parcel-399999", "count": 399_999}
    assert landing.rows == 400_001


def compressed() -> bytes:
    return gzip.compress(b"name,count\n" + b"".join(b"p%d,%d\n" % (number, number**3) for number in range(50_000)))


def test_compressed_files_are_read_by_their_ending(read: Reader) -> None:
    rows, _ = read(compressed(), "a.csv.gz")
    assert len(rows) == 50_000


@pytest.mark.parametrize("cut", [1, 8, 20, 50_000])
def test_a_truncated_or_damaged_file_may_still_come_whole(read: Reader, cut: int) -> None:
    with pytest.raises(
        InputMissing, match=r"a\.csv\.gz: the file is cut short or damaged \(OSError\)\. What to do: wait"
    ):
        read(compressed()[:-cut], "a.csv.gz")
    with pytest.raises(InputMissing, match="cut short or damaged"):
        read(b"name,count\na,1\n", "a.csv.gz")


CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(CELLS, st.integers(-(2**63), 2**63 - 1))), st.sampled_from([",", ";", "\t", "|"]))
def test_what_a_csv_writer_writes_comes_back(read: Reader, rows: list[tuple[str, int]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("name", "count"), *rows])
    contract = source(delimiter=delimiter, null_values=())
    found, landing = read(text.getvalue().encode(), contract=contract)
    assert [(row["name"], row["count"]) for row in found] == rows
    assert landing == Landing(len(rows), [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text('ab",\n\r', max_size=30))
def test_any_text_is_read_as_python_s_strict_reader_does_or_refused(read: Reader, body: str) -> None:
    columns = {"name": {"type": "string"}, "count": {"type": "string"}}
    try:
        found, _ = read(f"name,count\n{body}".encode(), contract=source(null_values=(), columns=columns))
    except NightshiftError:
        return
    wanted = [row for row in csv.reader(io.StringIO(body, newline=""), strict=True) if row]
    assert [[row["name"], row["count"]] for row in found] == wanted


@given(st.binary(max_size=30).map(lambda raw: bytes(b'a",\n\r;'[byte % 6] for byte in raw)), st.integers(1, 7))
def test_quotes_are_judged_the_same_however_the_bytes_come(content: bytes, size: int) -> None:
    def judged(step: int) -> bytes | None:
        checked = _Checked(io.BytesIO(content), ",", lambda size: None)
        found = b""
        try:
            while block := checked.read(step):
                found += block
        except _QuoteError:
            assert checked.bad_line
            return None
        return found

    whole = judged(1000)
    assert judged(size) == whole
    if whole is not None:
        assert whole in (content, content + b"\n")


def parquet(table: pa.Table, path: Path) -> bytes:
    pq.write_table(table, path, row_group_size=2)
    return path.read_bytes()


def test_parquet_by_row_groups_with_columns_in_any_order(read: Reader, tmp_path: Path) -> None:
    contract = source(path="parcels/{ds}/*.parquet")
    content = parquet(pa.table({"count": pa.array([1, 2, None], pa.int32()), "name": ["a", "b", "c"]}), tmp_path / "b")
    rows, landing = read(content, "a.parquet", contract)
    assert rows == [{"name": "a", "count": 1}, {"name": "b", "count": 2}, {"name": "c", "count": None}]
    assert landing == Landing(3, [])


def test_a_parquet_value_that_does_not_fit_rejects_its_row(read: Reader, tmp_path: Path) -> None:
    contract = source(path="parcels/{ds}/*.parquet")
    content = parquet(pa.table({"name": ["a", "b"], "count": pa.array([2**63, 7], pa.uint64())}), tmp_path / "b")
    rows, landing = read(content, "a.parquet", contract)
    assert rows == [{"name": "b", "count": 7}]
    assert [(row.key, row.expectation) for row in landing.rejected] == [('["a"]', "count parses as integer")]


def test_a_parquet_file_of_other_columns_or_types_is_an_error(read: Reader, tmp_path: Path) -> None:
    contract = source(path="parcels/{ds}/*.parquet")
    with pytest.raises(GateFailed, match="not the contract's: missing: count; not in the contract: column "):
        read(parquet(pa.table({"name": ["a"], "x": [1]}), tmp_path / "b"), "a.parquet", contract)
    with pytest.raises(GateFailed) as caught:
        read(parquet(pa.table({"name": ["a"], "count": [1.0]}), tmp_path / "b"), "a.parquet", contract)
    message = "column count is of Parquet type double. Allowed: what column type integer holds without loss"
    assert f"a.parquet: {message}" in str(caught.value)


def moments(unit: str, *values: datetime | int | None) -> pa.Table:
    at = pa.array(values, pa.timestamp(unit))
    return pa.table({"name": [f"n{place}" for place in range(len(values))], "at": at})


TIMES = {"name": {"type": "string"}, "at": {"type": "timestamp", "nulls": 1.0}}


def read_int96(read: Reader, tmp_path: Path, table: pa.Table, zone: str) -> tuple[list[dict[str, Any]], Landing]:
    pq.write_table(table, tmp_path / "written", use_deprecated_int96_timestamps=True, row_group_size=2)
    contract = source(path="parcels/{ds}/*.parquet", columns=TIMES)
    return read((tmp_path / "written").read_bytes(), "a.parquet", contract, ZoneInfo(zone))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_int96_is_a_moment_in_utc_of_any_year_whatever_the_pipelines_zone(
    read: Reader, tmp_path: Path, zone: str
) -> None:
    written = [
        datetime(2024, 7, 1, 12),
        datetime(9999, 12, 31),
        datetime(1, 1, 1),
        None,
        datetime(2262, 5, 1, 1, 2, 3, 4),
    ]
    rows, landing = read_int96(read, tmp_path, moments("us", *written), zone)
    assert [row["at"] and row["at"].replace(tzinfo=None) for row in rows] == written
    assert landing == Landing(5, [])


def test_int96_beyond_microseconds_or_the_calendar_is_rejected_as_what_it_is(read: Reader, tmp_path: Path) -> None:
    rows, landing = read_int96(read, tmp_path, moments("ns", 1_709_553_600_000_000_123, 1_000), "UTC")
    assert [row["at"] for row in rows] == [datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]
    assert "2024-03-04 12:00:00.000000123" in landing.rejected[0].row
    year_10000 = 253_402_300_800_000_000
    rows, landing = read_int96(read, tmp_path, moments("us", year_10000), "UTC")
    assert rows == []
    assert "10000-01-01" in landing.rejected[0].row


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.none() | st.datetimes(), min_size=1, max_size=5))
def test_every_moment_comes_back_from_int96(read: Reader, tmp_path: Path, written: list[datetime | None]) -> None:
    rows, landing = read_int96(read, tmp_path, moments("us", *written), "Asia/Tokyo")
    assert [row["at"] and row["at"].replace(tzinfo=None) for row in rows] == written
    assert not landing.rejected


def test_a_page_that_is_not_as_its_checksum_says_is_damage(read: Reader, tmp_path: Path) -> None:
    table = pa.table({"name": [f"key{place:06d}" for place in range(50)], "count": range(50)})
    plain = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(table, tmp_path / "written", **plain)
    contract = source(path="parcels/{ds}/*.parquet")
    content = (tmp_path / "written").read_bytes()
    assert len(read(content, "a.parquet", contract)[0]) == 50
    flipped = content.replace(b"key000010", b"key999999", 1)
    with pytest.raises(InputMissing, match="cut short or damaged"):
        read(flipped, "a.parquet", contract)


def test_a_truncated_parquet_file_may_still_come_whole(read: Reader, tmp_path: Path) -> None:
    content = parquet(pa.table({"name": ["a"], "count": [1]}), tmp_path / "b")
    with pytest.raises(InputMissing, match="cut short or damaged"):
        read(content[:-9], "a.parquet", source(path="parcels/{ds}/*.parquet"))


LIMITED: dict[str, tuple[dict[str, int], str]] = {
    "rows": ({"rows": 2}, "too large: 3 rows"),
    "bytes": ({"bytes": 10}, "bytes. Allowed: limits.bytes: 10"),
    "cell": ({"cell": 4}, "column name: the delivery is too large: a text of 5 bytes"),
}


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("limit", LIMITED)
def test_a_day_that_is_more_than_its_limits_is_refused_and_they_are_named(
    read: Reader, tmp_path: Path, limit: str, ending: str
) -> None:
    limits, words = LIMITED[limit]
    contract = source(path=f"parcels/{{ds}}/*.{ending}", limits=limits)
    table = pa.table({"name": ["a", "b", "long5"], "count": [1, 2, 3]})
    content = b"name,count\na,1\nb,2\nlong5,3\n"
    written = {"csv": content, "csv.gz": gzip.compress(content), "parquet": parquet(table, tmp_path / "b")}[ending]
    assert len(read(written, f"a.{ending}", source(path=contract.path))[0]) == 3
    with pytest.raises(GateFailed) as caught:
        read(written, f"a.{ending}", contract)
    assert words in str(caught.value)


@pytest.mark.parametrize("more", [b"\n" * 10_000, b"a,1," + b"x" * 10_000])
def test_what_a_csv_file_unpacks_to_counts_whether_it_is_read_or_not(read: Reader, more: bytes) -> None:
    content = gzip.compress(b"name,count,other\na,1,x\n" + more)
    contract = source(limits={"bytes": 5_000})
    with pytest.raises(GateFailed, match=r"the delivery is too large: 10,0.. bytes. Allowed: limits.bytes: 5,000"):
        read(content, "a.csv.gz", contract)


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_does(read: Reader, tmp_path: Path) -> None:
    """A text of 8 MB, once in the dictionary and 200,000 times in the rows: 1.6 TB."""
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), ["x" * (8 << 20)])
    table = pa.table({"name": words, "count": range(200_000)})
    pq.write_table(table, tmp_path / "bomb", compression="zstd")
    content = (tmp_path / "bomb").read_bytes()
    before = pa.total_allocated_bytes()
    with pytest.raises(GateFailed, match="a text of 8,388,608 bytes"):
        read(content, "a.parquet", source(path="parcels/{ds}/*.parquet"))
    assert pa.total_allocated_bytes() - before < 1 << 28
    larger = source(path="parcels/{ds}/*.parquet", limits={"cell": 16 << 20, "bytes": 200 << 20})
    with pytest.raises(GateFailed, match=r"bytes\. Allowed: limits\.bytes"):
        read(content, "a.parquet", larger)


def test_words_of_a_dictionary_come_as_the_texts_that_they_are(read: Reader, tmp_path: Path) -> None:
    names = ["a", None, "b", "a"] * 3
    content = parquet(pa.table({"name": pa.array(names).dictionary_encode(), "count": range(12)}), tmp_path / "b")
    rows, _ = read(content, "a.parquet", source(path="parcels/{ds}/*.parquet"))
    assert [row["name"] for row in rows] == names


def test_more_files_than_allowed_are_not_opened(tmp_path: Path) -> None:
    files = [StoredFile(str(tmp_path / f"{number}.csv"), 1, 1) for number in range(3)]
    with pytest.raises(GateFailed, match=r"3 files\. Allowed: limits\.files: 2"):
        next(parse(files, source(limits={"files": 2}), UTC, Landing()))


NULLABLE = {"name": {"type": "string"}, "count": {"type": "integer", "nulls": 1.0}}
ONE = [{"name": "a", "count": 1}]
OTHER: dict[str, tuple[str, ...]] = {"ignored": ("column 2",), "missing": ("count",)}
LENIENT: dict[str, tuple[list[str], list[Any], list[dict[str, Any]], dict[str, tuple[str, ...]]]] = {
    "more columns": (["x", "count", "name"], ["?", 1, "a"], ONE, {"ignored": ("column 1",)}),
    "another order": (["count", "name"], [1, "a"], ONE, {}),
    "a nullable column less": (["name"], ["a"], [{"name": "a", "count": None}], {"missing": ("count",)}),
    "another case": (["Name", "COUNT"], ["a", 1], ONE, {"renamed": ("COUNT as count", "Name as name")}),
    "spaces": (["name", " count "], ["a", 1], ONE, {"renamed": ("(unprintable) as count",)}),
    "names that only resemble": (["name", "ｃount"], ["a", 1], [{"name": "a", "count": None}], OTHER),
    "names of no name": (["name", "count", "", ""], ["a", 1, "", ""], ONE, {"ignored": ("column 3",)}),
}


def written(ending: str, names: list[str], cells: list[Any], path: Path) -> bytes:
    if ending == "csv":
        return "".join(",".join(map(str, line)) + "\n" for line in (names, cells)).encode()
    pq.write_table(pa.Table.from_arrays([pa.array([cell]) for cell in cells], names=names), path)
    return path.read_bytes()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("case", LENIENT)
def test_a_lenient_source_reads_the_columns_that_it_names_and_says_what_differs(
    read: Reader, tmp_path: Path, case: str, ending: str
) -> None:
    names, cells, rows, differences = LENIENT[case]
    content = written(ending, names, cells, tmp_path / "written")
    contract = source(path=f"p/{{ds}}/*.{ending}", columns=NULLABLE)
    found, landing = read(content, f"a.{ending}", contract)
    assert (found, landing.rows, landing.rejected) == (rows, 1, [])
    assert landing.differences == differences
    if differences:
        with pytest.raises(GateFailed, match="the columns are not the contract's"):
            read(content, f"a.{ending}", source(path=contract.path, columns=NULLABLE, columns_policy="strict"))


REFUSED: dict[str, tuple[list[str], str]] = {
    "a column that may not be null": (["count", "x"], "missing: name; not in the contract: column 2"),
    "a name twice": (["name", "count", "count"], "more than once: count"),
    "another name twice": (["name", "count", "x", "x"], "more than once: column 3"),
    "names that differ by case": (["name", "count", "Count"], "differ by case or spaces alone: count, Count"),
    "names of which none is the contract's": (["name", "COUNT", "Count"], "spaces alone: COUNT, Count"),
}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("case", REFUSED)
def test_columns_that_are_missing_or_could_be_taken_for_one_another_are_refused(
    read: Reader, tmp_path: Path, case: str, ending: str
) -> None:
    names, words = REFUSED[case]
    content = written(ending, names, ["1"] * len(names), tmp_path / "written")
    with pytest.raises(GateFailed) as caught:
        read(content, f"a.{ending}", source(path=f"p/{{ds}}/*.{ending}", columns=NULLABLE))
    assert words in str(caught.value)


@pytest.mark.parametrize(("name", "other"), [("m2", "m²"), ("class", "claß"), ("file", "ﬁle")])
def test_a_name_that_only_resembles_a_column_is_another_one(read: Reader, name: str, other: str) -> None:
    contract = source(columns={"name": {"type": "string"}, name: {"type": "integer"}})
    assert read(f"name,{name},{other}\na,1,2\n".encode(), contract=contract)[0] == [{"name": "a", name: 1}]


def test_a_header_of_very_many_names_takes_no_night() -> None:
    names = [f"x{number}" for number in range(100_000)]
    start = time.process_time()
    found = match_columns("a.csv", ["name", "count", *names], source())
    assert found.names == {"name": "name", "count": "count"}
    assert time.process_time() - start < 10, "each name was compared with each other"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pa.struct([("canary4711", pa.int64())]), "is of Parquet type struct."),
        (pa.list_(pa.struct([("canary4711", pa.int64())])), "is of Parquet type list."),
        (pa.map_(pa.string(), pa.int64()), "is of Parquet type map."),
        (pa.timestamp("us", "Europe/Canary4711"), "is of Parquet type timestamp[us] with a timezone."),
        (pa.date32(), "is of Parquet type date32[day]."),
    ],
)
def test_the_names_in_a_columns_type_are_not_shown(
    read: Reader, tmp_path: Path, found: pa.DataType, words: str
) -> None:
    content = parquet(pa.table({"name": ["a"], "count": pa.nulls(1, found)}), tmp_path / "b")
    with pytest.raises(GateFailed) as caught:
        read(content, "a.parquet", source(path="p/{ds}/*.parquet", columns=NULLABLE))
    assert words in str(caught.value)
    assert "4711" not in str(caught.value)


def test_an_ignored_column_may_be_of_any_type(read: Reader, tmp_path: Path) -> None:
    nested = pa.array([[{"count": 7}]], pa.list_(pa.struct([("count", pa.int64())])))
    content = parquet(pa.table({"name": ["a"], "x": nested, "count.y": [b"\xff"], "count": [1]}), tmp_path / "b")
    rows, landing = read(content, "a.parquet", source(path="p/{ds}/*.parquet", columns=NULLABLE))
    assert (rows, landing.differences) == (ONE, {"ignored": ("column 2", "column 3")})


def test_blank_lines_are_no_rows_where_the_file_has_columns_that_are_ignored(read: Reader) -> None:
    one = source(columns={"name": {"type": "string"}})
    assert read(b"name,x\na,1\n\nb,2\n", contract=one)[0] == [{"name": "a"}, {"name": "b"}]


def test_a_quoted_line_end_in_the_header_ends_no_row(read: Reader) -> None:
    rows, landing = read(b'name,"x\ny",count\na,?,1\n', contract=source(columns=NULLABLE))
    assert (rows, landing.rows, landing.differences) == (ONE, 1, {"ignored": ("column 2",)})


def test_half_floats_are_numbers(read: Reader, tmp_path: Path) -> None:
    table = pa.table({"name": ["a", "b"], "count": pa.array([1.5, None], pa.float32()).cast(pa.float16())})
    contract = source(path="p/{ds}/*.parquet", columns={"name": {"type": "string"}, "count": {"type": "number"}})
    assert [row["count"] for row in read(parquet(table, tmp_path / "b"), "a.parquet", contract)[0]] == [1.5, None]


class Kms(encryption.KmsClient):  # type: ignore[misc]
    """Keys that are no secret."""

    def __init__(self, _: Any) -> None:
        super().__init__()

    def wrap_key(self, key: bytes, _: str) -> bytes:
        """The key as text."""
        return base64.b64encode(key)


@pytest.mark.parametrize("plaintext_footer", [True, False])
def test_an_encrypted_file_is_refused_and_ends_no_process(read: Reader, tmp_path: Path, plaintext_footer: bool) -> None:
    configuration = encryption.EncryptionConfiguration(
        footer_key="f", column_keys={"c": ["count"]}, plaintext_footer=plaintext_footer
    )
    factory = encryption.CryptoFactory(Kms)
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), configuration)
    path = tmp_path / "b"
    pq.write_table(pa.table({"name": ["a"], "count": [1]}), path, encryption_properties=properties)
    with pytest.raises(GateFailed, match=r"a\.parquet: the file is encrypted"):
        read(path.read_bytes(), "a.parquet", source(path="p/{ds}/*.parquet"))


def test_rejected_rows_above_the_gates_limit_are_counted_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightshift.inputs.parse._ALWAYS_KEPT", 3)
    path = tmp_path / "a.csv"
    path.write_text("name,count\n" + "".join(f"a{number},x\n" for number in range(100)))
    file = StoredFile(str(path), path.stat().st_size, 1)
    kept = {}
    for policy, limit in (("block", 0), ("quarantine", 0.05), ("quarantine", 0.5), ("warn", 0)):
        landing = Landing(gate=Gate.model_validate({"policy": policy, "limit": limit}))
        list(parse([file], source(), UTC, landing))
        assert len(landing.rejected) == 100
        assert {row.expectation for row in landing.rejected} == {"count parses as integer"}
        kept[policy, limit] = sum(row.row != "{}" for row in landing.rejected)
        assert landing.unkept == 100 - kept[policy, limit]
    assert kept == {("block", 0): 3, ("quarantine", 0.05): 5, ("quarantine", 0.5): 50, ("warn", 0): 100}


def test_rejected_rows_that_take_the_memory_end_the_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightshift.inputs.parse._MOST_KEPT", 1 << 20)
    path = tmp_path / "a.csv"
    path.write_text("name,count\n" + f"a,{'x' * 1000}\n" * 20_000)
    with pytest.raises(GateFailed, match="the rows that do not parse are more than 1 MiB"):
        list(parse([StoredFile(str(path), 1, 1)], source(), UTC, Landing(gate=Gate(policy="warn"))))
