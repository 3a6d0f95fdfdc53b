"""MLflow's server where its secrets are files that others wrote, such as a mounted Secret.

``python -m nightshift.platform.mlflow_server SECRETS PRIVATE`` reads the files of the folder SECRETS: ``database`` (a
libpq URL), ``login`` (MLflow's first administrator, for people), ``tasks-login`` (the file that
``NIGHTSHIFT_MLFLOW_LOGIN_FILE`` names elsewhere) and ``cookie-key``. MLflow and libpq want them in other forms and
readable by nobody else: so they are written into PRIVATE, which should be memory. What is no secret is in the
environment: where artifacts are kept, the names that browsers use.
"""

import os
import sys
from pathlib import Path

from nightshift import storage
from nightshift.errors import PlatformError
from nightshift.platform.logins import mlflow_auth
from nightshift.platform.mlflow_account import read_account

PORT = "5000"
MINIMUM_KEY = 32


def main() -> None:
    """Becomes the server. Exits with a message where a secret is missing or wrong."""
    try:
        secrets, private = (Path(argument) for argument in sys.argv[1:])
    except ValueError:
        sys.exit("usage: python -m nightshift.platform.mlflow_server SECRETS PRIVATE")
    try:
        environment = prepare(secrets, private)
    except PlatformError as error:
        sys.exit(str(error))
    argv = [sys.executable, "-m", "nightshift.platform.mlflow_account", str(secrets / "tasks-login")]
    argv += [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    argv += ["--host", "0.0.0.0", "--port", PORT, "--workers", os.environ.get("MLFLOW_WORKERS", "1")]  # noqa: S104
    os.execve(sys.executable, argv, {**os.environ, **environment})  # noqa: S606


def prepare(secrets: Path, private: Path) -> dict[str, str]:
    """Writes what MLflow reads, and returns the variables that name it. Raises PlatformError."""
    url = _database(secrets / "database", private)
    admin = read_account(secrets / "login")
    read_account(secrets / "tasks-login")
    key = _read(secrets / "cookie-key").strip()
    if len(key) < MINIMUM_KEY:
        raise PlatformError(
            "the cookie key is too short to be a secret",
            where=str(secrets / "cookie-key"),
            allowed=f"{MINIMUM_KEY} characters or more",
            do="make one: openssl rand -hex 32",
        )
    configuration = private / "auth.ini"
    storage.write_bytes(str(configuration), mlflow_auth(url, admin.username, admin.password).encode())
    return {
        "MLFLOW_BACKEND_STORE_URI": url,
        "MLFLOW_AUTH_CONFIG_PATH": str(configuration),
        # MLflow has no file for this one.
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _database(path: Path, private: Path) -> str:
    """SQLAlchemy's URL of the database, without the password, which libpq reads from a file."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy import URL

    try:
        found = {name: str(value) for name, value in conninfo_to_dict(_read(path).strip()).items()}
    except psycopg.ProgrammingError:  # its text quotes the URL, with the password
        found = {}
    if not {"host", "user", "dbname"} <= set(found):
        raise PlatformError(
            "the URL of MLflow's database is not one that libpq reads",
            where=str(path),
            allowed="postgresql://user:password@host:port/database, with special characters as %XX",
            do="correct it",
        )
    password = found.pop("password", "")
    if password:
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        storage.write_bytes(str(private / "pgpass"), f"*:*:*:*:{escaped}\n".encode())
        found["passfile"] = str(private / "pgpass")
    port = int(found.pop("port", "5432"))
    user, host, database = found.pop("user"), found.pop("host"), found.pop("dbname")
    return URL.create("postgresql+psycopg", user, None, host, port, database, found).render_as_string()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise PlatformError(
            f"MLflow's secret {path.name!r} cannot be read: {why}",
            where=str(path),
            allowed="the files database, login, tasks-login and cookie-key",
            do="add it to the Secret",
        ) from None


if __name__ == "__main__":
    main()
