"""What nobody may do to a ledger, and how it is found out where somebody could."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import Any

import psycopg
import pytest

from nightshift.errors import LedgerCorrupt
from nightshift.registry.entry import Entry, Kind
from nightshift.registry.ledger import Ledger, create_ledger
from tests.postgres import PEOPLE, WRITER, Database
from tests.unit.registry.entries import execute, promotion, rows

# ---- what Postgres does not allow


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("UPDATE ledger SET content = content", "UPDATE"),
        ("UPDATE ledger SET hash = '' WHERE false", "UPDATE"),
        ("DELETE FROM ledger", "DELETE"),
        ("TRUNCATE ledger", "TRUNCATE"),
        ("INSERT INTO ledger SELECT FROM ledger ON CONFLICT (env, seq) DO UPDATE SET hash = ''", "UPDATE"),
    ],
)
@pytest.mark.parametrize("prelude", ["SELECT 1", "SET session_replication_role = replica"])
def test_nothing_changes_an_entry_not_even_the_owner(
    ledger: Ledger, database: Database, statement: str, word: str, prelude: str
) -> None:
    ledger.append(promotion())
    with pytest.raises(psycopg.errors.RaiseException, match=f"^the ledger is append-only: {word} is not allowed"):
        execute(database.owner_url, prelude, statement)
    assert ledger.verify() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET hash = ''",
        "DELETE FROM ledger",
        "TRUNCATE ledger",
        "ALTER TABLE ledger DISABLE TRIGGER ALL",
        "DROP TABLE ledger",
        "CREATE TRIGGER mine BEFORE INSERT ON ledger EXECUTE FUNCTION ledger_never_changes()",
        "CREATE OR REPLACE FUNCTION ledger_never_changes() RETURNS trigger LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE mine (a int)",
        "SET session_replication_role = replica",
    ],
)
def test_the_writer_may_only_insert_and_select(ledger: Ledger, database: Database, statement: str) -> None:
    ledger.append(promotion())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(database.writer_url, statement)
    assert ledger.verify() == 1


def test_who_appends_has_two_rights(ledger: Ledger, database: Database) -> None:
    query = "SELECT grantee, privilege_type FROM information_schema.role_table_grants WHERE table_name = 'ledger'"
    granted = [found for found in rows(database.owner_url, query) if found[0] != "postgres"]
    assert sorted(granted) == [(role, right) for role in (PEOPLE, WRITER) for right in ("INSERT", "SELECT")]


def insert_by_hand(url: str, previous: Entry, hash_: str = "", **changes: Any) -> None:
    """Continues the chain with a text of one's own, correct but for the changes."""
    document = {
        **{name: value for name, value in previous.document().items() if name != "hash"},
        "seq": previous.seq + 1,
        "once": None,
        "previous_hash": previous.hash,
    }
    with psycopg.connect(url) as connection:
        clock = connection.execute("SELECT clock_timestamp()").fetchone()
        assert clock is not None
        document["recorded_at"] = clock[0].astimezone(UTC).isoformat(timespec="microseconds")
        text = json.dumps({**document, **changes}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        hash_ = hash_ or hashlib.sha256(text.encode()).hexdigest()
        connection.execute("INSERT INTO ledger (content, hash) VALUES (%s, %s)", (text, hash_))


def test_an_insert_by_hand_that_continues_the_chain_is_an_entry(ledger: Ledger, database: Database) -> None:
    insert_by_hand(database.writer_url, ledger.append(promotion()))
    assert ledger.verify() == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hash_": "0" * 64}, "the hash of ledger entry 2 is not that of its content"),
        ({"previous_hash": "0" * 64}, "ledger entry 2 does not name the hash of the entry before it"),
        ({"previous_hash": None}, "ledger entry 2 does not name the hash of the entry before it"),
        ({"seq": 3}, "ledger entry 3 has no entry before it"),
        ({"env": "staging"}, "ledger entry 2 has no entry before it"),
        ({"recorded_at": "2024-01-01T00:00:00.000000+00:00"}, "ledger entry 2 is not recorded at the time of its"),
        ({"recorded_at": "2124-01-01T00:00:00.000000+00:00"}, "ledger entry 2 is not recorded at the time of its"),
    ],
)
def test_an_insert_that_breaks_the_chain_is_turned_down(
    ledger: Ledger, database: Database, changes: dict[str, Any], message: str
) -> None:
    first = ledger.append(promotion())
    with pytest.raises(psycopg.errors.RaiseException, match=f"^{message}"):
        insert_by_hand(database.writer_url, first, **changes)
    assert ledger.verify() == 1


@pytest.mark.parametrize("changes", [{"seq": 1}, {"seq": 0}, {"kind": "coup"}, {"pipeline": None}])
def test_an_insert_that_breaks_a_constraint_is_turned_down(
    ledger: Ledger, database: Database, changes: dict[str, Any]
) -> None:
    first = ledger.append(promotion())
    with pytest.raises(psycopg.errors.IntegrityError):
        insert_by_hand(database.writer_url, first, **changes)
    assert ledger.verify() == 1


def test_a_temporary_table_does_not_stand_in_for_the_ledger(ledger: Ledger, database: Database) -> None:
    ledger.append(promotion())
    with psycopg.connect(database.writer_url) as connection:
        connection.execute("CREATE TEMP TABLE ledger (env text, seq bigint, recorded_at text, hash text)")
        connection.execute("INSERT INTO pg_temp.ledger SELECT 'local', 8, now()::text, 'invented'")
        text = json.dumps({**ledger.entries()[0].document(), "seq": 9, "previous_hash": "invented"})
        insert = "INSERT INTO public.ledger (content, hash) VALUES (%s, %s)"
        with pytest.raises(psycopg.errors.RaiseException, match=r"^ledger entry 9 has no entry before it"):
            connection.execute(insert, (text, hashlib.sha256(text.encode()).hexdigest()))


def test_creating_it_again_keeps_the_entries_and_the_guards(ledger: Ledger, database: Database) -> None:
    ledger.append(promotion())
    execute(
        database.owner_url,
        f"GRANT ALL ON ledger TO {WRITER}",
        "DROP TRIGGER never_changes ON ledger",
        "ALTER TABLE ledger DISABLE TRIGGER continues",
    )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: create_ledger(database.owner_url, WRITER), range(4)))
    test_who_appends_has_two_rights(ledger, database)
    with pytest.raises(psycopg.errors.RaiseException):
        execute(database.owner_url, "DELETE FROM ledger")
    with pytest.raises(psycopg.errors.RaiseException):
        insert_by_hand(database.writer_url, ledger.entries()[0], previous_hash="")
    assert ledger.append(promotion()).seq == 2


@pytest.mark.parametrize("kind", ["waiver", "freeze", "unfreeze", "override"])
def test_a_ledger_from_before_a_kind_takes_it_and_keeps_its_entries(
    ledger: Ledger, database: Database, kind: Kind
) -> None:
    first = ledger.append(promotion())
    execute(
        database.owner_url,
        "ALTER TABLE ledger DROP CONSTRAINT ledger_kind_check",
        "ALTER TABLE ledger ADD CONSTRAINT ledger_kind_check CHECK (kind IN ('promotion', 'refusal'))",
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.append(promotion("2", kind=kind))
    create_ledger(database.owner_url, WRITER)
    assert ledger.append(promotion("2", kind=kind)).seq == 2
    assert ledger.entries()[0] == first
    assert ledger.verify() == 2
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.append(promotion("3", kind="coup"))


# ---- what was done to it by who can


class Tamperer:
    """A superuser who turns the triggers and the generated columns off."""

    def __init__(self, ledger: Ledger, url: str) -> None:
        self.url = url
        self.entries = [ledger.append(promotion(str(number))) for number in range(1, 6)]

    def __call__(self, *statements: str) -> None:
        execute(self.url, "ALTER TABLE ledger DISABLE TRIGGER ALL", *statements)

    def rewrite(self, seq: int, *, rehash: bool = False, **changes: Any) -> None:
        """Changes fields in an entry's text; ``rehash`` gives it the hash that goes with them."""
        document = {name: value for name, value in self.entries[seq - 1].document().items() if name != "hash"}
        text = json.dumps({**document, **changes}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        hash_ = hashlib.sha256(text.encode()).hexdigest() if rehash else self.entries[seq - 1].hash
        self("ALTER TABLE ledger ALTER seq DROP EXPRESSION IF EXISTS")
        with psycopg.connect(self.url) as connection:
            connection.execute("UPDATE ledger SET content = %s, hash = %s WHERE seq = %s", (text, hash_, seq))


@pytest.fixture
def tamperer(ledger: Ledger, database: Database) -> Tamperer:
    return Tamperer(ledger, database.owner_url)


def complaint(ledger: Ledger) -> str:
    with pytest.raises(LedgerCorrupt) as caught:
        ledger.verify()
    found = re.fullmatch(
        r"ledger of environment local: (entry \d+ is bad: .*)\. What to do: believe the entries before \d+ alone, "
        r"find out who owns or administers the database, and restore the table from a backup\.",
        str(caught.value),
    )
    assert found, str(caught.value)
    return found[1]


def test_a_changed_text_is_found(ledger: Ledger, tamperer: Tamperer) -> None:
    tamperer.rewrite(3, version="9")
    assert complaint(ledger) == "entry 3 is bad: its hash is not that of its content: one of the two was changed"


def test_a_changed_hash_is_found(ledger: Ledger, tamperer: Tamperer) -> None:
    tamperer("UPDATE ledger SET hash = repeat('0', 64) WHERE seq IN (2, 4)")
    assert complaint(ledger) == "entry 2 is bad: its hash is not that of its content: one of the two was changed"


def test_a_changed_text_with_its_hash_is_found_at_the_next_entry(ledger: Ledger, tamperer: Tamperer) -> None:
    tamperer.rewrite(3, rehash=True, version="9")
    assert complaint(ledger) == (
        "entry 4 is bad: its previous hash is not the hash of entry 3: one of the two entries was changed"
    )


def test_a_changed_first_entry_is_found(ledger: Ledger, tamperer: Tamperer) -> None:
    tamperer.rewrite(1, rehash=True, previous_hash="0" * 64)
    assert complaint(ledger) == ("entry 1 is bad: its previous hash is not empty: one of the two entries was changed")


@pytest.mark.parametrize("seq", [1, 3, 4])
def test_a_deleted_entry_is_found(ledger: Ledger, tamperer: Tamperer, seq: int) -> None:
    tamperer(f"DELETE FROM ledger WHERE seq = {seq}")  # noqa: S608
    assert complaint(ledger) == f"entry {seq} is bad: it is missing, entry {seq + 1} stands in its place"


def test_swapped_entries_are_found(ledger: Ledger, tamperer: Tamperer) -> None:
    tamperer(
        "ALTER TABLE ledger ALTER seq DROP EXPRESSION",
        "UPDATE ledger SET seq = 99 WHERE seq = 2",
        "UPDATE ledger SET seq = 2 WHERE seq = 3",
        "UPDATE ledger SET seq = 3 WHERE seq = 99",
    )
    assert complaint(ledger) == "entry 2 is bad: its column seq differs from its content"


def test_an_entry_that_stands_there_twice_is_found(ledger: Ledger, tamperer: Tamperer) -> None:
    tamperer(
        "ALTER TABLE ledger DROP CONSTRAINT ledger_pkey",
        "INSERT INTO ledger (content, hash) SELECT content, hash FROM ledger WHERE seq = 2",
    )
    assert complaint(ledger) == "entry 3 is bad: it is missing, entry 2 stands in its place"


@pytest.mark.parametrize(
    ("column", "value"), [("kind", "refusal"), ("version", "9"), ("effective_from", "2020-01-01"), ("once", "x")]
)
def test_a_column_that_differs_from_the_text_is_found(
    ledger: Ledger, tamperer: Tamperer, column: str, value: str
) -> None:
    tamperer(
        f"ALTER TABLE ledger ALTER {column} DROP EXPRESSION",
        f"UPDATE ledger SET {column} = '{value}' WHERE seq = 4",  # noqa: S608
    )
    assert complaint(ledger) == f"entry 4 is bad: its column {column} differs from its content"


@pytest.mark.parametrize(
    "changes", [{"extra": 1}, {"recorded_at": "yesterday"}, {"as_of": 5}, {"recorded_at": "2024-01-01T00:00:00+00:00"}]
)
def test_a_text_that_is_no_entry_is_found(ledger: Ledger, tamperer: Tamperer, changes: dict[str, Any]) -> None:
    tamperer.rewrite(5, rehash=True, **changes)
    assert complaint(ledger) == "entry 5 is bad: its content is not an entry"
    with pytest.raises(LedgerCorrupt) as caught:
        ledger.entries()
    assert str(caught.value) == (
        "the content of a ledger entry is not an entry. What to do: run `nightshift ledger verify`."
    )


def test_a_backdated_entry_is_found(ledger: Ledger, tamperer: Tamperer) -> None:
    tamperer.rewrite(5, rehash=True, recorded_at="2024-01-01T00:00:00.000000+00:00")
    assert complaint(ledger) == "entry 5 is bad: it was recorded before entry 4"
