"""Whether a connection has a database session of its own, as locks need it.

A pooler that hands its sessions on with each transaction or statement (PgBouncer in ``transaction`` or ``statement``
mode, and the like) gives the lock of one client to another. It is found by what it does, whatever its name and address.
"""

import select
import time
from contextlib import ExitStack, closing
from functools import cache
from typing import TYPE_CHECKING

from nightshift.database.connections import connect_to, place_of
from nightshift.errors import PlatformError

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

# One session is the pooler's last returned one; a pooler that takes turns is found with the second.
_OTHERS = 2
# What a pooler keeps waiting has no session.
_SECONDS = 10.0


def require_own_session(connection: "Connection[TupleRow]", dsn: str) -> None:
    """Raises PlatformError where the connection to ``dsn`` shares its database session with others.

    Where the server itself greeted the client, the greeting names the process that answers, and nothing is to be
    tried. Otherwise something is in between, which is tried once in each process.
    """
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        _tried(dsn)


@cache
def _tried(dsn: str) -> None:
    refuse_pooler(dsn)


def refuse_pooler(dsn: str) -> None:
    """Raises PlatformError where what answers at ``dsn`` hands one database session to several clients.

    One client asks for the process that serves it; others do, each in a transaction that stays open; then the first
    asks again. Where sessions are handed on, one of the others gets the first one's, or the first gets another.
    """
    with ExitStack() as opened:
        first, *others = [opened.enter_context(closing(connect_to(dsn))) for _ in range(1 + _OTHERS)]
        own, shared = _session(first, ""), False
        if not own:
            raise PlatformError(f"the Nightshift database does not answer within {_SECONDS:.0f} s", where=_place(dsn))
        for other in others:
            found = _session(other, "BEGIN;")
            shared = shared or found in (own, "") or _session(first, "") != own
            if shared or found is None:  # a client that has to wait for a session is given one of its own
                break
    if shared:
        raise PlatformError(
            "a pooler hands one database session to several clients, and with it their locks: two do what one must",
            where=_place(dsn),
            allowed="a direct connection, or a pooler that gives a client one session for as long as it is connected",
            do="name Postgres itself in NIGHTSHIFT_DATABASE_FILE, or set the pooler's mode of this database to session "
            "(PgBouncer: pool_mode=session)",
        )


def _place(dsn: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    return place_of(conninfo_to_dict(dsn))


def _session(connection: "Connection[TupleRow]", before: str) -> str | None:
    """Which session answers; empty where what is asked is turned down, None where nobody answers in time."""
    import psycopg
    from psycopg.pq import ExecStatus

    raw, until, found = connection.pgconn, time.monotonic() + _SECONDS, ""
    try:
        raw.send_query(f"{before}SELECT pg_backend_pid() || ' ' || pg_postmaster_start_time()".encode())
        while raw.is_busy():
            if not select.select([raw.socket], [], [], max(until - time.monotonic(), 0))[0]:
                return None
            raw.consume_input()
        while (result := raw.get_result()) is not None:
            if result.status == ExecStatus.TUPLES_OK:
                found = (result.get_value(0, 0) or b"").decode()
    except psycopg.OperationalError:
        return ""
    return found
