"""The Nightshift database (Postgres): connections, and locks that processes on any machine share."""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nightshift.errors import PlatformError
from nightshift.settings import Settings

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

log = logging.getLogger("nightshift")

_CONNECT_SECONDS = "10"
# Of a password with an unescaped @, : or /, libpq takes a part for the host, the port or the database.
_MISREAD = re.compile(r"[@:]")
_PORT = re.compile(r"[0-9]*")


def connect(settings: Settings) -> "Connection[TupleRow]":
    """A new connection of the writer role; see ``connect_to``."""
    return connect_to(settings.database)


def connect_to(dsn: str) -> "Connection[TupleRow]":
    """A new psycopg connection, for one ``with`` block: it commits (or rolls back) and closes.

    Raises PlatformError where the server cannot be reached or turns the login down. The message has no password.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        found = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:  # its text quotes the URL, with the password
        raise _no_url() from None
    if _MISREAD.search(f"{found.get('host', '')} {found.get('dbname', '')}") or not _PORT.fullmatch(
        str(found.get("port", ""))
    ):
        raise _no_url()
    options = {"connect_timeout": _CONNECT_SECONDS, "application_name": "nightshift", **found}
    try:
        return psycopg.connect(**options)  # type: ignore[arg-type]
    except psycopg.OperationalError as error:
        place = f"{found.get('host', 'localhost')}:{found.get('port', '5432')}/{found.get('dbname', '')}"
        reason = " ".join(str(error).split())  # libpq names host, role and database, never the password
        raise PlatformError(
            f"the Nightshift database cannot be reached ({reason})",
            where=place,
            do="start the platform with `nightshift up`, or correct NIGHTSHIFT_DATABASE_FILE",
        ) from None


def _no_url() -> PlatformError:
    return PlatformError(
        "the URL of the Nightshift database is not one that libpq reads",
        allowed="postgresql://user:password@host:port/database, with special characters as %XX",
        do="correct NIGHTSHIFT_DATABASE or the file that NIGHTSHIFT_DATABASE_FILE names",
    )


@contextmanager
def advisory_lock(settings: Settings, name: str) -> Iterator[None]:
    """Holds the lock ``name`` of this environment; waits while another process has it, and says so once.

    The lock belongs to a database session of its own: it is released on leaving and when the process dies. It is
    not reentrant: a process that asks twice waits for itself. A private lake
    has no locks.
    """
    if settings.private:
        yield
        return
    with _asked(settings, name) as (connection, held):
        if not held:
            log.info("waiting for the lock %s, which another process holds", name)
            connection.execute("SELECT pg_advisory_lock(%s)", (lock_key(settings.env, name),))
        yield


@contextmanager
def lock_unless_held(settings: Settings, name: str) -> Iterator[bool]:
    """Holds the lock ``name`` unless another process has it; says whether. See ``advisory_lock``."""
    with _asked(settings, name) as (_, held):
        yield held


@contextmanager
def _asked(settings: Settings, name: str) -> "Iterator[tuple[Connection[TupleRow], bool]]":
    with connect(settings) as connection:
        connection.autocommit = True  # or the session would sit in a transaction for as long as the lock is held
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(settings.env, name),)).fetchone()
        yield connection, bool(row and row[0])


def lock_key(env: str, name: str) -> int:
    """The signed 64-bit key of a lock."""
    return int.from_bytes(hashlib.sha256(f"{env}\0{name}".encode()).digest()[:8], signed=True)
