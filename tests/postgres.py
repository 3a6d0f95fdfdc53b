"""Fixtures of a real Postgres: one server for the session, a fresh database for each test that asks."""

import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nightshift.platform.postgres import Cluster
    from nightshift.registry.ledger import Ledger
    from nightshift.settings import Settings

WRITER = "nightshift_writer"
WRITER_PASSWORD = "writes nothing but tests"
PEOPLE = "nightshift_people"
PEOPLE_PASSWORD = "orders nothing but tests"


@dataclass(frozen=True)
class Database:
    """URLs of one database: of its owner (a superuser), and of the two roles that may only append to the ledger."""

    owner_url: str
    writer_url: str
    people_url: str


@pytest.fixture(scope="session")
def postgres() -> Iterator["Cluster"]:
    """A running server with the roles ``nightshift_writer`` and ``nightshift_people``."""
    from nightshift.platform.postgres import Cluster, Role, ensure_roles, initialise, wait_until_ready

    folder = Path(tempfile.mkdtemp(prefix="nspg-"))
    cluster = Cluster(data=folder / "data", sockets=folder / "run")
    server = None
    try:
        initialise(cluster)
        argv = cluster.argv(fsync="off", synchronous_commit="off", full_page_writes="off", max_connections="200")
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(argv, stdout=log, stderr=log, cwd="/", **cluster.as_account)
        wait_until_ready(cluster)
        ensure_roles(cluster, (Role(WRITER, WRITER_PASSWORD), Role(PEOPLE, PEOPLE_PASSWORD)))
        yield cluster
    finally:
        if server:
            stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def admit_people(settings: "Settings", database: Database) -> None:
    """Gives settings the login of the role that records what people decide."""
    settings.people_login.parent.mkdir(parents=True, exist_ok=True)
    settings.people_login.write_text(database.people_url)


def ledger_of(database: Database, env: str = "local", place: str = "") -> "Ledger":
    """A ledger that appends each entry by the role that may: tasks' or people's."""
    from nightshift.registry.entry import PEOPLES, Entry, NewEntry
    from nightshift.registry.ledger import Ledger

    class OfBoth(Ledger):
        people = Ledger(database.people_url, env, place)

        def append(self, new: NewEntry) -> Entry:
            return self.people.append(new) if new.kind in PEOPLES else super().append(new)

    return OfBoth(database.writer_url, env, place)


def of_people(ledger: "Ledger") -> "Ledger":
    """The same ledger, which ``ledger_of`` made, with the role of people alone."""
    people: Ledger = ledger.people  # type: ignore[attr-defined]
    return people


def end_locks(database: Database) -> None:
    """Ends the sessions that hold advisory locks, as a broken connection does."""
    from nightshift.database import connect_to

    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
    with connect_to(database.owner_url) as connection:
        connection.execute(query)


def stop(server: "subprocess.Popen[bytes]") -> None:
    """Ends a server in fast mode."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@pytest.fixture
def database(postgres: "Cluster") -> Iterator[Database]:
    """A database of the test's own."""
    from psycopg import sql

    from nightshift.platform.postgres import SUPERUSER, connect

    name = f"test_{uuid.uuid4().hex[:12]}"
    with connect(postgres) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    passwords = {SUPERUSER: "", WRITER: WRITER_PASSWORD, PEOPLE: PEOPLE_PASSWORD}
    yield Database(*(postgres.url(role, name, password) for role, password in passwords.items()))
    with connect(postgres) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(database: Database) -> str:
    """The libpq URL of the owner of a database of the test's own."""
    return database.owner_url
