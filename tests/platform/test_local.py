"""The platform as one, live: these tests start real servers and kill some of them."""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
import requests

from nightshift.actor import system_account
from nightshift.errors import PlatformError
from nightshift.platform import health, local, processes, supervisor
from nightshift.platform.layout import Layout
from nightshift.settings import Settings
from nightshift.upkeep_record import last_stop
from tests.live import Live, free_port, live_settings, rows_of
from tests.needs import needs

pytestmark = pytest.mark.platform

COMPONENTS = [
    "supervisor",
    "postgres",
    "mlflow",
    "airflow-scheduler",
    "airflow-api-server",
    "airflow-dag-processor",
    "airflow-triggerer",
    "watcher",
]


def pids(settings: Settings) -> dict[str, int]:
    return {component.name: component.pid for component in local.status(settings)}


def wait(until: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.2)


def test_everything_is_healthy_and_said_as_json(live_platform: Live) -> None:
    components = [asdict(component) for component in local.status(live_platform.settings)]
    assert [component["name"] for component in components] == COMPONENTS
    assert {(component["state"], component["health"]) for component in components} == {("running", "healthy")}
    assert json.loads(json.dumps(components)) == components
    assert all(Path(component["log"]).is_file() for component in components)


def test_up_again_changes_nothing_and_is_quick(live_platform: Live) -> None:
    before, lines, began = pids(live_platform.settings), [], time.monotonic()
    local.up(live_platform.settings, lines.append)
    assert time.monotonic() - began < 15
    assert pids(live_platform.settings) == before
    assert lines[0] == "postgres: ready"
    assert lines[-1].startswith("up after ")


def test_it_listens_on_loopback_alone(live_platform: Live) -> None:
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in processes.of_platform(Layout(live_platform.settings.var))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    servers = {component.port for component in local.status(live_platform.settings) if component.port}
    assert {address for address, _ in listening} == {"127.0.0.1"}
    assert servers <= {port for _, port in listening}


def secrets_of(settings: Settings) -> set[str]:
    folder = Layout(settings.var).secrets
    documents = [
        json.loads((folder / name).read_text())
        for name in ("postgres.json", "airflow-passwords.json", "mlflow", "mlflow-admin")
    ]
    ends = ("-key", "-jwt-secret", "removed-rows", "mlflow-database")
    keys = {path.read_text() for path in folder.iterdir() if path.name.endswith(ends)}
    return keys | {
        value for document in documents for value in document.values() if value not in ("admin", "nightshift")
    }


def test_secrets_are_closed_and_in_no_argv(live_platform: Live) -> None:
    layout = Layout(live_platform.settings.var)
    assert {path.stat().st_mode & 0o777 for path in layout.secrets.iterdir()} == {0o600}
    assert layout.var.stat().st_mode & 0o007 == 0
    secrets = secrets_of(live_platform.settings)
    assert len(secrets) == 14
    shown = " ".join(" ".join(process.cmdline()) for process in processes.of_platform(layout))
    shown += json.dumps([asdict(component) for component in local.status(live_platform.settings)])
    shown += "".join(path.read_text() for path in layout.logs.iterdir())
    assert [secret for secret in secrets if secret in shown] == []


def test_nothing_of_var_is_open_to_others(live_platform: Live) -> None:
    layout = Layout(live_platform.settings.var)
    passed = {layout.var, layout.run} if layout.cluster.account else set()  # root's Postgres runs as another user
    own_user = [layout.cluster.data, layout.cluster.sockets]
    by_tests = [layout.var / name for name in ("landing", "lake", "models", "reports")]
    open_to_others = []
    for path in (layout.var, *layout.var.rglob("*")):
        if path.is_symlink() or any(path.is_relative_to(folder) for folder in (*own_user, *by_tests)):
            continue
        allowed = 0o010 if path in passed else 0
        with suppress(FileNotFoundError):
            if path.lstat().st_mode & 0o077 & ~allowed:
                open_to_others.append(f"{path.relative_to(layout.var)} {path.lstat().st_mode & 0o777:o}")
    assert open_to_others == []
    # The way to both is closed to all but Postgres' own user, and so is what holds rows.
    assert layout.cluster.data.stat().st_mode & 0o077 == 0


def test_no_secret_is_in_a_table_of_airflow_or_mlflow(live_platform: Live) -> None:
    secrets = secrets_of(live_platform.settings)
    assert [
        name for name, row in rows_of(live_platform, "airflow", "mlflow") if any(key in row for key in secrets)
    ] == []


def test_the_printed_environment_is_all_that_airflow_needs(live_platform: Live) -> None:
    from nightshift.platform.environment import shell_exports

    exports = shell_exports(live_platform.settings)
    assert [secret for secret in secrets_of(live_platform.settings) if secret in exports] == []
    script = f"{exports}\nairflow pools list -o json"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    pools = {pool["pool"]: pool["slots"] for pool in json.loads(done.stdout)}
    assert pools == {"default_pool": "128", "nightshift_spark": "2"}


def test_the_logins_work_and_are_needed(live_platform: Live) -> None:
    assert live_platform.api("/api/v2/pools")["total_entries"] == 2
    assert requests.get(f"{live_platform.settings.airflow_url}/api/v2/pools", timeout=30).status_code == 401
    experiment = f"{live_platform.settings.mlflow_uri}/api/2.0/mlflow/experiments/get?experiment_id=0"
    assert requests.get(experiment, timeout=30).status_code == 401
    secrets = Layout(live_platform.settings.var).secrets
    assert live_platform.settings.mlflow_login_file == secrets / "mlflow"
    create = f"{live_platform.settings.mlflow_uri}/api/2.0/mlflow/users/create"
    for name, username, refused in (("mlflow", "nightshift", {403}), ("mlflow-admin", "admin", {200, 400})):
        login = json.loads((secrets / name).read_text())
        assert login["username"] == username
        auth = (login["username"], login["password"])
        assert requests.get(experiment, auth=auth, timeout=30).json()["experiment"]["name"] == "Default"
        # An administrator is told what is wrong with the user; tasks, that they may not make one.
        made = requests.post(create, json={"username": "eve", "password": "short"}, auth=auth, timeout=30)
        assert made.status_code in refused


def test_the_writer_may_write_the_ledger_and_nothing_else(live_platform: Live) -> None:
    import psycopg

    with psycopg.connect(live_platform.settings.database) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == (
            "nightshift_writer",
            "nightshift",
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine (x int)")


def test_a_killed_postgres_is_started_again(live_platform: Live) -> None:
    settings = live_platform.settings
    before = pids(settings)["postgres"]
    psutil.Process(before).kill()
    wait(lambda: pids(settings)["postgres"] not in (0, before))
    local.up(settings, lambda line: None)
    assert {component.health for component in local.status(settings)} == {health.HEALTHY}


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        settings = live_settings(tmp_path, NIGHTSHIFT_MLFLOW_PORT=str(port))
        with pytest.raises(PlatformError) as caught:
            local.up(settings, lambda line: None)
    holder = f"{psutil.Process().name()} (process {psutil.Process().pid})"
    assert str(caught.value) == (
        f"mlflow: port {port} is taken by {holder}. What to do: stop it, or set NIGHTSHIFT_MLFLOW_PORT to a free port."
    )
    assert processes.of_platform(Layout(settings.var)) == []
    shutil.rmtree(Layout(settings.var).run)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folder: another session would close that to the user of root's Postgres."""
    made = Path(tempfile.mkdtemp(prefix="nshalf-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def half_up(folder: Path) -> Iterator[Settings]:
    """A supervisor with Postgres and a program that ignores SIGTERM in place of Airflow and MLflow."""
    from nightshift.platform.environment import process_environment
    from nightshift.platform.logins import ensure_secrets
    from nightshift.platform.programs import programs

    settings = live_settings(folder / ("deep" * 30))
    layout = Layout(settings.var)
    layout.make()
    ensure_secrets(layout)
    stubborn = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
    (folder / "stubborn.py").write_text(stubborn)
    found = programs(settings)
    stub = replace(found[1], argv=(sys.executable, str(folder / "stubborn.py")), stop_seconds=1, start_seconds=1)
    config = supervisor.configuration(layout, (found[0], stub), {})
    local.postgres.initialise(layout.cluster)
    with (layout.cluster.data / "postgresql.auto.conf").open("a") as settings_of_postgres:
        settings_of_postgres.write("autovacuum = off\n")  # its workers come and go; tests count processes
    supervisor.start(layout, config, process_environment(settings))
    for name in ("postgres", "mlflow"):
        supervisor.start_program(layout, name)
    local.postgres.wait_until_ready(layout.cluster)
    wait(lambda: {one.state for one in supervisor.running(layout).values()} == {"RUNNING"})
    yield settings
    processes.end(layout, processes.of_platform(layout), seconds=1)
    shutil.rmtree(layout.run, ignore_errors=True)


def postgres_was_shut_down(layout: Layout) -> bool:
    program = Path(layout.cluster.argv()[0]).with_name("pg_controldata")
    said = subprocess.run([program, layout.cluster.data], capture_output=True, text=True, check=True).stdout
    return re.search(r"^Database cluster state: +shut down$", said, re.MULTILINE) is not None


def test_down_leaves_no_process(half_up: Settings) -> None:
    layout = Layout(half_up.var)
    assert len(processes.of_platform(layout)) > 3
    lines: list[str] = []
    local.down(half_up, lines.append)
    assert processes.of_platform(layout) == []
    assert lines == ["down"]
    assert postgres_was_shut_down(layout)
    said = last_stop(half_up)
    assert said.startswith("stopped last at 2")
    assert said.endswith(f" by {system_account()}")
    local.down(half_up, lines.append)
    assert lines == ["down", "nothing was running"]
    assert last_stop(half_up) == said
    folder = half_up.var / "_upkeep"
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}


def test_down_leaves_no_process_when_the_supervisor_was_killed(half_up: Settings) -> None:
    layout = Layout(half_up.var)
    psutil.Process(pids(half_up)["supervisor"]).kill()
    wait(lambda: not supervisor.answers(layout))
    left = processes.of_platform(layout)
    shown, *others = local.status(half_up)
    assert {component.state for component in others} == {"unknown"}
    assert (shown.state, shown.pid) == ("orphaned", 0)
    assert shown.health == f"{len(left)} processes run without it: `nightshift down` ends them"
    lines: list[str] = []
    local.down(half_up, lines.append)
    assert processes.of_platform(layout) == []
    assert not any(process.is_running() for process in left)
    assert lines == [f"the supervisor is gone; ending {len(left)} processes that it left", "down"]
    assert postgres_was_shut_down(layout)


def test_a_deep_var_has_its_sockets_elsewhere(half_up: Settings) -> None:
    layout = Layout(half_up.var)
    assert len(str(layout.var / "run" / "postgres")) > 107
    assert layout.run.parent == Path("/tmp")  # noqa: S108
    assert layout.run.stat().st_mode & 0o007 == 0


def test_a_program_that_does_not_stay_up_is_named_with_its_log(half_up: Settings) -> None:
    layout = Layout(half_up.var)
    supervisor.stop_program(layout, "mlflow")
    wait(lambda: not supervisor.running(layout)["mlflow"].pid)
    (half_up.var.parents[1] / "stubborn.py").write_text("raise SystemExit('no such model store')")
    supervisor.start_program(layout, "mlflow")
    with pytest.raises(PlatformError) as caught:
        local._wait_until_healthy(half_up, layout, lambda line: None, time.monotonic())
    log = layout.log("mlflow")
    assert str(caught.value).startswith(f"mlflow: does not stay up; the end of {log}:\n  no such model store\n")


def test_status_of_nothing(tmp_path: Path) -> None:
    components = local.status(live_settings(tmp_path))
    assert [component.name for component in components] == COMPONENTS
    assert {(component.state, component.pid, component.health) for component in components} == {("stopped", 0, "")}


def test_ports_are_those_of_the_settings(tmp_path: Path) -> None:
    port = free_port()
    found = {one.name: one.port for one in local.status(live_settings(tmp_path, NIGHTSHIFT_AIRFLOW_PORT=str(port)))}
    assert found["airflow-api-server"] == port


TASK_MODULES = "great_expectations, mlflow, pandas, xgboost, deltalake, pyarrow"
PRELOADED_DAG = f'''
from datetime import datetime
from airflow.sdk import DAG, task

with DAG("preloaded", schedule=None, start_date=datetime(2024, 1, 1)):
    @task
    def look() -> list[str]:
        import os, sys
        assert "NIGHTSHIFT_PRELOAD" not in os.environ
        assert "preload" not in os.environ["PYTHONPATH"]
        return [name for name in "{TASK_MODULES}".split(", ") if name in sys.modules]

    look()
'''


@needs(sys.platform != "darwin", "tasks are not forked on macOS", "a task finds its modules imported")
def test_a_task_finds_its_modules_imported(live_platform: Live) -> None:
    (live_platform.settings.home / "dags" / "preloaded.py").write_text(PRELOADED_DAG)
    wait(lambda: any(dag["dag_id"] == "preloaded" for dag in live_platform.airflow("dags", "list")))
    live_platform.run("airflow", "dags", "trigger", "preloaded", "--run-id", "one")
    runs = "/api/v2/dags/preloaded/dagRuns/one"
    wait(lambda: live_platform.api(runs)["state"] in ("success", "failed"))
    found = live_platform.api(f"{runs}/taskInstances/look/xcomEntries/return_value")["value"]
    assert found == TASK_MODULES.split(", ")


def test_its_processes_send_metrics_with_tags(live_platform: Live) -> None:
    wait(lambda: any(line.startswith("airflow.scheduler_heartbeat") for line in live_platform.datagrams))
    assert any(
        line.startswith("airflow.pool.open_slots,pool_name=nightshift_spark:") for line in live_platform.datagrams
    )


def test_changed_settings_restart_what_runs_with_the_old_ones(half_up: Settings) -> None:
    from nightshift.platform.programs import NAMES, programs

    layout, lines = Layout(half_up.var), []
    before = pids(half_up)["supervisor"]
    local._ensure_supervisor(half_up, layout, programs(half_up), lines.append)
    assert lines == ["settings have changed: stopping what runs with the old ones"]
    assert pids(half_up)["supervisor"] not in (0, before)
    assert {name: one.state for name, one in supervisor.running(layout).items()} == dict.fromkeys(NAMES, "STOPPED")
    local._ensure_supervisor(half_up, layout, programs(half_up), lines.append)
    assert len(lines) == 1


def test_what_a_killed_supervisor_left_is_ended_before_a_new_start(half_up: Settings) -> None:
    from nightshift.platform.programs import programs

    layout, lines = Layout(half_up.var), []
    psutil.Process(pids(half_up)["supervisor"]).kill()
    wait(lambda: not supervisor.answers(layout))
    left = processes.of_platform(layout)
    local._ensure_supervisor(half_up, layout, programs(half_up), lines.append)
    assert lines[0] == f"the supervisor is gone; ending {len(left)} processes that it left"
    assert not any(process.is_running() for process in left)
    assert pids(half_up)["supervisor"]


def test_a_postgres_that_does_not_start_shows_its_log(half_up: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(half_up.var)
    supervisor.stop_program(layout, "postgres")
    wait(lambda: not supervisor.running(layout)["postgres"].pid)
    (layout.cluster.data / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    monkeypatch.setattr(local.postgres.wait_until_ready, "__defaults__", (2,))
    with pytest.raises(PlatformError) as caught:
        local._start_postgres(half_up, layout, lambda line: None)
    assert str(caught.value).startswith("postgres: Postgres does not answer after 2 s: ")
    assert 'unrecognized configuration parameter "no_such_setting"' in str(caught.value)
