"""The drill: a backup restored beside what is in use has the same ledger, the same champion and the same guards."""

import json
from datetime import date
from pathlib import Path

import psycopg
import pytest

from nightshift.errors import LedgerCorrupt, PlatformError
from nightshift.platform.backup import (
    RESTORED,
    back_up,
    drop_restored,
    key_line,
    put_key_back,
    read_backup,
    restore_beside,
    swap,
)
from nightshift.platform.postgres import SUPERUSER, Cluster, connect
from nightshift.registry.champions import Champion, champion_as_of, retirement_of
from nightshift.registry.entry import KINDS, NewEntry
from nightshift.registry.interventions import freeze_in_force
from nightshift.registry.ledger import Ledger, create_ledger
from tests.postgres import WRITER, Database

DS = date(2024, 3, 4)


def promote(ledger: Ledger, version: str) -> None:
    ledger.append(NewEntry("parcels", "promotion", "tests", "better", DS, DS, version, version * 64))


@pytest.fixture
def name(database: Database) -> str:
    """A database whose ledger has two entries."""
    create_ledger(database.owner_url, WRITER)
    ledger = Ledger(database.writer_url, "local")
    promote(ledger, "1")
    promote(ledger, "2")
    return database.owner_url.partition("@/")[2].partition("?")[0]


def champion(cluster: Cluster, name: str) -> object:
    return champion_as_of(Ledger(cluster.url(SUPERUSER, name), "local").entries("parcels"), DS)


def test_a_restored_ledger_verifies_has_the_same_champion_and_is_still_append_only(
    postgres: Cluster, name: str, tmp_path: Path
) -> None:
    made = back_up(postgres, tmp_path / "backup", "local", [name], name)
    assert (made.entries, read_backup(tmp_path / "backup")) == (2, made)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "backup").iterdir()} == {0}

    restore_beside(postgres, tmp_path / "backup", name)
    beside = Ledger(postgres.url(SUPERUSER, name + RESTORED), "local")
    assert beside.verify() == 2
    assert beside.head() == made.head
    assert champion(postgres, name + RESTORED) == champion(postgres, name)
    with connect(postgres, name + RESTORED) as connection, pytest.raises(psycopg.errors.RaiseException):
        connection.execute("DELETE FROM public.ledger")
    promote(beside, "3")
    assert beside.verify() == 3
    drop_restored(postgres, [name])


def test_a_swap_keeps_what_was_in_use_under_another_name(postgres: Cluster, name: str, tmp_path: Path) -> None:
    back_up(postgres, tmp_path / "backup", "local", [name], name)
    promote(Ledger(postgres.url(SUPERUSER, name), "local"), "3")
    restore_beside(postgres, tmp_path / "backup", name)
    swap(postgres, [name], "_before")
    assert Ledger(postgres.url(SUPERUSER, name), "local").verify() == 2
    assert Ledger(postgres.url(SUPERUSER, f"{name}_before"), "local").verify() == 3
    with connect(postgres) as connection:
        connection.execute(f'DROP DATABASE "{name}_before"')


def test_a_backup_that_is_not_the_ledger_it_says_is_refused(postgres: Cluster, name: str, tmp_path: Path) -> None:
    back_up(postgres, tmp_path / "backup", "local", [name], name)
    manifest = tmp_path / "backup" / "backup.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "head": "0" * 64}))
    with pytest.raises(LedgerCorrupt, match="the restored ledger does not go on from entry 2 of the backup"):
        restore_beside(postgres, tmp_path / "backup", name)
    drop_restored(postgres, [name])


def test_folders_that_will_not_do(postgres: Cluster, name: str, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="holds no whole backup"):
        read_backup(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(PlatformError, match="is not empty"):
        back_up(postgres, tmp_path, "local", [name], name)
    back_up(postgres, tmp_path / "backup", "local", [name], name)
    (tmp_path / "backup" / f"{name}.dump").unlink()
    with pytest.raises(PlatformError, match=f"the backup lacks {name}"):
        restore_beside(postgres, tmp_path / "backup", name)


def test_the_key_for_removed_rows_comes_back_with_the_databases(postgres: Cluster, name: str, tmp_path: Path) -> None:
    key = tmp_path / "removed-rows"
    key.write_text("of the environment")
    made = back_up(postgres, tmp_path / "backup", "local", [name], name, key)
    assert made.removal_key
    assert read_backup(tmp_path / "backup") == made
    assert (tmp_path / "backup" / "removed-rows").stat().st_mode & 0o077 == 0
    (tmp_path / "backup" / "removed-rows").unlink()
    with pytest.raises(PlatformError, match="the backup lacks removed-rows"):
        read_backup(tmp_path / "backup")


def test_orders_of_people_come_back_with_the_ledger(postgres: Cluster, name: str, tmp_path: Path) -> None:
    """Entries of every kind, and what follows of them: champion, freeze, who is retired."""
    ledger = Ledger(postgres.url(SUPERUSER, name), "local")
    follows = {"version": "1", "sha256": "1" * 64, "as_of": DS.isoformat()}
    ledger.append(NewEntry("parcels", "retirement", "ann", "bad", DS, DS, "2", "2" * 64, {"follows": follows}))
    for kind in KINDS:
        if kind not in ("promotion", "retirement", "unfreeze"):
            version = "1" if kind in ("rollback", "override", "approval") else ""
            day = DS if version else None
            ledger.append(NewEntry("parcels", kind, "ann", "why", None, day, version, version * 64))
    made = back_up(postgres, tmp_path / "backup", "local", [name], name)
    restore_beside(postgres, tmp_path / "backup", name)
    beside = Ledger(postgres.url(SUPERUSER, name + RESTORED), "local")
    assert beside.verify() == made.entries == len(KINDS)
    assert beside.entries() == ledger.entries()
    assert {entry.kind for entry in beside.entries()} == {*KINDS} - {"unfreeze"}
    scores = champion(postgres, name + RESTORED)
    assert isinstance(scores, Champion)
    assert (scores.version, scores) == ("1", champion(postgres, name))
    frozen = freeze_in_force(beside.entries("parcels"))
    assert frozen is not None
    assert frozen == freeze_in_force(ledger.entries("parcels"))
    retired = retirement_of(beside.entries("parcels"), "2" * 64)
    assert retired is not None
    assert retired.details == {"follows": follows}
    assert beside.append(NewEntry("parcels", "unfreeze", "ann", "over")).seq == len(KINDS) + 1
    drop_restored(postgres, [name])


@pytest.mark.parametrize(
    ("kept", "in_use", "line", "after"),
    [
        ("a", "a\n", "the key for removed rows is the one in use", {"key": "a\n"}),
        ("a", None, "is put back; one in use is kept beside it", {"key": "a"}),
        ("a", "b", "is put back; one in use is kept beside it", {"key": "a", "key_before": "b"}),
        (None, "b", "the backup has no key for removed rows; the one in use stays", {"key": "b"}),
        (None, None, "days that are published again get other fingerprints, and what reads them is built again", {}),
    ],
)
def test_what_becomes_of_the_key_is_said_and_done(
    tmp_path: Path, kept: str | None, in_use: str | None, line: str, after: dict[str, str]
) -> None:
    folder, secrets = tmp_path / "backup", tmp_path / "secrets"
    folder.mkdir()
    secrets.mkdir()
    if kept is not None:
        (folder / "removed-rows").write_text(kept)
    if in_use is not None:
        (secrets / "key").write_text(in_use)
    assert line in key_line(folder, secrets / "key")
    put_key_back(folder, secrets / "key", "_before")
    assert {path.name: path.read_text() for path in secrets.iterdir()} == after
