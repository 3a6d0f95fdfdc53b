"""The account by which tasks reach MLflow: it reads, records and registers; it deletes and administers nothing.

``python -m nightshift.platform.mlflow_account LOGIN PROGRAM ARGUMENT…`` makes it where it is not as the file LOGIN
says, and becomes the program, MLflow's server. Nothing that runs tasks needs the administrator's password for it, and
an installation whose tasks were the administrator gets the account at its next start.
"""

import configparser
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nightshift.errors import PlatformError

# On all of a kind, since an administrator made the experiments and models of earlier versions. Taking an alias away
# needs MANAGE of the model. EDIT of what experiments and models consist of keeps both from being deleted, whoever made
# them.
RIGHTS = {
    "experiment": "EDIT",
    "run": "EDIT",
    "registered_model": "MANAGE",
    "registered_model_version": "EDIT",
}
MINIMUM_PASSWORD = 12  # MLflow's own


@dataclass(frozen=True)
class Account:
    """A login of MLflow."""

    username: str
    password: str = field(repr=False)


def main(login: Path, argv: list[str]) -> None:
    """Makes the account, and becomes the program. Exits with a message where a secret is missing or wrong."""
    try:
        ensure(read_account(login), os.environ)
    except PlatformError as error:
        sys.exit(str(error))
    os.execv(argv[0], argv)  # noqa: S606


def read_account(path: Path) -> Account:
    """The login of a file. Raises PlatformError, which quotes nothing of it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        account = Account(str(document["username"]), str(document["password"]))
    except FileNotFoundError:
        raise PlatformError(
            "there is no login of this name",
            where=str(path),
            allowed='a JSON file {"username": …, "password": …}',
            do="write it; on Kubernetes add it to the Secret",
        ) from None
    except (OSError, ValueError, KeyError, TypeError):
        account = Account("", "")
    if not account.username or not account.password or "\n" in account.username + account.password:
        raise PlatformError(
            "the MLflow login cannot be read",
            where=str(path),
            allowed='a JSON file {"username": …, "password": …}',
            do="correct it",
        )
    return account


def ensure(account: Account, environ: Mapping[str, str]) -> None:
    """Makes the account in the database that ``environ`` names, with its password and rights.

    Costs a look where all is there. Raises PlatformError for an account that is MLflow's administrator, and for a short
    password.
    """
    configuration = configparser.ConfigParser()
    configuration.read(environ["MLFLOW_AUTH_CONFIG_PATH"])
    known = configuration["mlflow"]
    if account.username == known["admin_username"]:
        raise PlatformError(
            "the tasks' login is MLflow's administrator",
            where="MLflow",
            allowed="a login of the tasks' own, such as nightshift",
            do="write another username into the tasks' login",
        )
    if len(account.password) < MINIMUM_PASSWORD:
        raise PlatformError(
            "the tasks' password for MLflow is too short",
            where="MLflow",
            allowed=f"{MINIMUM_PASSWORD} characters or more",
            do="make one: openssl rand -hex 24",
        )
    if not _is_there(account, known["database_uri"]):
        _make(account, known["database_uri"])


def _is_there(account: Account, url: str) -> bool:
    """Reads MLflow's tables: MLflow's own code takes seconds to import. What cannot be read is not there."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from werkzeug.security import check_password_hash

    user = text("SELECT id, password_hash, is_admin FROM users WHERE username = :username")
    grants = text(
        "SELECT g.resource_type, g.permission FROM role_permissions g "
        "JOIN user_role_assignments a ON a.role_id = g.role_id WHERE a.user_id = :id AND g.resource_pattern = '*'"
    )
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = connection.execute(user, {"username": account.username}).one_or_none()
            if found is None or found.is_admin or not check_password_hash(found.password_hash, account.password):
                return False
            return dict(connection.execute(grants, {"id": found.id}).tuples().all()) == RIGHTS
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()


def _make(account: Account, url: str) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(url)  # makes or migrates the tables, as the server would a moment later
    try:
        store.create_user(account.username, account.password)
    except MlflowException:
        if not store.has_user(account.username):
            raise
        store.update_user(account.username, password=account.password, is_admin=False)
    for kind, right in RIGHTS.items():
        store.grant_user_permission(account.username, kind, "*", right)
    store.engine.dispose()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
