"""The Nightshift database (Postgres): connections, and locks that processes on any machine share."""

import hashlib
import logging
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from nightshift.errors import PlatformError
from nightshift.settings import Settings

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

log = logging.getLogger("nightshift")

# How long a process waits for a lock.
WAIT = timedelta(minutes=30)
_CONNECT_SECONDS = "10"
# Of a server that vanished one hears within a minute, not after the two hours of the system's defaults.
_KEEPALIVES = {"keepalives": "1", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
# Of a password with an unescaped @, : or /, libpq takes a part for the host, the port or the database.
_MISREAD = re.compile(r"[@:]")
_PORT = re.compile(r"[0-9]*")
# The server lets go of the lock of a host that vanished within a minute; by the system's defaults after two hours.
_SESSION = """SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
    set_config('tcp_keepalives_count', '3', false), set_config('application_name', %s, false)"""
_OF_KEY = """locktype = 'advisory' AND granted AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


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
    options = {"connect_timeout": _CONNECT_SECONDS, "application_name": "nightshift", **_KEEPALIVES, **found}
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


class Lock:
    """A lock that this process holds, as long as its database session lives."""

    def __init__(self, connection: "Connection[TupleRow] | None", name: str, key: int) -> None:
        self._connection, self.name, self._key = connection, name, key

    def confirm(self) -> None:
        """Asks the database whether the lock is still held: before what must not be done by two.

        Raises PlatformError where it was lost, since the connection broke.
        """
        import psycopg

        if self._connection is None:
            return
        query = f"SELECT 1 FROM pg_locks WHERE pid = pg_backend_pid() AND {_OF_KEY}"  # noqa: S608
        try:
            held = self._connection.execute(query, (self._key,)).fetchone() is not None
        except psycopg.OperationalError:
            held = False
        if not held:
            raise PlatformError(
                f"the lock {self.name} was lost: its database session ended",
                do="clear the task: what is done already is found again",
            )


@contextmanager
def advisory_lock(settings: Settings, name: str, wait: timedelta = WAIT) -> Iterator[Lock]:
    """Holds the lock ``name`` of this environment; waits while another process has it, and says so once.

    The lock belongs to a database session of its own: it is released on leaving and when the process dies. It is
    not reentrant: a process that asks twice waits for itself. A private lake has no locks, and nobody to share with.
    Raises PlatformError naming who holds the lock once ``wait`` is over.
    """
    if settings.private:
        yield Lock(None, name, 0)
        return
    with _asked(settings, name) as (connection, held):
        key = lock_key(settings.env, name)
        if not held:
            log.info("waiting for the lock %s, which another process holds", name)
            take(connection, "SELECT pg_advisory_lock(%s)", key, name, wait)
        yield Lock(connection, name, key)


@contextmanager
def lock_unless_held(settings: Settings, name: str) -> Iterator[bool]:
    """Holds the lock ``name`` unless another process has it; says whether. See ``advisory_lock``."""
    with _asked(settings, name) as (_, held):
        yield held


def take(connection: "Connection[TupleRow]", query: str, key: int, name: str, wait: timedelta) -> None:
    """Runs ``query``, which waits for the lock ``key``. Raises PlatformError naming the holder after ``wait``."""
    import psycopg

    connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{int(wait.total_seconds() * 1000)}ms",))
    try:
        connection.execute(query, (key,))
    except psycopg.errors.LockNotAvailable:
        connection.rollback()
        raise PlatformError(
            f"the lock {name} was not free within {wait}: {_holder(connection, key)}",
            do="see what that process does; end it if it hangs, which frees the lock, then clear the task",
        ) from None


def lock_key(env: str, name: str) -> int:
    """The signed 64-bit key of a lock."""
    return int.from_bytes(hashlib.sha256(f"{env}\0{name}".encode()).digest()[:8], signed=True)


@contextmanager
def _asked(settings: Settings, name: str) -> "Iterator[tuple[Connection[TupleRow], bool]]":
    with connect(settings) as connection:
        connection.autocommit = True  # or the session would sit in a transaction for as long as the lock is held
        connection.execute(_SESSION, (f"nightshift {platform.node()[:40]} {os.getpid()}",))
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(settings.env, name),)).fetchone()
        yield connection, bool(row and row[0])


def _holder(connection: "Connection[TupleRow]", key: int) -> str:
    query = f"""SELECT application_name, client_addr, pg_stat_activity.pid, backend_start
        FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE {_OF_KEY}"""  # noqa: S608
    row = connection.execute(query, (key,)).fetchone()
    if row is None:
        return "its holder has just let it go"
    name, address, pid, since = row
    where = f" from {address}" if address else ""
    return f"{name}{where} holds it (Postgres process {pid}, connected since {since:%Y-%m-%d %H:%M:%S %Z})"
