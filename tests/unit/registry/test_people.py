"""Entries of people: who may append them, which role may not, and how it is found out that somebody changed that."""

import importlib.util
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from nightshift.errors import PlatformError
from nightshift.registry.entry import KINDS, PEOPLES, Kind, NewEntry, chained, content
from nightshift.registry.ledger import Ledger, create_ledger
from tests.postgres import PEOPLE, WRITER, Database
from tests.unit.registry.entries import execute

OTHERS = tuple(kind for kind in KINDS if kind not in PEOPLES)
# What a data scientist's module would do: the login is the one that its process finds.
FEATURE_MODULE = """
from nightshift.registry.ledger import Ledger, NewEntry

def build(url, kind):
    return Ledger(url, "local").append(NewEntry("parcels", kind, "ada", "because I can", details={"follows": None}))
"""


def new(kind: Kind) -> NewEntry:
    return NewEntry("parcels", kind, "ann", "why")


@pytest.fixture
def people(ledger: Ledger, database: Database) -> Ledger:
    """The same ledger, by the role of people."""
    assert ledger.entries() == []
    return Ledger(database.people_url, "local")


@pytest.mark.parametrize("kind", PEOPLES)
def test_a_feature_module_gives_no_order_of_a_person(
    people: Ledger, database: Database, tmp_path: Path, kind: Kind
) -> None:
    path = tmp_path / "feature_module.py"
    path.write_text(FEATURE_MODULE)
    spec = importlib.util.spec_from_file_location("feature_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(PlatformError, match=f"entry of kind {kind} is of people: the role of tasks may not"):
        module.build(database.writer_url, kind)
    assert people.entries() == []
    assert people.append(new(kind)).seq == 1


@pytest.mark.parametrize("kind", OTHERS)
def test_the_role_of_people_takes_no_decision_of_the_rule(people: Ledger, ledger: Ledger, kind: Kind) -> None:
    with pytest.raises(PlatformError, match=f"entry of kind {kind} is not of people: their role may not"):
        people.append(new(kind))
    assert ledger.append(new(kind)).seq == 1


@pytest.mark.parametrize(
    "prelude",
    [
        f"SET ROLE {PEOPLE}",
        f"SET SESSION AUTHORIZATION {PEOPLE}",
        "SET session_replication_role = replica",
        "ALTER TABLE ledger DISABLE TRIGGER of_people",
        "CREATE OR REPLACE FUNCTION public.ledger_of_people() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
        f"GRANT {PEOPLE} TO {WRITER}",
    ],
)
def test_tasks_do_not_become_people(ledger: Ledger, database: Database, prelude: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(database.writer_url, prelude)
    assert ledger.flaws() == []


def test_a_member_of_the_role_of_people_is_known_by_its_login(ledger: Ledger, database: Database) -> None:
    """Whoever administers the database made a mistake; what logged in counts."""
    text = chained(new("freeze"), "local", datetime.now(UTC), None)
    statement = f"INSERT INTO public.ledger (content, hash) VALUES ('{content(text)}', '{text.hash}')"  # noqa: S608
    execute(database.owner_url, f"GRANT {PEOPLE} TO {WRITER}", "ALTER TABLE ledger DISABLE TRIGGER continues")
    try:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="the role of tasks may not append it"):
            execute(database.writer_url, f"SET ROLE {PEOPLE}", statement)
    finally:
        execute(database.owner_url, f"REVOKE {PEOPLE} FROM {WRITER}")
    assert ledger.entries() == []


def test_a_ledger_from_before_the_role_gets_it_and_keeps_its_entries(ledger: Ledger, database: Database) -> None:
    first = ledger.append(new("promotion"))
    execute(
        database.owner_url,
        "DROP TRIGGER of_people ON ledger",
        "DROP FUNCTION ledger_of_people",
        f"REVOKE ALL ON ledger FROM {PEOPLE}",
    )
    people, earlier = Ledger(database.people_url, "local"), Ledger(database.writer_url, "local")
    assert earlier.append(new("freeze")).seq == 2, "as an earlier version took it"
    with pytest.raises(PlatformError, match="permission denied for table ledger"):
        people.append(new("unfreeze"))
    assert "trigger of_people is missing: the table takes what it must turn down" in {
        finding.what for finding in ledger.flaws()
    }
    for _ in range(2):
        create_ledger(database.owner_url, WRITER)
    assert ledger.flaws() == []
    with pytest.raises(PlatformError, match="the role of tasks may not append it"):
        earlier.append(new("unfreeze"))
    assert people.append(new("unfreeze")).seq == 3
    assert ledger.entries()[0] == first
    assert ledger.verify() == 3


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (("ALTER TABLE ledger DISABLE TRIGGER of_people",), "trigger of_people is switched off"),
        ((f"GRANT UPDATE ON ledger TO {WRITER}",), f"role {WRITER} has the right UPDATE"),
        (("GRANT INSERT ON ledger TO PUBLIC",), f"may append (PUBLIC, {PEOPLE}, {WRITER}) are not the two"),
        ((f"GRANT UPDATE (content) ON ledger TO {WRITER}",), f"role {WRITER} has the right UPDATE"),
        (
            ("GRANT INSERT (content, hash) ON ledger TO PUBLIC",),
            f"may append (PUBLIC, {PEOPLE}, {WRITER}) are not the two",
        ),
        (
            (
                "CREATE OR REPLACE TRIGGER of_people AFTER INSERT ON ledger FOR EACH ROW "
                f"EXECUTE FUNCTION ledger_of_people('nobody', '{PEOPLE}')",
                "ALTER TABLE ledger ENABLE ALWAYS TRIGGER of_people",
            ),
            "are not the two that are kept apart",
        ),
        (
            (
                "CREATE OR REPLACE FUNCTION public.ledger_of_people() RETURNS trigger LANGUAGE plpgsql "
                "SET search_path = pg_catalog AS 'BEGIN RETURN NULL; END'",
            ),
            "the function of trigger of_people was replaced",
        ),
    ],
)
def test_what_was_done_to_the_guard_is_found(
    ledger: Ledger, database: Database, statements: tuple[str, ...], what: str
) -> None:
    execute(database.owner_url, *statements)
    found = [finding.what for finding in ledger.flaws()]
    assert any(what in line for line in found), found
    create_ledger(database.owner_url, WRITER)


def test_one_role_for_tasks_and_people_is_refused(database: Database) -> None:
    with pytest.raises(PlatformError, match="tasks and people have one database role, nightshift_writer"):
        create_ledger(database.owner_url, WRITER, people_role=WRITER)
