"""Folders, ports, generated secrets and the supervisor's file."""

import configparser
import json
import os
import shutil
import socket
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from nightshift.errors import PlatformError
from nightshift.platform import layout as places
from nightshift.platform import logins, processes, supervisor
from nightshift.platform.health import HEALTHY, LOOK, _airflow, look_problems, state, watched
from nightshift.platform.layout import Layout
from nightshift.platform.programs import NAMES, Program, programs
from nightshift.platform.supervisor import Running
from nightshift.settings import Settings


def test_the_programs_have_the_names_of_status(settings: Settings) -> None:
    layout = Layout(settings.var)
    layout.make()
    logins.ensure_secrets(layout)
    assert tuple(program.name for program in programs(settings)) == NAMES


def test_a_watcher_is_healthy_while_it_looks_whatever_it_sees(settings: Settings) -> None:
    layout, now = Layout(settings.var), time.time()
    layout.make()
    assert watched(settings, int(now)) == "no look yet"
    for at, health in ((now, HEALTHY), (now - 200, "no look yet"), (now - 3600, "no look yet")):
        (layout.run / LOOK).write_text(json.dumps({"at": at, "problems": ["a channel is down"]}))
        assert watched(settings, int(now) - 100) == health
    assert watched(settings, int(now) - 7200) == "no look for minutes"
    assert look_problems(settings) == ["a channel is down"]


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("http://127.0.0.1", "NIGHTSHIFT_MLFLOW"),
        ("http://127.0.0.1:70000", "NIGHTSHIFT_AIRFLOW"),
        ("https://127.0.0.1:5000", "NIGHTSHIFT_MLFLOW"),
        ("http://mlflow.example.org:5000", "NIGHTSHIFT_MLFLOW"),
        ("http://127.0.0.1:abc", "NIGHTSHIFT_AIRFLOW"),
    ],
)
def test_only_a_port_of_this_machine_can_be_served(url: str, variable: str) -> None:
    with pytest.raises(PlatformError) as caught:
        places.local_port(url, variable)
    assert str(caught.value) == (
        f"{variable} is '{url}', which is no server that `nightshift up` can start. "
        "Allowed: http://127.0.0.1:PORT, with a port from 1 to 65535. "
        f"What to do: correct {variable} or {variable}_PORT."
    )


@pytest.mark.process
def test_a_free_port_is_held_by_nobody_and_a_taken_one_by_us() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        server.listen(1)
        me = psutil.Process()
        assert processes.holder(port) == f"{me.name()} (process {me.pid})"
    assert processes.holder(port) is None


def test_folders_are_for_their_owner_alone(settings: Settings) -> None:
    layout = Layout(settings.var)
    old = os.umask(0)
    try:
        layout.make()
        logins.ensure_secrets(layout)
    finally:
        os.umask(old)
    folders = [layout.var, layout.run, layout.secrets, layout.logs, layout.airflow, layout.mlflow]
    assert [folder.stat().st_mode & 0o007 for folder in folders] == [0] * 6
    assert {path.stat().st_mode & 0o777 for path in layout.secrets.iterdir()} == {0o600}


def test_secrets_are_generated_once(settings: Settings) -> None:
    layout = Layout(settings.var)
    layout.make()
    logins.ensure_secrets(layout)
    first = {path.name: path.read_text() for path in layout.secrets.iterdir()}
    logins.ensure_secrets(layout)
    assert {path.name: path.read_text() for path in layout.secrets.iterdir()} == first
    shutil.rmtree(layout.secrets)
    layout.make()
    logins.ensure_secrets(layout)
    same = {path.name for path in layout.secrets.iterdir() if path.read_text() == first[path.name]}
    assert same == set()
    assert json.loads(first["mlflow"]).keys() == {"username", "password"}
    assert settings.database == (layout.secrets / "database").read_text().strip()
    assert settings.people == (layout.secrets / "people").read_text().strip()
    assert ("nightshift_writer:" in first["database"], "nightshift_people:" in first["people"]) == (True, True)
    password = urlsplit(first["people"].strip()).password
    assert [name for name, text in first.items() if password and password in text] == ["people"]
    assert not any("nightshift:" in text for text in first.values())  # the ledger's owner has no password


def test_every_login_has_a_password_before_airflow_makes_one_and_prints_it(settings: Settings) -> None:
    layout = Layout(settings.var)
    layout.make()
    logins.ensure_passwords(layout, ["admin", "ada"], {"admin": "chosen"})
    file = layout.secrets / "airflow-passwords.json"
    first = json.loads(file.read_text())
    assert (first["admin"], len(first["ada"]) >= 16, file.stat().st_mode & 0o777) == ("chosen", True, 0o600)
    logins.ensure_passwords(layout, ["admin", "ben"], {"admin": "another"})
    assert json.loads(file.read_text()) == {**first, "admin": "another", "ben": json.loads(file.read_text())["ben"]}
    logins.ensure_secrets(layout)
    assert json.loads(file.read_text())["ada"] == first["ada"]


def test_the_password_that_the_ledgers_owner_once_had_is_forgotten(settings: Settings) -> None:
    layout = Layout(settings.var)
    layout.make()
    logins.ensure_secrets(layout)
    passwords = json.loads((layout.secrets / "postgres.json").read_text())
    (layout.secrets / "postgres.json").write_text(json.dumps({**passwords, "nightshift": "of an earlier version"}))
    (layout.secrets / "database-owner").write_text("postgresql://nightshift:of%20an%20earlier%20version@/nightshift")
    logins.ensure_secrets(layout)
    assert json.loads((layout.secrets / "postgres.json").read_text()) == passwords
    assert not (layout.secrets / "database-owner").exists()
    assert [role.name for role in logins.postgres_roles(layout) if not role.password] == ["nightshift"]


def test_what_tasks_once_had_of_mlflow_is_its_servers_alone(settings: Settings, tmp_path: Path) -> None:
    """An earlier version gave tasks the administrator's login, and in containers the database's password."""
    layout, server = Layout(settings.var), Layout(tmp_path / "of mlflow")
    for made in (layout, server):
        made.make()
    roles = {"airflow": "of airflow", "mlflow": "of the database", "nightshift_writer": "of the ledger"}
    (layout.secrets / "postgres.json").write_text(json.dumps(roles))
    (layout.secrets / "mlflow").write_text('{"username": "admin", "password": "of the administrator"}')
    for name in ("mlflow-auth.ini", "mlflow.pgpass", "mlflow-secret-key"):
        for made in (layout, server):
            (made.secrets / name).write_text("of an earlier version")
    for _ in range(2):
        logins.ensure_secrets(layout, server, "chosen by people since")
        of_tasks = {path.name: path.read_text() for path in layout.secrets.iterdir()}
        assert [name for name, text in of_tasks.items() if "administrator" in text or "of the database" in text] == []
        assert {name for name in of_tasks if "mlflow" in name} == {"mlflow"}
        assert json.loads(of_tasks["mlflow"])["username"] == "nightshift"
        of_server = {path.name: path.read_text() for path in server.secrets.iterdir()}
        assert "admin_password = of the administrator\n" in of_server["mlflow-auth.ini"]
        assert of_server["mlflow.pgpass"] == "*:*:*:mlflow:of the database\n"
        assert of_server["mlflow"] == of_tasks["mlflow"]
        assert of_server["mlflow-secret-key"] == "of an earlier version"
        passwords = {role.name: role.password for role in logins.postgres_roles(layout, server)}
        assert passwords.pop("nightshift_people")
        assert passwords == {**roles, "nightshift": ""}


def test_tasks_take_no_persons_account_of_mlflow(settings: Settings, tmp_path: Path) -> None:
    """They write to the file of their login; MLflow's server gives whomever it names the password that it has."""
    layout, server = Layout(settings.var), Layout(tmp_path / "of mlflow")
    for made in (layout, server):
        made.make()
    logins.ensure_secrets(layout, server)
    (layout.secrets / "mlflow").write_text('{"username": "ada", "password": "chosen by a task"}')
    logins.ensure_secrets(layout, server)
    given = json.loads((server.secrets / "mlflow").read_text())
    assert given == {"username": "nightshift", "password": "chosen by a task"}


def test_the_supervisors_file_keeps_awkward_values(settings: Settings) -> None:
    layout = Layout(settings.var)
    program = Program("mlflow", ("run me", "100%", "a=b,c"), {"URL": "x%20y", "MORE": "a,b;c='d'"})
    text = supervisor.configuration(layout, [program], {"A": "1"})
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    assert parser["program:mlflow"]["command"] == '"run me" "100%%" "a=b,c"'
    assert parser["program:mlflow"]["environment"] == 'MORE="a,b;c=\'d\'",URL="x%%20y"'
    assert text != supervisor.configuration(layout, [program], {"A": "2"})
    assert text == supervisor.configuration(layout, [program], {"A": "1"})


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", "a ;b", "a #b"])
def test_what_the_supervisors_file_cannot_hold_is_refused(settings: Settings, value: str) -> None:
    with pytest.raises(PlatformError, match="cannot be written in the supervisor's configuration"):
        supervisor.configuration(Layout(settings.var), [Program("x", (value,))], {})


def test_another_users_folder_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(settings.var)
    layout.var.mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(PlatformError) as caught:
        layout.make()
    assert str(caught.value) == (
        f"var: {layout.var} belongs to another user. What to do: delete it, or set NIGHTSHIFT_VAR."
    )


def test_a_file_in_the_way_is_named(settings: Settings) -> None:
    settings.var.parent.mkdir(parents=True, exist_ok=True)
    settings.var.write_text("")
    with pytest.raises(
        PlatformError, match=rf"^var: {settings.var} cannot be made or closed to others \(File exists\)"
    ):
        Layout(settings.var).make()


def running(name: str, started: int) -> Running:
    return Running(name, "RUNNING", 7, started, "")


def answer(beat: str, status: str = "healthy", database: str = "healthy") -> str:
    scheduler = {"status": status, "latest_scheduler_heartbeat": beat}
    return json.dumps({"metadatabase": {"status": database}, "scheduler": scheduler})


def test_a_heartbeat_of_the_last_process_is_none() -> None:
    alive = {"airflow-scheduler": running("airflow-scheduler", 1_700_000_100)}
    before, after = "2023-11-14T22:13:20+00:00", "2023-11-14T22:15:10+00:00"
    assert _airflow(answer(before), alive) == {"airflow-scheduler": "no heartbeat yet"}
    assert _airflow(answer(after), alive) == {"airflow-scheduler": HEALTHY}
    assert _airflow(answer(after, "unhealthy"), alive) == {"airflow-scheduler": f"no heartbeat since {after}"}
    assert _airflow("", alive) == {"airflow-scheduler": "the api-server does not answer yet"}
    server = {"airflow-api-server": running("airflow-api-server", 0)}
    assert _airflow(answer(after, database="unhealthy"), server) == {"airflow-api-server": "cannot reach its database"}


def test_supervisors_words() -> None:
    one = running("x", 0)
    words = {word: state(replace(one, state=word)) for word in ("RUNNING", "STARTING", "BACKOFF", "FATAL", "STOPPED")}
    assert words == {
        "RUNNING": "running",
        "STARTING": "starting",
        "BACKOFF": "starting",
        "FATAL": "failed",
        "STOPPED": "stopped",
    }
    assert state(None) == "stopped"


def test_a_short_var_keeps_its_sockets() -> None:
    assert Layout(Path("/srv/n")).run == Path("/srv/n/run")
