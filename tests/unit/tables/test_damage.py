"""What other programs do to a table: named by day, refused for that day alone, and put back as it was."""

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction

from nightshift import storage, tables
from nightshift.errors import NightshiftError, PartitionDamaged
from nightshift.lineage import published_uri
from nightshift.tables.commits import compare
from tests.unit.tables.test_publish import DAY, SCHEMA, staged

OTHER, THIRD = "2024-02-02", "2024-02-03"


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Three days of five rows in three files each."""
    uri = str(tmp_path / "lake" / "features")
    tables.publish(uri, SCHEMA, [staged(uri, day, "aa", "1", rows=5) for day in (DAY, OTHER, THIRD)])
    return uri


def append(table: str, ds: str | None = DAY) -> None:
    """What a Spark job with ``mode("append")`` does."""
    rows = {"key": ["ghost"], "n": [9], "ds": pa.array([ds], pa.string())}
    write_deltalake(table, pa.table(rows), mode="append")


def delete_one(table: str) -> None:
    DeltaTable(table).delete(f"ds = '{DAY}' AND n = 0")


def delete_a_file(table: str) -> None:
    DeltaTable(table).delete(f"ds = '{DAY}' AND n = 4")  # the only row of its file: nothing is rewritten


def compact(table: str) -> None:
    DeltaTable(table).optimize.compact(partition_filters=[("ds", "=", DAY)])


def update(table: str) -> None:
    DeltaTable(table).update(updates={"n": "7"}, predicate=f"ds = '{DAY}' AND n = 1")


def commit(table: str, *actions: dict[str, object]) -> None:
    """A commit as another engine writes it."""
    log = Path(table, "_delta_log", f"{DeltaTable(table).version() + 1:020}.json")
    log.write_text("".join(f"{json.dumps(action)}\n" for action in ({"commitInfo": {}}, *actions)))


def added(table: str, position: int, **changes: object) -> dict[str, object]:
    file = tables.state(table).partitions[DAY].files[position]
    stats = json.dumps({"numRecords": file.rows})
    action = {"path": file.path, "size": file.size, "partitionValues": {"ds": DAY}, "modificationTime": 1}
    return {"add": {**action, "dataChange": True, "stats": stats, **changes}}


def hide_rows(table: str) -> None:
    """What Spark's DELETE does where the table has deletion vectors; its first row is hidden."""
    features = {"minReaderVersion": 3, "minWriterVersion": 7}
    named = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    vector = {
        "storageType": "i",
        "pathOrInlineDv": "^Bg9^0rr910000000000iXQKl0rr91000005c8Xg00000",
        "sizeInBytes": 34,
        "cardinality": 1,
    }
    moment = int(pa.table(DeltaTable(table).get_add_actions(flatten=True))["modification_time"][0].as_py())
    hidden = added(table, 0, deletionVector=vector, modificationTime=moment)
    gone = {"remove": {"path": hidden["add"]["path"], "dataChange": True, "deletionTimestamp": 1}}  # type: ignore[index]
    commit(table, {"protocol": {**features, **named}}, gone, hidden)


def two_fingerprints(table: str) -> None:
    other = staged(table, DAY, "bb", "2", rows=1)
    _add(table, other.files[0].path, other.files[0].size, other.files[0].rows)


def two_publications(table: str) -> None:
    other = staged(table, DAY, "aa", "2", rows=1)
    _add(table, other.files[0].path, other.files[0].size, other.files[0].rows)


def _add(table: str, path: str, size: int, rows: int) -> None:
    found = DeltaTable(table)
    action = AddAction(path, size, {"ds": DAY}, 1, True, json.dumps({"numRecords": rows}))
    found.create_write_transaction([action], mode="append", schema=found.schema(), partition_by=["ds"])


CHANGES = [
    (append, "1 of its 4 files are not Nightshift's"),
    (delete_one, "1 of its 3 files are not Nightshift's"),
    (update, "1 of its 3 files are not Nightshift's"),
    (delete_a_file, "1 files of its publication are not active"),
    (compact, "1 of its 1 files are not Nightshift's"),
    (hide_rows, "deletion vectors hide rows of 1 of its 3 files"),
    (two_fingerprints, "its files carry 2 fingerprints"),
    (two_publications, "files of two publications are active"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_a_change_is_refused_for_its_day_alone_and_put_back(
    table: str, change: Callable[[str], None], words: str
) -> None:
    before = tables.state(table)
    change(table)
    found = tables.state(table)
    assert tables.damaged(found) == {DAY: found.damage(DAY)}
    assert words in found.damage(DAY)
    with pytest.raises(PartitionDamaged, match="nightshift repair"):
        found.uris(DAY)
    assert found.fingerprint(DAY).startswith("damaged-")
    for day in (OTHER, THIRD):
        assert (found.fingerprint(day), found.files(day)) == ("aa", before.files(day))

    [planned] = tables.repair(table, dry_run=True)
    assert (planned.ds, planned.error) == (DAY, "")
    assert tables.damaged(tables.state(table)), "a dry run changes nothing"
    assert tables.repair(table) == [planned]
    after = tables.state(table)
    assert {day: after.files(day) for day in after.partitions} == {day: before.files(day) for day in before.partitions}
    assert after.fingerprint(DAY) == "aa"
    assert tables.repair(table) == []


def test_what_is_published_over_a_change_leaves_nothing_of_it(table: str) -> None:
    append(table)
    tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "3", replaces=tables.state(table).fingerprint(DAY))])
    found = tables.state(table)
    assert (found.damage(DAY), found.partitions[DAY].rows) == ("", 3)


def test_a_day_that_was_never_published_is_taken_out(table: str) -> None:
    append(table, "2024-02-09")
    assert list(tables.damaged(tables.state(table))) == ["2024-02-09"]
    assert [item.action for item in tables.repair(table)] == ["taken out: it was never published"]
    assert list(tables.state(table).partitions) == [DAY, OTHER, THIRD]


def remove_the_day(table: str) -> None:
    DeltaTable(table).delete(f"ds = '{DAY}'")


def overwrite(table: str) -> None:
    """What a notebook with ``mode("overwrite")`` does: it has rows of one day and takes out all others."""
    rows = {"key": ["ghost"], "n": [9], "ds": pa.array([OTHER])}
    write_deltalake(table, pa.table(rows), mode="overwrite")


@pytest.mark.parametrize(("change", "days"), [(remove_the_day, [DAY]), (overwrite, [DAY, THIRD])])
def test_a_day_of_which_no_file_is_left_is_named_and_put_back(
    table: str, change: Callable[[str], None], days: list[str]
) -> None:
    before = tables.state(table)
    change(table)
    found = tables.state(table)
    named = {ds: damage for ds, damage in tables.damaged(found).items() if damage == "all of its files were removed"}
    assert (sorted(named), [found.files(day) for day in days]) == (days, [()] * len(days))
    tables.repair(table)
    assert tables.state(table).partitions == before.partitions
    assert tables.damaged(tables.state(table)) == {}


def test_a_day_that_only_an_attempt_left_a_manifest_of_was_not_removed(table: str) -> None:
    beaten = staged(table, "2024-02-09", "aa", "9", rows=1)
    storage.write_json(published_uri(table, "2024-02-09", "aa", "9"), beaten.document())
    assert tables.damaged(tables.state(table)) == {}


def test_a_published_day_whose_manifest_is_gone_is_not_taken_out(table: str) -> None:
    append(table)
    storage.delete(published_uri(table, DAY, "aa", "1"))
    [planned] = tables.repair(table)
    assert (planned.action, planned.error) == ("none", "the manifest of its publication is gone")
    assert DAY in tables.state(table).partitions


@pytest.mark.parametrize("ds", [None, "yesterday", "2024-2-1"])
def test_rows_of_no_business_date_are_found_by_no_reader(table: str, ds: str | None) -> None:
    append(table, ds)
    found = tables.state(table)
    assert (list(found.partitions), len(found.strays)) == ([DAY, OTHER, THIRD], 1)
    assert tables.damaged(found) == {}


def test_a_repair_whose_files_are_gone_says_so_and_repairs_the_other_days(table: str) -> None:
    gone = tables.state(table).partitions[DAY].files[0]
    append(table)
    append(table, OTHER)
    storage.local_path(storage.join(table, gone.path)).unlink()
    first, second = tables.repair(table)
    assert "it is not there" in first.error
    assert (second.ds, second.error) == (OTHER, "")
    assert list(tables.damaged(tables.state(table))) == [DAY]


def test_partitions_of_before_their_files_were_counted_are_compared_with_their_manifests(table: str) -> None:
    """As the version before published them: the milliseconds say nothing."""
    files = tables.state(table).partitions[DAY].files
    commit(table, *(added(table, position, modificationTime=1_700_000_000_777) for position in range(len(files))))
    found = tables.state(table)
    assert (found.damage(DAY), found.files(DAY)) == ("", files)
    delete_a_file(table)
    assert "not active" in tables.state(table).damage(DAY)
    storage.delete(published_uri(table, DAY, "aa", "1"))
    assert tables.state(table).damage(DAY) == "", "nothing is left to compare with"


def test_whether_a_day_is_up_to_date_opens_no_manifest(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("nightshift.tables.state"), "kept_manifests", None)
    found = tables.state(table)
    assert [found.fingerprint(day) for day in (DAY, OTHER, THIRD)] == ["aa"] * 3


def test_the_manifest_is_that_of_the_active_files_and_no_newer_one_of_a_beaten_attempt(table: str) -> None:
    beaten = staged(table, DAY, "aa", "9", rows=1)
    storage.write_json(published_uri(table, DAY, "aa", "9"), beaten.document())
    manifest = tables.state(table).manifest(DAY)
    assert manifest is not None
    assert manifest.attempt == "1"


def test_of_two_attempts_that_took_the_same_files_the_one_counts_that_was_published(table: str) -> None:
    """The beaten one is the newer, and has left its manifest, too."""
    first = staged(table, "2024-02-09", "aa", "1")
    beaten = replace(first, attempt="9", created_at="2024-02-09T00:00:09")
    storage.write_json(published_uri(table, "2024-02-09", "aa", "9"), beaten.document())
    tables.publish(table, SCHEMA, [first])
    assert tables.state(table).manifest("2024-02-09") == first


def test_a_repair_after_a_restored_version_puts_back_what_that_version_had(table: str) -> None:
    before = tables.state(table)
    tables.publish(table, SCHEMA, [staged(table, DAY, "bb", "2", replaces="aa")])
    DeltaTable(table).restore(before.version)
    append(table)
    tables.repair(table)
    assert tables.state(table).partitions == before.partitions


def test_a_table_that_another_program_made_anew_is_refused(table: str) -> None:
    rows = pa.table({"key": ["x"], "n": [1]})
    write_deltalake(table, rows, mode="overwrite", schema_mode="overwrite", partition_by=["key"])
    with pytest.raises(NightshiftError, match="made the table anew, partitioned by key"):
        tables.state(table)


def test_a_manifest_that_was_changed_is_not_put_back(table: str) -> None:
    """A new commit would name the digest of what it is now."""
    kept = Path(published_uri(table, DAY, "aa", "1"))
    kept.write_text(kept.read_text().replace('"run_id": "r"', '"run_id": "s"'))
    append(table)
    [plan] = tables.repair(table)
    assert (plan.action, plan.error) == ("none", "its manifest is not the one that was published")
    assert tables.state(table).damage(DAY)


def test_a_commit_that_puts_back_names_the_same_digest(table: str) -> None:
    append(table)
    tables.repair(table)
    found = compare(table)
    assert (found.findings, found.covered, found.before) == ([], 4, 0)
