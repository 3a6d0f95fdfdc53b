"""Backups of the platform's databases: one file of ``pg_dump`` for each, and what must be true once it is restored.

The lake, the models and the reports are files and not in it; nor is ``var/secrets``, which belongs elsewhere than what
it opens. Of it the key for removed rows alone is in a backup: it opens nothing, and cannot be made again.
"""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from nightshift import storage
from nightshift.errors import LedgerCorrupt, PlatformError
from nightshift.platform import local, postgres
from nightshift.platform.layout import of_this_machine
from nightshift.platform.postgres import SUPERUSER, Cluster, connect
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.registry.restored import known_before, record_restore
from nightshift.settings import REMOVAL_KEY, Settings

LEDGER = "nightshift"
DATABASES = (LEDGER, "mlflow", "airflow")
RESTORED = "_restored"
_MANIFEST = "backup.json"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Backup:
    """The description of a backup: the ledger's length and head are those of its own dump.

    ``removal_key``: it holds the environment's key for the fingerprints of removed rows.
    """

    made_at: str
    env: str
    databases: tuple[str, ...]
    entries: int
    head: str
    removal_key: bool = False


def back_up(
    cluster: Cluster, folder: Path, env: str, databases: Sequence[str], ledger: str, key: Path | None = None
) -> Backup:
    """Dump databases of a running server into a new folder; ``ledger`` is the one of the ledger, ``key`` a file.

    Raises PlatformError, or LedgerCorrupt: a broken chain is not carried on.
    """
    if folder.exists() and any(folder.iterdir()):
        raise PlatformError(f"{folder} is not empty", where="backup", do="name a folder that is not there yet")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Entries are only ever added: the dump, which comes later, holds at least these.
    chain = Ledger(cluster.url(SUPERUSER, ledger), env)
    chain.verify()
    entries = chain.entries()
    for name in databases:
        target = folder / f"{name}.dump"
        storage.create_bytes(str(target), b"")  # for the owner's eyes before there is anything to see
        _program("pg_dump", "--format=custom", f"--file={target}", cluster.url(SUPERUSER, name))
    made = datetime.now(UTC).isoformat(timespec="seconds")
    there = key is not None and key.is_file()
    if key is not None and there:
        storage.create_bytes(str(folder / REMOVAL_KEY), key.read_bytes())
    backup = Backup(made, env, tuple(databases), len(entries), entries[-1].hash if entries else "", there)
    storage.write_json(str(folder / _MANIFEST), asdict(backup))
    return backup


def read_backup(folder: Path) -> Backup:
    """The description of the backup in a folder. Raises PlatformError where there is none, or not all of it."""
    try:
        found = json.loads((folder / _MANIFEST).read_text())
        backup = Backup(**{**found, "databases": tuple(found["databases"])})
    except (OSError, ValueError, TypeError, KeyError):
        raise PlatformError(f"{folder} holds no whole backup", where="restore", do="name another folder") from None
    missing = [name for name in backup.databases if not (folder / f"{name}.dump").is_file()]
    missing += [REMOVAL_KEY] if backup.removal_key and not (folder / REMOVAL_KEY).is_file() else []
    if missing:
        raise PlatformError(f"the backup lacks {', '.join(missing)}", where=str(folder))
    return backup


def restore_beside(cluster: Cluster, folder: Path, ledger: str) -> Backup:
    """Restore every database of a backup beside the one in use, as ``<name>_restored``, and verify the ledger.

    Raises PlatformError, or LedgerCorrupt where the restored ledger is not the one that was backed up.
    """
    from psycopg import sql

    backup = read_backup(folder)
    drop_restored(cluster, backup.databases)
    with connect(cluster) as connection:
        for name in backup.databases:
            there = connection.execute(
                "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (name,)
            ).fetchone()
            owner = sql.Identifier(str(there[0]) if there else SUPERUSER)
            beside = sql.Identifier(name + RESTORED)
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(beside, owner))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(beside))
    for name in backup.databases:
        target = f"--dbname={cluster.url(SUPERUSER, name + RESTORED)}"
        _program("pg_restore", "--exit-on-error", "--single-transaction", target, str(folder / f"{name}.dump"))
    _verify(cluster, backup, ledger)
    return backup


def drop_restored(cluster: Cluster, databases: Sequence[str]) -> None:
    """Remove what ``restore_beside`` made."""
    from psycopg import sql

    with connect(cluster) as connection:
        for name in databases:
            beside = sql.Identifier(name + RESTORED)
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(beside))


def swap(cluster: Cluster, databases: Sequence[str], suffix: str) -> None:
    """Put the restored databases in the place of those in use, which keep their data as ``<name><suffix>``."""
    from psycopg import sql

    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)"
    with connect(cluster) as connection:
        connection.execute(query, ([found for name in databases for found in (name, name + RESTORED)],))
        # All of them or none: a restored ledger beside MLflow and Airflow as they were would contradict them.
        with connection.transaction():
            for name in databases:
                for old, new in ((name, name + suffix), (name + RESTORED, name)):
                    names = sql.Identifier(old), sql.Identifier(new)
                    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


def restore(
    settings: Settings, folder: Path, report: Report, *, actor: str, drill: bool = False
) -> tuple[Backup, str, Entry | None]:
    """Restore a backup into the running platform; returns it and the suffix under which the old databases stay.

    A ``drill`` restores beside, verifies, and removes it again. Otherwise an entry of the restored ledger says that
    ``actor`` did it, and what it left out; it is returned. Raises PlatformError or LedgerCorrupt, before anything in
    use was touched.
    """
    layout = of_this_machine(settings)
    report("restoring beside what is in use")
    backup = restore_beside(layout.cluster, folder, LEDGER)
    report(f"the restored ledger is whole: {backup.entries} entries or more")
    report(key_line(folder, settings.removal_key_file))
    if drill:
        drop_restored(layout.cluster, backup.databases)
        return backup, "", None
    before = known_before(settings, report)
    suffix = f"_before_{datetime.now(UTC):%Y%m%d%H%M%S}"
    report(f"stopping Airflow and MLflow; what is in use will be kept as {LEDGER}{suffix} and so on")
    put_key_back(folder, settings.removal_key_file, suffix)
    try:
        local.stop_all_but_postgres(settings)
        swap(layout.cluster, backup.databases, suffix)
    finally:
        local.up(settings, report)
    reason = f"backup of {backup.made_at} in {folder.name}; before kept as {LEDGER}{suffix}"
    return backup, suffix, record_restore(settings, before, actor, reason)


def key_line(folder: Path, in_use: Path) -> str:
    """A line on what becomes of the key for removed rows when a backup is restored, and what follows."""
    kept, there = folder / REMOVAL_KEY, in_use.is_file()
    if kept.is_file():
        same = there and kept.read_bytes().strip() == in_use.read_bytes().strip()
        return f"the key for removed rows is {'the one in use' if same else 'put back; one in use is kept beside it'}"
    if there:
        return "the backup has no key for removed rows; the one in use stays"
    return (
        "there is no key for removed rows, and a new one will be made: days that are published again get other "
        "fingerprints, and what reads them is built again"
    )


def put_key_back(folder: Path, in_use: Path, suffix: str) -> None:
    """Puts the backup's key in the place of another one, which stays as ``<name><suffix>``."""
    kept = folder / REMOVAL_KEY
    if not kept.is_file():
        return
    if in_use.is_file():
        if kept.read_bytes().strip() == in_use.read_bytes().strip():
            return
        in_use.replace(in_use.with_name(in_use.name + suffix))
    in_use.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    storage.create_bytes(str(in_use), kept.read_bytes())


def _verify(cluster: Cluster, backup: Backup, ledger: str) -> None:
    chain = Ledger(cluster.url(SUPERUSER, ledger + RESTORED), backup.env)
    entries = chain.entries()
    whole = chain.verify() >= backup.entries
    if not whole or (backup.entries and entries[backup.entries - 1].hash != backup.head):
        raise LedgerCorrupt(
            f"the restored ledger does not go on from entry {backup.entries} of the backup",
            where=f"ledger of environment {backup.env}",
            do="take an older backup; what is in use was not touched",
        )


def _program(name: str, *arguments: str) -> None:
    # The login is the operator's own (peer): no password is in these arguments.
    argv = [str(postgres.program(name)), "--no-password", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error:" in line), "it says nothing")
        # What Postgres adds after its first line may quote a row.
        raise PlatformError(
            f"{name} failed: {said[:300]}", where="postgres", do="is the platform up? `nightshift status`"
        )
