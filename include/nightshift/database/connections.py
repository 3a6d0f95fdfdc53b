"""Connections to Postgres that notice within a minute when the other side has vanished."""

import re
from typing import TYPE_CHECKING

from nightshift.errors import PlatformError
from nightshift.settings import Settings

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

_CONNECT_SECONDS = "10"
# Of a side that vanished the other one hears within a minute, not after the two hours of the system's defaults: by
# these while nothing is sent, and by the last where something was and is not confirmed (in milliseconds).
KEEPALIVES = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
USER_TIMEOUT = {"tcp_user_timeout": "60000"}
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
    options = {"connect_timeout": _CONNECT_SECONDS, "application_name": "nightshift", **KEEPALIVES, **USER_TIMEOUT}
    try:
        connection = psycopg.connect(**{**options, **found})  # type: ignore[arg-type]
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())  # libpq names host, role and database, never the password
        raise PlatformError(
            f"the Nightshift database cannot be reached ({reason})",
            where=place_of(found),
            do="start the platform with `nightshift up`, or correct NIGHTSHIFT_DATABASE_FILE",
        ) from None
    # Whatever the database's default is: who waited for a lock reads what was committed meanwhile.
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    return connection


def place_of(parameters: "dict[str, str | int | None]") -> str:
    """Where libpq's parameters lead, without who logs in."""
    return f"{parameters.get('host', 'localhost')}:{parameters.get('port', '5432')}/{parameters.get('dbname', '')}"


def _no_url() -> PlatformError:
    return PlatformError(
        "the URL of the Nightshift database is not one that libpq reads",
        allowed="postgresql://user:password@host:port/database, with special characters as %XX",
        do="correct NIGHTSHIFT_DATABASE or the file that NIGHTSHIFT_DATABASE_FILE names",
    )
