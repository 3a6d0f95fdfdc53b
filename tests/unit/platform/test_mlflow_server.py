"""What MLflow's server is started with where its secrets are files that others wrote."""

import configparser
import json
import stat
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from nightshift.errors import PlatformError
from nightshift.platform.mlflow_server import prepare

PASSWORD = "of: the \\ database % @/"
GIVEN = {
    "database": "postgresql://mlflow:of%3A%20the%20%5C%20database%20%25%20%40%2F@db.example.org/records?sslmode=require\n",
    "login": json.dumps({"username": "admin", "password": "100% of tests"}),
    "tasks-login": json.dumps({"username": "nightshift", "password": "of all the tasks"}),
    "cookie-key": "0123456789abcdef" * 4 + "\n",
}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, text in GIVEN.items():
        (folder / name).write_text(text)
    return folder


def test_no_password_is_in_a_variable(secrets: Path, tmp_path: Path) -> None:
    private = tmp_path / "private"
    environment = prepare(secrets, private)
    url = make_url(environment["MLFLOW_BACKEND_STORE_URI"])
    passfile = private / "pgpass"
    assert (url.drivername, url.host, url.port, url.database) == (
        "postgresql+psycopg",
        "db.example.org",
        5432,
        "records",
    )
    assert (url.username, url.password) == ("mlflow", None)
    assert dict(url.query) == {"sslmode": "require", "passfile": str(passfile)}
    assert not [name for name, value in environment.items() if "database %" in value]
    assert passfile.read_text() == "*:*:*:*:of\\: the \\\\ database % @/\n"
    config = configparser.ConfigParser()
    config.read(environment["MLFLOW_AUTH_CONFIG_PATH"])
    assert config["mlflow"]["admin_password"] == "100% of tests"
    assert config["mlflow"]["database_uri"] == environment["MLFLOW_BACKEND_STORE_URI"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private.iterdir()} == {0o600}
    assert "of all the tasks" not in str(environment)
    assert environment["MLFLOW_FLASK_SERVER_SECRET_KEY"] == GIVEN["cookie-key"].strip()


def test_libpq_reads_the_words_that_it_writes_itself(secrets: Path, tmp_path: Path) -> None:
    (secrets / "database").write_text(make_conninfo("", host="db", user="mlflow", password=PASSWORD, dbname="records"))
    prepare(secrets, tmp_path / "private")
    assert (tmp_path / "private" / "pgpass").read_text() == "*:*:*:*:of\\: the \\\\ database % @/\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("database", None, "database: MLflow's secret 'database' cannot be read: No such file or directory."),
        (
            "database",
            "postgresql://mlflow:s3cret@/records",
            "the URL of MLflow's database is not one that libpq reads.",
        ),
        ("database", "mysql://mlflow:s3cret@db/records", "the URL of MLflow's database is not one that libpq reads."),
        ("login", "s3cret", "login: the MLflow login cannot be read."),
        ("login", '{"username": "admin", "password": ""}', "login: the MLflow login cannot be read."),
        ("login", '{"username": "admin", "password": "s3cret\\nadmin_username = eve"}', "the MLflow login cannot"),
        ("tasks-login", None, "tasks-login: there is no login of this name"),
        ("tasks-login", '{"user": "s3cret"}', "tasks-login: the MLflow login cannot be read."),
        ("cookie-key", "s3cret", "cookie-key: the cookie key is too short to be a secret."),
    ],
)
def test_what_is_wrong_is_told_without_the_secret(
    secrets: Path, tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    (secrets / name).unlink()
    if text is not None:
        (secrets / name).write_text(text)
    with pytest.raises(PlatformError) as caught:
        prepare(secrets, tmp_path / "private")
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)
