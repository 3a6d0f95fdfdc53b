"""Locks that processes on any machine share, each held by a database session of its own."""

import hashlib
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from nightshift.database.connections import KEEPALIVES, USER_TIMEOUT, connect
from nightshift.database.sessions import require_own_session
from nightshift.errors import PlatformError
from nightshift.settings import Settings

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

log = logging.getLogger("nightshift")

# How long a process waits for a lock.
WAIT = timedelta(minutes=30)
# The server lets go of the lock of a host that vanished as soon as a client hears of a server that did.
_SESSION = {**{f"tcp_{name}": value for name, value in KEEPALIVES.items()}, **USER_TIMEOUT}
_SET = f"SELECT {', '.join(['set_config(%s, %s, false)'] * (len(_SESSION) + 1))}"
_OF_KEY = """locktype = 'advisory' AND granted AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@dataclass(frozen=True)
class Holder:
    """The database session that holds a lock: its program, its process in Postgres, and what is known of the rest.

    Postgres tells where a session comes from, and since when it is there (``age`` is how long that is), to its own
    role alone.
    """

    name: str
    pid: int
    address: str | None = None
    since: datetime | None = None
    age: timedelta | None = None

    def __str__(self) -> str:
        name = self.name or "a program without a name"
        where = f" from {self.address}" if self.address else ""
        since = f", connected since {self.since:%Y-%m-%d %H:%M:%S %Z}" if self.since else ""
        return f"{name}{where} holds it (Postgres process {self.pid}{since})"


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
    Raises PlatformError naming who holds the lock once ``wait`` is over, and where sessions are shared by a pooler.
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


def holder(settings: Settings, name: str) -> Holder | None:
    """Who holds the lock ``name`` of this environment now, if anybody does."""
    with connect(settings) as connection:
        return _holder(connection, lock_key(settings.env, name))


def take(connection: "Connection[TupleRow]", query: str, key: int, name: str, wait: timedelta) -> None:
    """Runs ``query``, which waits for the lock ``key``. Raises PlatformError naming the holder after ``wait``.

    In a transaction the limit ends with it: a pooler may hand the session on.
    """
    import psycopg

    limit = f"{int(wait.total_seconds() * 1000)}ms"
    try:
        connection.execute("SELECT set_config('lock_timeout', %s, %s)", (limit, not connection.autocommit))
        connection.execute(query, (key,))
    except psycopg.errors.LockNotAvailable:
        connection.rollback()
        raise PlatformError(
            f"the lock {name} was not free within {wait}: "
            f"{_holder(connection, key) or 'its holder has just let it go'}",
            do="see what that process does; end it if it hangs, which frees the lock, then clear the task",
        ) from None
    except psycopg.OperationalError as error:
        raise PlatformError(
            f"the Nightshift database went away while the lock {name} was waited for ({' '.join(str(error).split())})",
            do="clear the task when it is back: what is done already is found again",
        ) from None


def lock_key(env: str, name: str) -> int:
    """The signed 64-bit key of a lock."""
    return int.from_bytes(hashlib.sha256(f"{env}\0{name}".encode()).digest()[:8], signed=True)


@contextmanager
def _asked(settings: Settings, name: str) -> "Iterator[tuple[Connection[TupleRow], bool]]":
    import psycopg

    with connect(settings) as connection:
        connection.autocommit = True  # or the session would sit in a transaction for as long as the lock is held
        require_own_session(connection, settings.database)
        program = f"nightshift {platform.node()[:40]} {os.getpid()}"
        values = [text for item in {**_SESSION, "application_name": program}.items() for text in item]
        connection.execute(_SET, values)
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(settings.env, name),)).fetchone()
        try:
            yield connection, bool(row and row[0])
        finally:
            # The server notices only some time later that a session has ended.
            with suppress(psycopg.OperationalError):
                connection.execute("SELECT pg_advisory_unlock_all()")


def _holder(connection: "Connection[TupleRow]", key: int) -> Holder | None:
    query = f"""SELECT application_name, pg_stat_activity.pid, host(client_addr), backend_start,
        clock_timestamp() - backend_start FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE {_OF_KEY}"""  # noqa: S608
    row = connection.execute(query, (key,)).fetchone()
    return Holder(*row) if row else None
