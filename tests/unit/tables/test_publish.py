"""Publishing through real delta-rs tables; each trap of the contract has the test that the obvious way fails."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nightshift import storage, tables
from nightshift.errors import NightshiftError, SchemaChanged
from nightshift.lineage import DataFile, Manifest, find_staged

COLUMNS = {"key": "string", "n": "integer"}
SCHEMA = tables.arrow_schema(COLUMNS)
DAY = "2024-02-01"


def staged(table: str, ds: str, fingerprint: str, attempt: str, rows: int = 3, **changes: Any) -> Manifest:
    """A completed attempt with ``rows`` rows."""
    columns, dataset = changes.pop("columns", COLUMNS), changes.pop("dataset", "features")
    schema = tables.arrow_schema(columns)
    content = {name: [str(n) if kind == "string" else n for n in range(rows)] for name, kind in columns.items()}
    batches = [pa.record_batch(content, schema=schema)] if rows else []
    files = tables.write_partition(table, attempt, ds, fingerprint, schema, batches, rows_per_file=2)
    fixed = {"run_id": "r", "created_at": f"2024-02-02T00:00:{attempt:0>2}", "code_version": "c", "spec_hash": "s"}
    manifest = Manifest("parcels", dataset, ds, fingerprint, attempt, files=files, **{**fixed, **changes})
    tables.leave_staged(table, manifest)
    return manifest


@pytest.fixture
def table(tmp_path: Path) -> str:
    return str(tmp_path / "lake" / "features")


def test_a_partition_is_read_whole_and_in_order(table: str) -> None:
    publication = tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1", rows=5)])
    found = tables.state(table)
    assert publication == tables.Publication(found.version, (DAY,))
    assert found.fingerprint(DAY) == "aa"
    assert [file.rows for file in found.files(DAY)] == [2, 2, 1]
    assert tables.read(table, found.files(DAY))["n"].to_pylist() == [0, 1, 2, 3, 4]


def test_an_empty_partition_is_published(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1", rows=0)])
    found = tables.state(table)
    assert found.partitions[DAY].rows == 0
    assert tables.read(table, found.files(DAY)).schema.names == ["key", "n"]


def test_there_is_nothing_where_there_is_no_table(table: str) -> None:
    assert tables.state(table) == tables.TableState(table, -1, {})


def test_several_days_are_one_commit(table: str) -> None:
    days = [f"2024-02-{n:02}" for n in range(1, 21)]
    before = tables.publish(table, SCHEMA, [staged(table, "2024-01-01", "aa", "0")]).version
    publication = tables.publish(table, SCHEMA, [staged(table, day, "aa", "1") for day in days])
    assert publication.version == before + 1
    assert publication.published == tuple(days)


def test_the_same_fingerprint_is_up_to_date_and_commits_nothing(table: str) -> None:
    first = tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1")])
    second = tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "2")])
    assert second == tables.Publication(first.version, up_to_date=(DAY,))


def test_an_older_attempt_does_not_replace_a_newer_one(table: str) -> None:
    older = staged(table, DAY, "old", "1")
    tables.publish(table, SCHEMA, [staged(table, DAY, "new", "2")])
    publication = tables.publish(table, SCHEMA, [older], still_wanted=lambda _: ())
    assert publication.superseded == (DAY,)
    assert tables.state(table).fingerprint(DAY) == "new"


def test_a_zombie_does_not_publish_over_a_day_that_went_back(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DAY, "a", "1")])
    zombie = staged(table, DAY, "b", "2", replaces="a")
    tables.publish(table, SCHEMA, [staged(table, DAY, "b", "3", replaces="a")])
    tables.publish(table, SCHEMA, [staged(table, DAY, "a", "4", replaces="b")])
    publication = tables.publish(table, SCHEMA, [zombie], still_wanted=lambda _: ())
    assert publication.superseded == (DAY,)
    assert tables.state(table).fingerprint(DAY) == "a"


def test_the_upstream_is_asked_anew_after_a_conflict_and_once_for_all_days(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = ["2024-02-01", "2024-02-02"]
    tables.publish(table, SCHEMA, [staged(table, day, "a", "1") for day in days])
    newer = [staged(table, day, "b", "2", replaces="a") for day in days]
    asked: list[list[str]] = []

    def still_wanted(manifests: Sequence[Manifest]) -> list[str]:
        asked.append([manifest.ds for manifest in manifests])
        if len(asked) == 1:  # another publication comes in between
            tables.publish(table, SCHEMA, [staged(table, days[0], "c", "3", replaces="a")])
        return days[1:]

    assert tables.publish(table, SCHEMA, newer, still_wanted).published == (days[1],)
    assert asked[-1] == days


def test_an_attempt_that_the_upstream_still_asks_for_replaces_what_came_between(table: str) -> None:
    manifest = staged(table, DAY, "now", "1")
    tables.publish(table, SCHEMA, [staged(table, DAY, "stale", "2")])
    publication = tables.publish(table, SCHEMA, [manifest], still_wanted=lambda asked: {m.ds for m in asked})
    assert publication.published == (DAY,)
    assert tables.state(table).fingerprint(DAY) == "now"


def test_two_first_publications_at_once_never_both_land(table: str) -> None:
    # Without an application transaction Delta finds nothing to remove in either, and the day has its rows twice.
    tables.publish(table, SCHEMA, [staged(table, "2024-01-01", "aa", "0")])
    manifests = [staged(table, DAY, f"f{n}", f"{n}", rows=n + 1) for n in range(6)]
    outcomes = at_once([lambda m=m: tables.publish(table, SCHEMA, [m]) for m in manifests])
    assert sorted(len(outcome.published) for outcome in outcomes) == [0, 0, 0, 0, 0, 1]
    winner = next(m for m, outcome in zip(manifests, outcomes, strict=True) if outcome.published)
    assert tables.state(table).partitions[DAY].rows == winner.rows


def test_different_days_at_once_all_land(table: str) -> None:
    manifests = [staged(table, f"2024-02-{n + 1:02}", "aa", f"{n}") for n in range(8)]
    outcomes = at_once([lambda m=m: tables.publish(table, SCHEMA, [m]) for m in manifests])
    assert [len(outcome.published) for outcome in outcomes] == [1] * 8
    assert len(tables.state(table).partitions) == 8


def test_another_schema_is_refused_and_the_table_stays(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1")])
    other = {"key": "string", "n": "number"}
    with pytest.raises(SchemaChanged) as caught:
        tables.publish(table, tables.arrow_schema(other), [staged(table, DAY, "bb", "2", columns=other)])
    assert str(caught.value) == (
        f"{table}: the columns differ from the table's (retyped: n from int64 to double). "
        "Allowed: the same types and names; columns may be added and taken out. "
        "What to do: keep types and names, or raise `generation` in the spec for a new set of tables."
    )
    assert tables.state(table).fingerprint(DAY) == "aa"


def test_a_column_whose_name_changes_its_case_alone_is_refused_and_the_table_stays(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1")])
    other = {"key": "string", "N": "integer"}
    with pytest.raises(SchemaChanged) as caught:
        tables.publish(table, tables.arrow_schema(other), [staged(table, DAY, "bb", "2", columns=other)])
    assert str(caught.value) == (
        f"{table}: the columns differ from the table's (renamed by case alone: n to N). "
        "Allowed: the same types and names; columns may be added and taken out. "
        "What to do: keep types and names, or raise `generation` in the spec for a new set of tables."
    )
    assert tables.state(table).fingerprint(DAY) == "aa"


def test_a_column_that_was_taken_out_again_is_null_and_may_come_back(table: str) -> None:
    from deltalake import DeltaTable

    narrow = {"key": "string"}
    tables.publish(table, SCHEMA, [staged(table, "2024-02-01", "aa", "1")])
    tables.publish(table, tables.arrow_schema(narrow), [staged(table, "2024-02-02", "bb", "2", columns=narrow)])
    rows = DeltaTable(table).to_pyarrow_table(filters=[("ds", "=", "2024-02-02")])
    assert (rows.column_names, rows["n"].null_count) == (["key", "n", "ds"], 3)
    tables.publish(table, SCHEMA, [staged(table, "2024-02-03", "cc", "3")])
    found = tables.state(table)
    read = [tables.read(table, found.files(f"2024-02-0{n}"), schema=SCHEMA)["n"].to_pylist() for n in (1, 2, 3)]
    assert read == [[0, 1, 2], [None] * 3, [0, 1, 2]]
    with pytest.raises(SchemaChanged, match="retyped: n"):
        tables.publish(table, tables.arrow_schema({"n": "string"}), [staged(table, DAY, "dd", "4", rows=0)])


# What a spec names night after night, and which nights are refused: they leave the table as it is.
_KEY = {"key": "string"}
REVERTS = {
    "a column is added and taken out": ([_KEY, {**_KEY, "n": "integer"}, _KEY], []),
    "a column is taken out and comes back": ([{**_KEY, "n": "integer"}, _KEY, {**_KEY, "n": "integer"}], []),
    "a column is renamed and named as before": ([{**_KEY, "n": "integer"}, {**_KEY, "m": "integer"}] * 2, []),
    "a type changes and goes back": (
        [{**_KEY, "n": "integer"}, {**_KEY, "n": "number"}, {**_KEY, "n": "integer"}],
        [1],
    ),
    "a column comes back as another type": ([{**_KEY, "n": "integer"}, _KEY, {**_KEY, "n": "string"}], [2]),
    "columns change their order": ([{**_KEY, "n": "integer"}, {"n": "integer", **_KEY}, {**_KEY, "n": "integer"}], []),
    "a name changes its case and goes back": ([{**_KEY, "n": "integer"}, {**_KEY, "N": "integer"}] * 2, [1, 3]),
}


@pytest.mark.parametrize("name", REVERTS)
def test_a_revert_of_the_spec_is_a_revert_of_the_table(table: str, name: str) -> None:
    nights, refused = REVERTS[name]
    for number, columns in enumerate(nights):
        day, schema = f"2024-02-0{number + 1}", tables.arrow_schema(columns)
        manifest = staged(table, day, "aa", str(number), columns=columns)
        if number in refused:
            version = tables.state(table).version
            with pytest.raises(SchemaChanged):
                tables.publish(table, schema, [manifest])
            assert tables.state(table).version == version
            continue
        tables.publish(table, schema, [manifest])
        files = tables.state(table).files(day)
        assert tables.read(table, files, schema=schema).to_pylist() == [
            {column: n if kind == "integer" else str(n) for column, kind in columns.items()} for n in range(3)
        ]


def test_new_columns_are_null_where_they_were_not(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1")])
    wider = {**COLUMNS, "extra": "integer"}
    manifests = [staged(table, f"2024-02-0{n}", "aa", f"{n}", columns=wider) for n in (2, 3, 4)]
    schema = tables.arrow_schema(wider)
    outcomes = at_once([lambda m=m: tables.publish(table, schema, [m]) for m in manifests])
    assert [len(outcome.published) for outcome in outcomes] == [1, 1, 1]
    old = tables.read(table, tables.state(table).files(DAY), schema=schema)
    assert old["extra"].to_pylist() == [None, None, None]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (Path.unlink, "but it is not there"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes and None rows"),
    ],
)
def test_a_manifest_that_storage_contradicts_is_never_committed(
    table: str, damage: Callable[[Path], object], words: str
) -> None:
    manifest = staged(table, DAY, "aa", "1")
    damage(Path(table) / manifest.files[0].path)
    with pytest.raises(NightshiftError, match="a staged file is not as its manifest says") as caught:
        tables.publish(table, SCHEMA, [manifest])
    assert words in str(caught.value)
    assert tables.state(table).version == -1


def test_a_manifest_with_other_row_counts_is_never_committed(table: str) -> None:
    manifest = staged(table, DAY, "aa", "1", rows=1)
    lying = DataFile(manifest.files[0].path, manifest.files[0].size, 7)
    with pytest.raises(NightshiftError, match=r"7 rows, but there are \d+ bytes and 1 rows"):
        tables.publish(table, SCHEMA, [Manifest.read({**manifest.document(), "files": [vars(lying)]})])


def test_a_pinned_version_does_not_change(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1", rows=1)])
    pinned = tables.state(table)
    tables.publish(table, SCHEMA, [staged(table, DAY, "bb", "2", rows=4, replaces="aa")])
    assert tables.state(table, pinned.version) == pinned
    assert tables.read(table, pinned.files(DAY)).num_rows == 1
    with pytest.raises(NightshiftError, match="version 99 of the table cannot be read"):
        tables.state(table, 99)


def test_manifests_are_found_by_fingerprint(table: str) -> None:
    manifest = staged(table, DAY, "aa", "1")
    assert find_staged(table, DAY, "aa") == manifest
    assert find_staged(table, DAY, "a") is None
    assert tables.state(table).manifest(DAY) is None
    tables.publish(table, SCHEMA, [manifest])
    assert tables.state(table).manifest(DAY) == manifest
    storage.local_path(storage.join(table, manifest.files[0].path)).unlink()
    assert find_staged(table, DAY, "aa") is None


def test_the_log_is_never_cleaned(table: str) -> None:
    from deltalake import DeltaTable

    tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1")])
    assert DeltaTable(table).metadata().configuration == {"delta.enableExpiredLogCleanup": "false"}


def test_a_reader_never_sees_a_part_of_a_day(table: str) -> None:
    tables.publish(table, SCHEMA, [staged(table, DAY, "f0", "0", rows=4)])
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            found = tables.state(table)
            seen.append(tables.read(table, found.files(DAY)).num_rows)

    reader = threading.Thread(target=watch)
    reader.start()
    for n in range(1, 15):
        tables.publish(table, SCHEMA, [staged(table, DAY, f"f{n}", f"{n}", rows=4, replaces=f"f{n - 1}")])
    stop.set()
    reader.join()
    assert set(seen) == {4}


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 40), max_size=6), rows_per_file=st.integers(1, 30))
def test_files_hold_all_rows_in_order(tmp_path: Path, sizes: list[int], rows_per_file: int) -> None:
    import uuid

    table, total = str(tmp_path / uuid.uuid4().hex), sum(sizes)
    schema = tables.arrow_schema({"n": "integer"})
    numbers = iter(range(total))
    batches = [pa.record_batch({"n": [next(numbers) for _ in range(size)]}, schema=schema) for size in sizes]
    files = tables.write_partition(table, "1", DAY, "aa", schema, batches, rows_per_file)
    assert tables.read(table, files)["n"].to_pylist() == list(range(total))
    assert all(file.rows == rows_per_file for file in files[:-1])
    assert files == tables.staged_files(table, "1", DAY, "aa")


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """The results of calls that start at the same moment."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(position: int) -> None:
        barrier.wait()
        results[position] = calls[position]()

    threads = [threading.Thread(target=run, args=(position,)) for position in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
