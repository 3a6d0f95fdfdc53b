"""The embedded server by itself."""

import os
import pwd
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from nightshift.errors import PlatformError
from nightshift.platform import postgres as subject
from nightshift.platform.postgres import Cluster, Role
from nightshift.registry.ledger import Ledger, NewEntry, create_ledger
from tests.needs import needs
from tests.postgres import PEOPLE, PEOPLE_PASSWORD, WRITER, WRITER_PASSWORD, Database


def test_a_fresh_database_is_the_tests_own(database: Database) -> None:
    with psycopg.connect(database.owner_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def test_a_role_needs_its_password(postgres: Cluster, database: Database) -> None:
    with psycopg.connect(database.writer_url) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("nightshift_writer",)
    wrong = database.writer_url.replace("writes", "writer")
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "nightshift_writer"'):
        psycopg.connect(wrong)


def test_roles_and_databases_are_made_once_and_passwords_follow(postgres: Cluster) -> None:
    role = Role("baker", "first one", owns=("bakery",))
    subject.ensure_roles(postgres, (role,))
    subject.ensure_roles(postgres, (replace(role, password="sec/ond: öne"),))
    with psycopg.connect(postgres.url("baker", "bakery", "sec/ond: öne")) as connection:
        connection.execute("CREATE TABLE bread (name text)")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url("baker", "bakery", "first one"))


def test_a_ledger_whose_owner_once_had_a_password_takes_new_kinds_and_loses_it(postgres: Cluster) -> None:
    """An upgrade: afterwards no secret of the platform reaches who may change the table."""
    before = Role("archivist", "known to tasks", owns=("archivist",))
    enters = (
        Role(WRITER, WRITER_PASSWORD, enters=("archivist",)),
        Role(PEOPLE, PEOPLE_PASSWORD, enters=("archivist",)),
    )
    subject.ensure_roles(postgres, (before, *enters))
    url = postgres.url("archivist", "archivist", before.password)
    create_ledger(url, WRITER)
    with psycopg.connect(url) as connection:
        connection.execute(
            "ALTER TABLE ledger DROP CONSTRAINT ledger_kind_check, "
            "ADD CONSTRAINT ledger_kind_check CHECK (kind = 'promotion')"
        )
    for _ in range(2):
        subject.ensure_roles(postgres, (replace(before, password=""), *enters))
        subject.make_ledger(postgres, "archivist", WRITER, PEOPLE)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url)
    ledger = Ledger(postgres.url(PEOPLE, "archivist", PEOPLE_PASSWORD), "local")
    ledger.append(NewEntry("bread", "freeze", "ann (uid 1000)", "the audit"))
    assert [entry.kind for entry in ledger.entries()] == ["freeze"]
    with psycopg.connect(postgres.url(WRITER, "archivist", WRITER_PASSWORD)) as connection:
        owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'ledger'").fetchone()
        assert owner == ("archivist",)
        for forbidden in ("SET ROLE archivist", "ALTER TABLE ledger DISABLE TRIGGER ALL", "DELETE FROM ledger"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)
            connection.rollback()


def test_no_other_role_enters_a_database(postgres: Cluster) -> None:
    subject.ensure_roles(postgres, (Role("cook", "c", owns=("kitchen",)), Role("guest", "g")))
    with pytest.raises(psycopg.OperationalError, match="User does not have CONNECT privilege"):
        psycopg.connect(postgres.url("guest", "kitchen", "g"))


def test_the_server_listens_on_its_socket_alone(postgres: Cluster) -> None:
    pid = int((postgres.data / "postmaster.pid").read_text().splitlines()[0])
    assert psutil.Process(pid).net_connections(kind="inet") == []
    assert (postgres.sockets / subject.SOCKET).is_socket()


def test_nobody_else_reads_the_data(postgres: Cluster) -> None:
    assert postgres.data.stat().st_mode & 0o077 == 0


def test_initialise_leaves_an_existing_cluster_alone(postgres: Cluster) -> None:
    assert subject.initialise(postgres) is False


@pytest.mark.process
@needs(os.geteuid() == 0, "not root", "root's Postgres, which runs as another user, closes its folders")
def test_root_opens_the_way_but_not_the_folders(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    subject.initialise(Cluster(private / "data", private / "run"))
    assert private.stat().st_mode & 0o777 == 0o701


@pytest.mark.process
@needs(os.geteuid() == 0, "not root", "root's Postgres, which runs as another user, is let through closed folders")
def test_what_lies_above_is_opened_to_the_servers_account_alone(tmp_path: Path) -> None:
    above = tmp_path / "home"
    above.mkdir(mode=0o700)
    (above / "checkout").mkdir(mode=0o755)
    cluster = Cluster(above / "checkout" / "var" / "data", above / "checkout" / "var" / "run")
    subject.initialise(cluster)
    found = above.stat()
    assert (found.st_mode & 0o777, found.st_gid) == (0o710, pwd.getpwnam(subject.ACCOUNT_FOR_ROOT).pw_gid)
    assert (above / "checkout").stat().st_mode & 0o777 == 0o755


@pytest.mark.process
@needs(os.geteuid() == 0, "not root", "root's Postgres, which runs as another user, opens no folder of other groups")
def test_a_folder_above_in_which_another_group_has_rights_is_left_as_it_is(tmp_path: Path) -> None:
    above = tmp_path / "home"
    above.mkdir()
    above.chmod(0o750)
    with pytest.raises(PlatformError, match=f"cannot pass {above}: that stays closed to others") as caught:
        subject.initialise(Cluster(above / "checkout" / "var" / "data", above / "checkout" / "var" / "run"))
    assert "run Nightshift as an ordinary user; or move the checkout" in str(caught.value)
    assert (above.stat().st_mode & 0o777, above.stat().st_gid) == (0o750, os.getegid())


@pytest.mark.process
def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(subject.PlatformError, match=r"^postgres: Postgres does not answer after 0 s: "):
        subject.wait_until_ready(Cluster(tmp_path / "data", tmp_path / "run"), seconds=0)
