"""Passwords and keys: generated once into ``var/secrets``, mode 600, and what is derived from them."""

import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from nightshift import storage
from nightshift.errors import PlatformError
from nightshift.gates.removed import make_removal_key
from nightshift.platform.layout import Layout
from nightshift.platform.postgres import Role
from nightshift.registry import ledger_table
from nightshift.settings import REMOVAL_KEY

# The database of the ledger has the name of the role that owns it.
OWNER, WRITER, PEOPLE = "nightshift", "nightshift_writer", ledger_table.PEOPLE
ADMIN = "admin"

# Tasks are no administrator of MLflow, which knows them by this name.
TASKS = "nightshift"
# Of MLflow's server alone; ``mlflow`` is the login of tasks.
_OF_SERVER = ("mlflow-admin", "mlflow-database", "mlflow-secret-key", "mlflow.pgpass", "mlflow-auth.ini")


def ensure_secrets(layout: Layout, server: Layout | None = None, admin: str = "") -> None:
    """Generates what is not there, and writes anew what follows from it.

    ``server`` has what MLflow's server alone may read, where that is another volume; ``admin`` is the password of
    MLflow's administrator at its first start, where people chose it.
    """
    of_server = (server or layout).secrets
    _once(layout.secrets / "postgres.json", lambda: json.dumps({role: _token() for role in ("airflow", WRITER)}))
    _once(layout.people_login, lambda: layout.cluster.url(PEOPLE, OWNER, _token()) + "\n")
    _forget_owner(layout)
    _give_server(layout, of_server)
    _once(airflow_passwords(layout), lambda: json.dumps({ADMIN: _token()}))
    _once(of_server / "mlflow-admin", lambda: json.dumps({"username": ADMIN, "password": admin or _token()}))
    _once(of_server / "mlflow-database", _token)
    _once(of_server / "mlflow-secret-key", lambda: secrets.token_hex(64))
    _once(layout.secrets / "mlflow", lambda: json.dumps({"username": TASKS, "password": _token()}))
    _once(layout.secrets / "airflow-fernet-key", _fernet_key)
    make_removal_key(layout.secrets / REMOVAL_KEY)
    for name in ("airflow-jwt-secret", "airflow-api-secret-key"):
        _once(layout.secrets / name, lambda: secrets.token_hex(64))
    _write_derived(layout, of_server)


def ensure_passwords(layout: Layout, names: Iterable[str], given: Mapping[str, str] | None = None) -> None:
    """Keeps a password for each login of Airflow: one that is ``given``, the one that it has, or a new one.

    Airflow makes one for a login that has none, and prints it into its log.
    """
    path = airflow_passwords(layout)
    before: dict[str, str] = _read(path) if path.exists() else {}
    known = {**before, **(given or {})}
    known |= {name: _token() for name in names if name not in known}
    if known != before:
        _write(path, json.dumps(known))


def postgres_roles(layout: Layout, server: Layout | None = None) -> tuple[Role, ...]:
    """The roles of the platform's databases; the ledger's owner has no password, so that no secret reaches it.

    ``server`` as in ``ensure_secrets``.
    """
    passwords = _read(layout.secrets / "postgres.json")
    people = _password(layout.people_login)
    passwords["mlflow"] = ((server or layout).secrets / "mlflow-database").read_text()
    owning = (Role(name, passwords[name], owns=(name,)) for name in ("airflow", "mlflow"))
    appending = (Role(WRITER, passwords[WRITER], enters=(OWNER,)), Role(PEOPLE, people, enters=(OWNER,)))
    return (*owning, Role(OWNER, "", owns=(OWNER,)), *appending)


def passfile(layout: Layout, role: str) -> Path:
    """The file from which libpq reads the password of a role, so that no URL and no environment holds it."""
    return layout.secrets / f"{role}.pgpass"


def sqlalchemy_url(layout: Layout, role: str) -> str:
    """The SQLAlchemy URL of the database that has its role's name; holds no password."""
    url = layout.cluster.url(role, role, passfile=str(passfile(layout, role)))
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def airflow_passwords(layout: Layout) -> Path:
    """The passwords of Airflow's logins by name. Airflow adds those of the other logins that it is configured with."""
    return layout.secrets / "airflow-passwords.json"


def mlflow_admin(layout: Layout) -> Path:
    """The login of MLflow's administrator, for people."""
    return layout.secrets / "mlflow-admin"


def mlflow_config(layout: Layout) -> Path:
    """MLflow's configuration of logins."""
    return layout.secrets / "mlflow-auth.ini"


def mlflow_auth(database_url: str, username: str, password: str) -> str:
    """The text of that configuration: nobody sees anything without a login, who has one may read."""
    lines = {
        "default_permission": "READ",
        "database_uri": database_url,
        "admin_username": username,
        "admin_password": password,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # The password is hashed a hundred thousand times per request otherwise.
        "auth_cache_ttl_seconds": "60",
    }
    text = "".join(f"{key} = {value.replace('%', '%%')}\n" for key, value in lines.items())
    return f"[mlflow]\n{text}"


def _write_derived(layout: Layout, of_server: Path) -> None:
    passwords = _read(layout.secrets / "postgres.json")
    _write(passfile(layout, "airflow"), f"*:*:*:airflow:{passwords['airflow']}\n")
    _write(layout.secrets / "database", layout.cluster.url(WRITER, OWNER, passwords[WRITER]) + "\n")
    # Beside no other secret: who has those has not this one, where it lies elsewhere.
    _write(layout.people_login, layout.cluster.url(PEOPLE, OWNER, _password(layout.people_login)) + "\n")
    _write(of_server / "mlflow.pgpass", f"*:*:*:mlflow:{(of_server / 'mlflow-database').read_text()}\n")
    login = _read(of_server / "mlflow-admin")
    # Its volume is mounted where this one is: the server finds its files by the names that they have here.
    text = mlflow_auth(sqlalchemy_url(layout, "mlflow"), login["username"], login["password"])
    _write(of_server / "mlflow-auth.ini", text)
    if of_server != layout.secrets:
        # Tasks write there. The server gives that password to their account, and to no other that the file may name.
        login = {**_read(layout.secrets / "mlflow"), "username": TASKS}
        _write(of_server / "mlflow", json.dumps(login))


def _give_server(layout: Layout, of_server: Path) -> None:
    """Give MLflow's server what an earlier version gave to tasks: its administrator's login and its database's."""
    passwords, login = _read(layout.secrets / "postgres.json"), layout.secrets / "mlflow"
    if "mlflow" in passwords:
        _once(of_server / "mlflow-database", lambda: passwords["mlflow"])
        del passwords["mlflow"]
        _write(layout.secrets / "postgres.json", json.dumps(passwords))
    if login.exists() and _read(login)["username"] == ADMIN:
        _once(of_server / "mlflow-admin", login.read_text)
        login.unlink()
    if of_server != layout.secrets:
        for name in _OF_SERVER:
            (layout.secrets / name).unlink(missing_ok=True)


def _forget_owner(layout: Layout) -> None:
    """Remove the password that an earlier version gave the ledger's owner: whoever had it could rewrite the ledger."""
    passwords = _read(layout.secrets / "postgres.json")
    if passwords.pop(OWNER, None) is not None:
        _write(layout.secrets / "postgres.json", json.dumps(passwords))
    (layout.secrets / "database-owner").unlink(missing_ok=True)


def _token() -> str:
    return secrets.token_urlsafe(18)


def _fernet_key() -> str:
    from base64 import urlsafe_b64encode

    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _once(path: Path, make: Callable[[], str]) -> None:
    if not path.exists():
        storage.create_bytes(str(path), make().encode())


def _password(path: Path) -> str:
    """The password in a file with a libpq URL. Raises PlatformError where there is none."""
    password = unquote(urlsplit(path.read_text().strip()).password or "")
    if not password:
        raise PlatformError(f"{path} has no libpq URL with a password", where="secrets", do="delete it and try again")
    return password


def _write(path: Path, text: str) -> None:
    storage.write_bytes(str(path), text.encode())


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
