"""What small files unpack to: refused before it is unpacked, or read in parts."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightshift.inputs.parquet_pages import pages

MIB = 1 << 20
READ = """
import resource, sys
import pyarrow as pa
from zoneinfo import ZoneInfo
from nightshift.errors import GateFailed
from nightshift.inputs.parse import Landing, parse
from nightshift.specs.model import Input
from nightshift.storage import StoredFile

resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
uri, size = sys.argv[1], int(sys.argv[2])
columns = {"name": {"type": "string"}, "count": {"type": "integer", "nulls": 1.0}}
source = Input.model_validate({"path": "p/{ds}/*", "format": sys.argv[3], "key": ("name",), "columns": columns})
source = source.model_copy(update={"limits": source.limits.model_copy(update={"bytes": 1 << 30})})
said = "read"
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    for batch in parse([StoredFile(uri, size, 1)], source, ZoneInfo("UTC"), Landing()):
        pass
except GateFailed as error:
    said = error.what
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, said, flush=True)
"""


def write(path: Path, batches: list[pa.RecordBatch], **options: object) -> None:
    with pq.ParquetWriter(path, batches[0].schema, compression="zstd", **options) as writer:
        for batch in batches:
            writer.write_batch(batch, row_group_size=10**7)


def names(*values: str, repeat: int = 1) -> list[pa.RecordBatch]:
    return [pa.RecordBatch.from_pydict({"name": list(values)})] * repeat


def one_cell(path: Path) -> None:
    write(path, names("x" * (400 * MIB)))


def one_cell_among_many(path: Path) -> None:
    write(path, [*names(*map(str, range(1000))), *names(*["y"] * 100, "x" * (300 * MIB))], use_dictionary=False)


def repeated_beginnings(path: Path) -> None:
    options = {"use_dictionary": False, "column_encoding": {"name": "DELTA_BYTE_ARRAY"}}
    write(path, names(*["x" * MIB] * 64, repeat=100), **options)


def words_of_a_dictionary(path: Path) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["x" * MIB]))
    write(path, [pa.RecordBatch.from_arrays([words], names=["name"])])


def lists(path: Path) -> None:
    long = pa.ListArray.from_arrays([0, 100_000_000], pa.array([None], pa.int8()).take(pa.array([0] * 100_000_000)))
    pq.write_table(pa.table({"name": ["a"], "count": long}), path, compression="zstd")


def a_line(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"name,count\n")
        for _ in range(300):
            file.write(b"x" * MIB)


BOMBS = {
    one_cell: "the delivery is too large: a text of ",
    one_cell_among_many: "the delivery is too large: a ",
    repeated_beginnings: "the delivery is too large: 1,",
    words_of_a_dictionary: "the delivery is too large: 1,",
    lists: "column count is of Parquet type list<element: int8>",
    a_line: "a row is longer than 4 MiB",
}


@pytest.mark.process
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_a_bomb_is_refused_without_taking_the_memory(tmp_path: Path, bomb: object) -> None:
    path = tmp_path / "bomb"
    bomb(path)  # type: ignore[operator]
    form = "csv" if bomb is a_line else "parquet"
    command = [sys.executable, "-c", READ, str(path), str(path.stat().st_size), form]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    taken, _, said = done.stdout.strip().partition(" ")
    assert said.startswith(BOMBS[bomb]), said  # type: ignore[index]
    assert int(taken) < 600, f"{taken} MiB"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(
    st.lists(st.text(max_size=40), min_size=1, max_size=200),
    st.sampled_from(["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY", None]),
    st.sampled_from(["1.0", "2.0"]),
    st.sampled_from(["none", "snappy", "zstd"]),
    st.booleans(),
)
def test_the_headers_of_all_pages_add_up_to_what_the_footer_says(
    tmp_path: Path, texts: list[str], encoding: str | None, version: str, compression: str, checksum: bool
) -> None:
    path = tmp_path / "a.parquet"
    encodings = {"use_dictionary": False, "column_encoding": {"name": encoding}} if encoding else {}
    table = pa.table({"name": texts, "other": range(len(texts))})
    options = {"data_page_version": version, "compression": compression, "write_page_checksum": checksum}
    pq.write_table(table, path, data_page_size=256, write_batch_size=7, **options, **encodings)
    chunk = pq.read_metadata(path).row_group(0).column(0)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    with path.open("rb") as file:
        found = list(pages(file, start, chunk.total_compressed_size))
    assert sum(page.values for page in found if not page.dictionary) == len(texts)
    assert 0 <= chunk.total_uncompressed_size - sum(page.size for page in found) < 200 * len(found)
    assert {page.repeats for page in found if not page.dictionary} == {encoding == "DELTA_BYTE_ARRAY"}


@given(st.binary(max_size=200))
def test_bytes_that_are_no_headers_are_refused(content: bytes) -> None:
    file = pa.BufferReader(content)
    try:
        for page in pages(file, 0, len(content)):
            assert page.size >= 0
    except ValueError:
        pass
