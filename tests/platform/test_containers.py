"""The platform's parts in containers: what prepares them, on a real Postgres that is reached as containers reach it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from nightshift.errors import PlatformError
from nightshift.platform import containers, health, local, logins
from nightshift.platform.environment import airflow_environment
from nightshift.platform.layout import Layout
from nightshift.platform.postgres import Cluster, initialise
from nightshift.platform.programs import served
from nightshift.registry.ledger import Ledger, NewEntry
from nightshift.settings import Settings
from tests.live import free_port
from tests.postgres import stop

pytestmark = pytest.mark.process


PASSWORD = "p@ss/word:of the superuser"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The `host:port` of a Postgres whose superuser has a password."""
    folder, port = Path(tempfile.mkdtemp(prefix="nsct-")), free_port()
    cluster = Cluster(folder / "data", folder / "run")
    initialise(cluster)
    rules = cluster.data / "pg_hba.conf"
    rules.write_text(rules.read_text() + "host all all 127.0.0.1/32 scram-sha-256\n")
    argv = cluster.argv(fsync="off", listen_addresses="127.0.0.1", port=str(port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, cwd="/", **cluster.as_account)
    try:
        local = f"host={cluster.sockets} port={port} user=postgres dbname=postgres"
        wait_for(local)
        import psycopg
        from psycopg import sql

        with psycopg.connect(local, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(PASSWORD)))
        yield f"127.0.0.1:{port}"
    finally:
        stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(url: str) -> None:
    import psycopg

    from tests.waiting import until

    def answers() -> bool:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            return False
        return True

    until(answers, seconds=30)


@pytest.fixture
def given(tmp_path: Path) -> dict[str, str]:
    """The variables of the step that prepares: files with passwords, and MLflow's volume."""
    files = {
        containers.POSTGRES: PASSWORD,
        containers.AIRFLOW: "of airflow",
        containers.MLFLOW: "of mlflow",
        containers.STORE_KEY: "of the store",
    }
    for name, secret in files.items():
        (tmp_path / name).write_text(f"{secret}\n")
    (tmp_path / "objects").mkdir()
    volumes = {containers.MLFLOW_VAR: str(tmp_path / "mlflow"), containers.OBJECTS: str(tmp_path / "objects")}
    return {**{name: str(tmp_path / name) for name in files}, **volumes}


@pytest.fixture
def contained(settings: Settings, server: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of containers."""
    before = os.umask(0o022)
    os.umask(before)
    monkeypatch.setattr("os.umask", lambda mask: before)
    return replace(
        settings,
        postgres=server,
        landing="s3://nightshift/landing",
        airflow_url="http://airflow-api-server:8080",
        mlflow_uri="http://mlflow:5000",
        people_file=settings.var.parent / "people" / "login",
    )


def test_preparing_twice_changes_nothing(contained: Settings, given: dict[str, str], tmp_path: Path) -> None:
    # A task writes to that volume, and Airflow would run this with the superuser's password at hand.
    planted, ran = contained.var / "airflow" / "config" / "airflow_local_settings.py", tmp_path / "ran"
    planted.parent.mkdir(parents=True)
    planted.write_text(f"open({str(ran)!r}, 'w').close()\n")
    said: list[str] = []
    containers.prepare(contained, given, said.append)
    assert not ran.exists()
    assert said == [
        "secrets: there",
        "postgres: roles, databases and the ledger are there",
        "airflow: migrating its database",
        "airflow: making the pools nightshift_spark",
        "airflow: its tables and pools are there",
    ]
    secrets = Layout(contained.var).secrets
    assert json.loads((secrets / "airflow-passwords.json").read_text()) == {"admin": "of airflow"}
    tasks = json.loads((secrets / "mlflow").read_text())
    assert tasks["username"] == "nightshift"
    assert "aws_secret_access_key = of the store\n" in (secrets / "object-store").read_text()
    # MLflow sees its own secrets, and no other.
    own = {file.name: file for file in (tmp_path / "mlflow" / "secrets").iterdir()}
    kept = {"mlflow.pgpass", "mlflow-auth.ini", "mlflow-secret-key", "mlflow-admin", "mlflow-database"}
    assert set(own) == kept | {"mlflow"}
    assert json.loads(own["mlflow-admin"].read_text()) == {"username": "admin", "password": "of mlflow"}
    assert json.loads(own["mlflow"].read_text()) == tasks
    # No task sees the administrator's password, nor that of MLflow's database.
    assert not kept & {file.name for file in secrets.iterdir()}
    hidden = ("of mlflow", own["mlflow-database"].read_text())
    assert not [file for file in secrets.iterdir() if any(secret in file.read_text() for secret in hidden)]
    assert {file.stat().st_mode & 0o777 for file in [*own.values(), *secrets.iterdir()]} == {0o600}
    policy = json.loads(os.getxattr(tmp_path / "objects" / "nightshift", containers.POLICY))
    [statement] = policy["Statement"]
    assert (statement["Principal"], statement["Resource"]) == (
        {"AWS": ["upstream"]},
        ["arn:aws:s3:::nightshift/landing/*"],
    )
    assert Ledger(contained.database, "local").verify() == 0
    # What the API server alone has lies in a volume that no task sees, and in no file beside the other secrets.
    people = contained.people_login
    assert people.stat().st_mode & 0o777 == 0o600
    assert not people.is_relative_to(contained.var)
    known = [urlsplit(url).password or "" for url in (contained.people, contained.database)]
    found = [[file.name for file in secrets.iterdir() if password in file.read_text()] for password in known]
    assert (found[0], sorted(found[1])) == ([], ["database", "postgres.json"])
    with pytest.raises(PlatformError, match="of people: the role of tasks may not append it"):
        Ledger(contained.database, "local").append(NewEntry("parcels", "freeze", "ann", "why"))
    assert Ledger.of_people(contained).append(NewEntry("parcels", "freeze", "ann", "why")).seq == 1

    before = {file.name: file.read_text() for file in secrets.iterdir()}
    said.clear()
    containers.prepare(contained, given, said.append)
    assert said == [
        "secrets: there",
        "postgres: roles, databases and the ledger are there",
        "airflow: its tables and pools are there",
    ]
    assert {file.name: file.read_text() for file in secrets.iterdir()} == before


def test_the_login_of_people_lies_where_no_task_reads(contained: Settings, given: dict[str, str]) -> None:
    with pytest.raises(PlatformError, match="NIGHTSHIFT_PEOPLE_FILE: the login of the role that records what people"):
        containers.prepare(replace(contained, people_file=None), given, print)


def test_a_new_password_of_airflow_counts_and_one_of_mlflow_does_not(
    contained: Settings, given: dict[str, str], tmp_path: Path
) -> None:
    containers.prepare(contained, given, lambda line: None)
    for name in (containers.AIRFLOW, containers.MLFLOW):
        Path(given[name]).write_text("new")
    containers.prepare(contained, given, lambda line: None)
    secrets = Layout(contained.var).secrets
    assert json.loads((secrets / "airflow-passwords.json").read_text()) == {"admin": "new"}
    own = Layout(tmp_path / "mlflow").secrets
    assert json.loads((own / "mlflow-admin").read_text())["password"] == "of mlflow"


@pytest.mark.parametrize("name", [containers.POSTGRES, containers.AIRFLOW, containers.MLFLOW, containers.STORE_KEY])
def test_a_missing_secret_is_named(contained: Settings, given: dict[str, str], name: str) -> None:
    Path(given[name]).write_text("\n")
    with pytest.raises(PlatformError, match=rf"{given[name]}: the file that {name} names is empty"):
        containers.prepare(contained, given, print)
    Path(given[name]).unlink()
    with pytest.raises(
        PlatformError, match=rf"the file that {name} names cannot be read \(No such file or directory\)"
    ):
        containers.prepare(contained, given, print)
    with pytest.raises(PlatformError, match=rf"{name} is not set"):
        containers.prepare(contained, {**given, name: ""}, print)


def test_the_local_platform_is_prepared_by_up(settings: Settings, given: dict[str, str]) -> None:
    with pytest.raises(PlatformError, match="NIGHTSHIFT_POSTGRES is not set"):
        containers.prepare(settings, given, print)


def test_what_containers_are_told(contained: Settings) -> None:
    told = airflow_environment(replace(contained, airflow_page="http://localhost:8081"))
    assert told["AIRFLOW__API__HOST"] == "0.0.0.0"  # noqa: S104
    assert told["AIRFLOW__API__BASE_URL"] == "http://localhost:8081"
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://airflow-api-server:8080/execution/"
    url = told["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert (
        url
        == f"postgresql+psycopg://airflow@{contained.postgres}/airflow?passfile={contained.var}/secrets/airflow.pgpass"
    )
    # No part but those that are told by their own variables knows where the login of people lies.
    assert Settings.from_env(told) == replace(contained, airflow_page="http://localhost:8081", people_file=None)


def test_what_knows_the_login_of_people_has_an_airflow_home_that_no_task_writes(settings: Settings) -> None:
    settings = replace(settings, postgres="postgres:5432")
    home = Path(containers.environment_of(settings, "airflow-api-server")["AIRFLOW_HOME"])
    try:
        assert not home.is_relative_to(settings.var)
        assert (list(home.iterdir()), home.stat().st_mode & 0o777) == ([], 0o700)
    finally:
        home.rmdir()
    for name in ("airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "watcher"):
        assert containers.environment_of(settings, name)["AIRFLOW_HOME"] == f"{settings.var}/airflow"


def test_mlflow_answers_to_its_names(contained: Settings) -> None:
    layout = Layout(contained.var, contained.postgres)
    layout.make()
    logins.ensure_secrets(layout)
    program = served(replace(contained, mlflow_page="http://localhost:5001"), "mlflow")
    assert program.environment["MLFLOW_SERVER_ALLOWED_HOSTS"] == "localhost:*,127.0.0.1:*,mlflow:5000,localhost:5001"
    assert program.argv[10:14] == ("--host", "0.0.0.0", "--port", "5000")  # noqa: S104


def test_what_is_of_this_machines_processes_refuses_containers(contained: Settings) -> None:
    for call in (local.up, local.down, local.status, local.stop_all_but_postgres):
        with pytest.raises(PlatformError, match="NIGHTSHIFT_POSTGRES: the platform's parts are containers"):
            call(contained)
    assert not contained.var.exists(), "secrets written anew would name a Postgres that is not there"


def test_an_unknown_program_is_refused(contained: Settings) -> None:
    layout = Layout(contained.var, contained.postgres)
    layout.make()
    logins.ensure_secrets(layout)
    with pytest.raises(PlatformError, match="there is no program 'postgres'"):
        containers.serve(contained, "postgres")


def test_what_does_not_answer_is_not_healthy(contained: Settings) -> None:
    away = replace(
        contained, airflow_url=f"http://127.0.0.1:{free_port()}", mlflow_uri=f"http://127.0.0.1:{free_port()}"
    )
    assert health.served(away, "mlflow") == "does not answer yet"
    assert health.served(away, "airflow-scheduler") == "the api-server does not answer yet"


def test_a_container_is_asked_by_a_command_that_imports_little(contained: Settings) -> None:
    environ = {**airflow_environment(contained), "NIGHTSHIFT_MLFLOW": f"http://127.0.0.1:{free_port()}"}
    argv = [sys.executable, "-X", "importtime", "-m", "nightshift.platform.health", "mlflow"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "does not answer yet\n")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "urllib.request" in imported
    assert imported & {"airflow", "typer", "psycopg", "yaml", "pydantic", "mlflow"} == set()
