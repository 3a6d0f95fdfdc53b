"""The ledger: an append-only, hash-chained Postgres table of what happened to models.

The truth of an entry is its canonical text, stored as text; Postgres generates the other columns from it, for
whoever reads with SQL. Triggers turn down every change, and every insert that does not continue the chain: what can
never be removed must not come in wrong. Each environment has a chain of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from nightshift import database
from nightshift.errors import LedgerCorrupt, PlatformError
from nightshift.lineage import sha256
from nightshift.registry.entry import KINDS, Entry, Kind, NewEntry, chained, content, read
from nightshift.settings import Settings

if TYPE_CHECKING:
    from psycopg import Connection, sql
    from psycopg.rows import TupleRow

__all__ = ["KINDS", "Entry", "Kind", "Ledger", "NewEntry", "create_ledger"]

_COLUMNS = ("seq", "env", "pipeline", "kind", "recorded_at", "effective_from", "as_of", "version", "once")

# The name that Postgres gave to the check of the column.
_KINDS_CHECK = "ledger_kind_check"

_TABLE = """
CREATE TABLE IF NOT EXISTS public.ledger (
    env            text   NOT NULL GENERATED ALWAYS AS (content::jsonb ->> 'env') STORED,
    seq            bigint NOT NULL GENERATED ALWAYS AS ((content::jsonb ->> 'seq')::bigint) STORED CHECK (seq > 0),
    pipeline       text   NOT NULL GENERATED ALWAYS AS (content::jsonb ->> 'pipeline') STORED,
    kind           text   NOT NULL GENERATED ALWAYS AS (content::jsonb ->> 'kind') STORED CHECK (kind IN ({kinds})),
    recorded_at    text   NOT NULL GENERATED ALWAYS AS (content::jsonb ->> 'recorded_at') STORED,
    effective_from text   GENERATED ALWAYS AS (content::jsonb ->> 'effective_from') STORED,
    as_of          text   GENERATED ALWAYS AS (content::jsonb ->> 'as_of') STORED,
    version        text   NOT NULL GENERATED ALWAYS AS (content::jsonb ->> 'version') STORED,
    once           text   GENERATED ALWAYS AS (content::jsonb ->> 'once') STORED,
    content        text   NOT NULL,
    hash           text   NOT NULL,
    PRIMARY KEY (env, seq),
    UNIQUE (env, pipeline, once)
);
COMMENT ON TABLE public.ledger IS
    'Append-only. content is canonical JSON, hash its SHA-256; verify with: nightshift ledger verify';
"""

# The functions name public.ledger and search pg_catalog alone: a temporary table must not stand in for the ledger.
_TRIGGERS = """
CREATE OR REPLACE FUNCTION public.ledger_never_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % is not allowed', TG_OP;
END $$;

CREATE OR REPLACE FUNCTION public.ledger_continues() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    recorded timestamptz := (NEW.recorded_at)::timestamptz;
    previous record;
BEGIN
    SELECT hash, recorded_at::timestamptz AS recorded INTO previous
        FROM public.ledger WHERE env = NEW.env AND seq = NEW.seq - 1;
    IF NOT FOUND AND NEW.seq > 1 THEN
        RAISE EXCEPTION 'ledger entry % has no entry before it', NEW.seq;
    ELSIF NEW.content::jsonb ->> 'previous_hash' IS DISTINCT FROM coalesce(previous.hash, '') THEN
        RAISE EXCEPTION 'ledger entry % does not name the hash of the entry before it', NEW.seq;
    ELSIF NEW.hash IS DISTINCT FROM encode(sha256(convert_to(NEW.content, 'UTF8')), 'hex') THEN
        RAISE EXCEPTION 'the hash of ledger entry % is not that of its content', NEW.seq;
    ELSIF recorded < greatest(transaction_timestamp(), previous.recorded)
        OR recorded > greatest(clock_timestamp(), previous.recorded) THEN
        RAISE EXCEPTION 'ledger entry % is not recorded at the time of its transaction', NEW.seq;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_never_changes();
CREATE OR REPLACE TRIGGER continues AFTER INSERT ON public.ledger
    FOR EACH ROW EXECUTE FUNCTION public.ledger_continues();
ALTER TABLE public.ledger ENABLE ALWAYS TRIGGER never_changes, ENABLE ALWAYS TRIGGER continues;
"""

_GRANTS = """
REVOKE ALL ON public.ledger FROM PUBLIC, {writer};
GRANT SELECT, INSERT ON public.ledger TO {writer};
"""


def create_ledger(owner_dsn: str, writer_role: str) -> None:
    """Creates the table, its triggers and the writer's two rights, where they are not there yet.

    ``owner_dsn`` belongs to the role that shall own the table; ``writer_role`` exists. Raises PlatformError.
    """
    from psycopg import sql

    kinds = sql.SQL(", ").join(sql.Literal(kind) for kind in KINDS)
    with database.connect_to(owner_dsn) as connection:
        connection.execute("SET LOCAL client_min_messages = warning")
        _lock(connection, "")  # concurrent CREATE OR REPLACE statements fail instead of waiting
        connection.execute(sql.SQL(_TABLE).format(kinds=kinds))
        _allow_kinds(connection, kinds)
        connection.execute(_TRIGGERS)
        connection.execute(sql.SQL(_GRANTS).format(writer=sql.Identifier(writer_role)))


def _allow_kinds(connection: "Connection[TupleRow]", kinds: "sql.Composed") -> None:
    """Lets a table that was made before a kind was known take it. Entries are not touched."""
    from psycopg import sql

    query = """SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = 'public.ledger'::regclass AND conname = %s"""
    row = connection.execute(query, (_KINDS_CHECK,)).fetchone()
    if row is not None and all(f"'{kind}'" in row[0] for kind in KINDS):
        return
    change = (
        "ALTER TABLE public.ledger DROP CONSTRAINT IF EXISTS {name}, ADD CONSTRAINT {name} CHECK (kind IN ({kinds}))"
    )
    connection.execute(sql.SQL(change).format(name=sql.Identifier(_KINDS_CHECK), kinds=kinds))


class Ledger:
    """The chain of one environment, read and continued through the writer role. Holds no connection open."""

    def __init__(self, dsn: str, env: str) -> None:
        self._dsn = dsn
        self.env = env

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The ledger that settings name."""
        return cls(settings.database, settings.env)

    def append(self, new: NewEntry) -> Entry:
        """Appends one entry and returns it; returns the first one where ``new.once`` is there already."""
        return self.append_seeing(new.pipeline, lambda _past, _now: new)

    def append_seeing(self, pipeline: str, compose: Callable[[list[Entry], datetime], NewEntry]) -> Entry:
        """Appends the entry that ``compose`` makes of the pipeline's entries so far and the moment of recording.

        No other entry comes in between: for what depends on the past or on its own moment. ``compose`` must be
        quick, since every other append of the environment waits. The moment is the database's, never before the
        entry ahead.
        """
        with self._open() as connection:
            _lock(connection, self.env)
            previous = self._last(connection)
            now = _clock(connection, previous)
            new = compose(self._read(connection, pipeline), now)
            found = self._read(connection, new.pipeline, once=new.once) if new.once is not None else []
            if found:
                return found[0]
            entry = chained(new, self.env, now, previous)
            connection.execute(
                "INSERT INTO public.ledger (content, hash) VALUES (%s, %s)", (content(entry), entry.hash)
            )
            return entry

    def entries(self, pipeline: str | None = None) -> list[Entry]:
        """The entries of one pipeline, or of all, in the order in which they were recorded."""
        with self._open() as connection:
            return self._read(connection, pipeline)

    def head(self) -> str:
        """The hash of the newest entry of all pipelines; empty where there is none. It stands for all before it."""
        with self._open() as connection:
            last = self._last(connection)
        return last.hash if last else ""

    def verify(self) -> int:
        """Walks the whole chain and returns its length. Raises LedgerCorrupt naming the first bad entry."""
        query = f"SELECT content, hash, {', '.join(_COLUMNS)} FROM public.ledger WHERE env = %s ORDER BY seq"  # noqa: S608
        previous: Entry | None = None
        with self._open() as connection:
            for text, hash_, *columns in connection.execute(query, (self.env,)):
                found = dict(zip(_COLUMNS, columns, strict=True))
                previous = self._verified(text, hash_, found, previous)
        return previous.seq if previous else 0

    @contextmanager
    def _open(self) -> "Iterator[Connection[TupleRow]]":
        import psycopg

        try:
            with database.connect_to(self._dsn) as connection:
                yield connection
        except psycopg.errors.UndefinedTable:
            raise PlatformError(
                "the Nightshift database has no ledger",
                do="create it with `nightshift up`, or elsewhere with nightshift.registry.ledger.create_ledger",
            ) from None
        except psycopg.OperationalError as error:
            raise PlatformError(
                f"the Nightshift database went away ({' '.join(str(error).split())})",
                do="try again when it is back: what was not committed is not there",
            ) from None

    def _verified(self, text: str, hash_: str, columns: dict[str, Any], previous: Entry | None) -> Entry:
        seq = previous.seq + 1 if previous else 1
        if columns["seq"] != seq:
            raise self._corrupt(seq, f"it is missing, entry {columns['seq']} stands in its place")
        if hash_ != sha256(text):
            raise self._corrupt(seq, "its hash is not that of its content: one of the two was changed")
        try:
            entry = read(text, hash_)
            document = entry.document()
        except LedgerCorrupt:
            raise self._corrupt(seq, "its content is not an entry") from None
        for name, value in columns.items():
            if value != document[name]:
                raise self._corrupt(seq, f"its column {name} differs from its content")
        if entry.previous_hash != (previous.hash if previous else ""):
            before = f"the hash of entry {seq - 1}" if previous else "empty"
            raise self._corrupt(seq, f"its previous hash is not {before}: one of the two entries was changed")
        if previous and entry.recorded_at < previous.recorded_at:
            raise self._corrupt(seq, f"it was recorded before entry {seq - 1}")
        return entry

    def _corrupt(self, seq: int, what: str) -> LedgerCorrupt:
        return LedgerCorrupt(
            f"entry {seq} is bad: {what}",
            where=f"ledger of environment {self.env}",
            do=f"believe the entries before {seq} alone, find out who owns or administers the database, "
            "and restore the table from a backup",
        )

    def _last(self, connection: "Connection[TupleRow]") -> Entry | None:
        query = "SELECT content, hash FROM public.ledger WHERE env = %s ORDER BY seq DESC LIMIT 1"
        row = connection.execute(query, (self.env,)).fetchone()
        return read(*row) if row else None

    def _read(
        self, connection: "Connection[TupleRow]", pipeline: str | None = None, once: str | None = None
    ) -> list[Entry]:
        query = """SELECT content, hash FROM public.ledger WHERE env = %(env)s
            AND (%(pipeline)s::text IS NULL OR pipeline = %(pipeline)s) AND (%(once)s::text IS NULL OR once = %(once)s)
            ORDER BY seq"""
        rows = connection.execute(query, {"env": self.env, "pipeline": pipeline, "once": once})
        return [read(text, hash_) for text, hash_ in rows]


def _lock(connection: "Connection[TupleRow]", env: str) -> None:
    """Waits for the turn to write; it ends with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (database.lock_key(env, "ledger"),))


def _clock(connection: "Connection[TupleRow]", previous: Entry | None) -> datetime:
    """The database's time, or that of the entry ahead where the clock was set back."""
    query = "SELECT greatest(clock_timestamp(), %s::timestamptz)"
    row = connection.execute(query, (previous.recorded_at if previous else None,)).fetchone()
    assert row is not None  # noqa: S101
    moment: datetime = row[0]
    return moment
