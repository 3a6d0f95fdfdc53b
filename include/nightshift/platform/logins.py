"""Passwords and keys: generated once into ``var/secrets``, mode 600, and what is derived from them."""

import json
import secrets
from collections.abc import Callable
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
# Airflow adds the other logins that it is configured with.
PASSWORDS = "airflow-passwords.json"


def ensure_secrets(layout: Layout) -> None:
    """Generates what is not there, and writes anew what follows from it."""
    roles = {role: _token() for role in ("airflow", "mlflow", WRITER)}
    _once(layout.secrets / "postgres.json", lambda: json.dumps(roles))
    _once(layout.people_login, lambda: layout.cluster.url(PEOPLE, OWNER, _token()) + "\n")
    _forget_owner(layout)
    _once(layout.secrets / PASSWORDS, lambda: json.dumps({ADMIN: _token()}))
    _once(layout.secrets / "mlflow", lambda: json.dumps({"username": ADMIN, "password": _token()}))
    _once(layout.secrets / "airflow-fernet-key", _fernet_key)
    make_removal_key(layout.secrets / REMOVAL_KEY)
    for name in ("airflow-jwt-secret", "airflow-api-secret-key", "mlflow-secret-key"):
        _once(layout.secrets / name, lambda: secrets.token_hex(64))
    _write_derived(layout)


def postgres_roles(layout: Layout) -> tuple[Role, ...]:
    """The roles of the platform's databases; the ledger's owner has no password, so that no secret reaches it."""
    passwords = _read(layout.secrets / "postgres.json")
    people = _password(layout.people_login)
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


def _write_derived(layout: Layout) -> None:
    passwords = {role.name: role.password for role in postgres_roles(layout)}
    for role in ("airflow", "mlflow"):
        _write(passfile(layout, role), f"*:*:*:{role}:{passwords[role]}\n")
    _write(layout.secrets / "database", layout.cluster.url(WRITER, OWNER, passwords[WRITER]) + "\n")
    # Beside no other secret: who has those has not this one, where it lies elsewhere.
    _write(layout.people_login, layout.cluster.url(PEOPLE, OWNER, passwords[PEOPLE]) + "\n")
    login = _read(layout.secrets / "mlflow")
    text = mlflow_auth(sqlalchemy_url(layout, "mlflow"), login["username"], login["password"])
    _write(mlflow_config(layout), text)


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
