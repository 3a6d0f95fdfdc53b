"""The ledger's Postgres table, and what it turns down.

The truth of an entry is its canonical text, stored as text; Postgres generates the other columns from it, for
whoever reads with SQL. Triggers turn down every change, every insert that does not continue the chain, and an entry of
a person from the tasks' role: what can never be removed must not come in wrong.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

from nightshift import database
from nightshift.errors import PlatformError
from nightshift.registry.entry import KINDS, PEOPLES

if TYPE_CHECKING:
    from psycopg import Connection, sql
    from psycopg.rows import TupleRow

# The role that appends what people decide, where no other is named.
PEOPLE = "nightshift_people"

# An entry takes milliseconds.
_WAIT = timedelta(minutes=2)

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
# The session's login counts, which no SET ROLE changes.
TRIGGERS = """
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

CREATE OR REPLACE FUNCTION public.ledger_of_people() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NEW.kind = ANY (ARRAY[{peoples}]) THEN
        IF session_user = TG_ARGV[0] THEN
            RAISE EXCEPTION 'a ledger entry of kind % is of people: the role of tasks may not append it', NEW.kind
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    ELSIF session_user = TG_ARGV[1] THEN
        RAISE EXCEPTION 'a ledger entry of kind % is not of people: their role may not append it', NEW.kind
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER never_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON public.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_never_changes();
CREATE OR REPLACE TRIGGER continues AFTER INSERT ON public.ledger
    FOR EACH ROW EXECUTE FUNCTION public.ledger_continues();
CREATE OR REPLACE TRIGGER of_people AFTER INSERT ON public.ledger
    FOR EACH ROW EXECUTE FUNCTION public.ledger_of_people({roles});
ALTER TABLE public.ledger ENABLE ALWAYS TRIGGER never_changes, ENABLE ALWAYS TRIGGER continues,
    ENABLE ALWAYS TRIGGER of_people;
""".replace("{peoples}", ", ".join(f"'{kind}'" for kind in PEOPLES))

_GRANTS = """
REVOKE ALL ON public.ledger FROM PUBLIC, {writer}, {people};
GRANT SELECT, INSERT ON public.ledger TO {writer}, {people};
"""


def create_ledger(owner_dsn: str, writer_role: str, owner_role: str = "", people_role: str = PEOPLE) -> None:
    """Create the table, its triggers and the two rights of those who append, where they are not there yet.

    ``owner_dsn`` belongs to the role that shall own the table, or to one that may become ``owner_role``, which then
    owns it and needs no login. ``writer_role``, of tasks, and ``people_role`` exist. Raises PlatformError, too where
    the two are one.
    """
    from psycopg import sql

    if writer_role == people_role:
        raise PlatformError(
            f"tasks and people have one database role, {writer_role}: a task could give a person's orders",
            where="ledger",
            do=f"make a role such as {PEOPLE}, and name it in NIGHTSHIFT_PEOPLE_FILE",
        )
    names = {"writer": sql.Identifier(writer_role), "people": sql.Identifier(people_role)}
    kinds = sql.SQL(", ").join(sql.Literal(kind) for kind in KINDS)
    with database.connect_to(owner_dsn) as connection:
        connection.execute("SET LOCAL client_min_messages = warning")
        if owner_role:
            connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(owner_role)))
        lock_ledger(connection, "")  # concurrent CREATE OR REPLACE statements fail instead of waiting
        connection.execute(sql.SQL(_TABLE).format(kinds=kinds))
        _allow_kinds(connection, kinds)
        roles = sql.SQL(", ").join(sql.Literal(role) for role in (writer_role, people_role))
        connection.execute(sql.SQL(TRIGGERS.replace("{roles}", "{}")).format(roles))
        connection.execute(sql.SQL(_GRANTS).format(**names))


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


def lock_ledger(connection: "Connection[TupleRow]", env: str) -> None:
    """Waits for the turn to write; it ends with the transaction. Raises PlatformError naming who has it for long."""
    key = database.lock_key(env, "ledger")
    database.take(connection, "SELECT pg_advisory_xact_lock(%s)", key, "ledger", _WAIT)
