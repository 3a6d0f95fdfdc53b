"""What prune removes, and what it must never touch: on real tables, with files whose age is set."""

import os
import time
from pathlib import Path

import pytest

from nightshift import storage, tables
from nightshift.errors import NightshiftError
from nightshift.lineage import DataFile, find_staged
from nightshift.tables.prune import DAY, Pruned, prune, table_roots
from tests.unit.tables.test_publish import DAY as DS
from tests.unit.tables.test_publish import SCHEMA, staged

OLD = 30 * DAY


@pytest.fixture
def table(tmp_path: Path) -> str:
    return str(tmp_path / "lake" / "parcels" / "features")


def age(folder: str, seconds: float) -> None:
    moment = time.time() - seconds
    for path in Path(folder).rglob("*"):
        os.utime(path, (moment, moment))


def data_files(table: str) -> set[str]:
    return {str(path.relative_to(table)) for path in Path(table).glob("attempt=*/**/*.parquet")}


def test_every_version_stays_readable_and_what_was_never_published_goes_a_day_later(table: str) -> None:
    first, second = staged(table, DS, "aa", "1"), staged(table, DS, "bb", "2")
    tables.publish(table, SCHEMA, [first])
    replaced = tables.state(table).version
    tables.publish(table, SCHEMA, [staged(table, DS, "cc", "3", replaces="aa")])
    before = tables.read(table, tables.state(table, replaced).files(DS))
    unread = {file.path for file in second.files}
    age(table, OLD + 60)

    done = prune(table, OLD)
    assert (done.files, len(done.expired)) == (0, 1), "whoever found it just now may still publish it"
    assert find_staged(table, DS, "bb") is None
    assert unread <= data_files(table)
    assert prune(table, OLD).files == 0

    age(str(Path(table, "_expired")), DAY + 60)
    done = prune(table, OLD)
    assert (done.files, done.bytes > 0) == (len(unread), True)
    assert not unread & data_files(table)
    assert not Path(table, "attempt=2").exists()
    assert tables.read(table, tables.state(table, replaced).files(DS)).equals(before)
    assert tables.read(table, tables.state(table).files(DS)).num_rows == 3
    assert prune(table, OLD).expired == []


def test_what_goes_is_recorded_before_it_goes_and_only_where_anything_does(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DS, "aa", "1")])
    orphan = tables.write_partition(table, "9", DS, "zz", SCHEMA, [])[0]
    records: list[tuple[int, bool]] = []

    def record(done: Pruned) -> None:
        records.append((done.files, Path(table, orphan.path).exists()))

    prune(table, OLD, record=record)
    age(table, OLD + 60)
    prune(table, OLD, dry_run=True, record=record)
    assert records == []
    prune(table, OLD, record=record)
    prune(table, OLD, record=record)
    assert records == [(1, True)]
    assert not Path(table, orphan.path).exists()


def test_what_is_young_or_staged_lately_stays(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DS, "aa", "1")])
    waiting = staged(table, DS, "bb", "2")
    age(str(Path(table, "attempt=2")), OLD + 60)
    assert prune(table, OLD) == prune(table, OLD)
    assert data_files(table) >= {file.path for file in waiting.files}
    assert find_staged(table, DS, "bb") == waiting


def test_an_orphan_that_nothing_names_goes_at_once_unless_it_is_young(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DS, "aa", "1")])
    orphan = tables.write_partition(table, "9", DS, "zz", SCHEMA, [])[0]
    assert prune(table, OLD).files == 0
    age(str(Path(table, "attempt=9")), OLD + 60)
    assert prune(table, OLD, dry_run=True).files == 1
    assert orphan.path in data_files(table)
    assert prune(table, OLD).files == 1
    assert orphan.path not in data_files(table)


def test_the_file_of_a_shard_that_is_not_published_yet_stays_as_long_as_its_result(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DS, "aa", "1")])
    file = tables.write_partition(table, "9", DS, "zz", SCHEMA, [])[0]
    result = storage.join(table, "_plans", f"ds={DS}", "zz-1", "shard-0.json")
    storage.write_json(result, {"shard": 0, "file": vars(DataFile(file.path, file.size, 0))})
    age(str(Path(table, "attempt=9")), OLD + 60)
    assert prune(table, OLD).files == 0
    age(table, OLD + 60)
    assert prune(table, OLD).expired == [result]
    assert not storage.exists(result), "a plan made again scores this shard again"
    assert file.path in data_files(table)


def test_a_log_with_a_gap_is_left_alone(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DS, "aa", "1")])
    Path(table, "_delta_log", f"{0:020}.json").unlink()
    age(table, OLD + 60)
    with pytest.raises(NightshiftError, match="the log of the table has gaps"):
        prune(table, OLD)


def test_every_table_of_a_pipeline_is_found(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DS, "aa", "1")])
    other = table.replace("features", "inputs/orders")
    tables.publish(other, SCHEMA, [staged(other, DS, "aa", "1")])
    assert table_roots(table.removesuffix("/features")) == [table, other]
