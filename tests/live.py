"""The fixture of a real platform: one for the session, on ports and in folders of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from nightshift.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
COPIED = ("dags", "plugins", "spark_jobs", "include/pipelines")
# What tests wait for comes sooner than on an operator's platform, and one that waits takes less of the processor.
PACE = {
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "3",
    # The second person approves what the first one orders.
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,ada:user,olaf:op,vic:viewer",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "8",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "8",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
}


_END_BACKFILLS = """
UPDATE backfill b SET completed_at = now()
WHERE completed_at IS NULL
    AND EXISTS (SELECT 1 FROM backfill_dag_run r WHERE r.backfill_id = b.id)
    AND NOT EXISTS (SELECT 1 FROM dag_run d WHERE d.backfill_id = b.id AND d.state IN ('running', 'queued'))
"""


@dataclass
class Live:
    """A running platform. Its project is a copy, so that a test may add, change and break specs.

    ``datagrams`` are the StatsD messages that its processes have sent so far.
    """

    settings: Settings
    environment: dict[str, str]
    datagrams: list[str] = field(default_factory=list)

    def run(self, *argv: str, check: bool = True, timeout: float = 300) -> "subprocess.CompletedProcess[str]":
        """Runs a command of the environment as an operator would; ``airflow``, ``nightshift``, …"""
        command = [str(Path(sys.executable).parent / argv[0]), *argv[1:]]
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            cwd="/",
            umask=0o077,
        )
        assert done.returncode == 0 or not check, f"{argv} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def airflow(self, *arguments: str) -> Any:
        """What an ``airflow … -o json`` command says."""
        return json.loads(self.run("airflow", *arguments, "-o", "json").stdout)

    def api(self, path: str, method: str = "GET", document: Any = None, user: str = "admin") -> Any:
        """The answer of Airflow's REST API to its admin or another user, for example of ``/api/v2/dags``."""
        return self._ask(method, path, document, self.bearer(user))

    def cookies(self, user: str = "admin") -> dict[str, str]:
        """The cookie that a person's browser has after the login page."""
        return {"_token": self._token(user)}

    def bearer(self, user: str) -> dict[str, str]:
        """The header of a program in which a person has signed in."""
        return {"Authorization": f"Bearer {self._token(user)}"}

    def end_backfills(self) -> None:
        """Does at once what Airflow does every 30 seconds: completes the backfills whose runs are all over.

        It allows no other backfill of their DAGs before that, and has no setting for it.
        """
        from nightshift.platform.layout import Layout
        from nightshift.platform.postgres import connect

        with connect(Layout(self.settings.var).cluster, "airflow") as connection:
            connection.execute(_END_BACKFILLS)

    def _token(self, user: str) -> str:
        passwords = json.loads((self.settings.var / "secrets" / "airflow-passwords.json").read_text())
        login = {"username": user, "password": passwords[user]}
        return str(self._ask("POST", "/auth/token", login, {})["access_token"])

    def _ask(self, method: str, path: str, document: Any, headers: dict[str, str]) -> Any:
        url = f"{self.settings.airflow_url}{path}"
        answer = requests.request(method, url, json=document, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def copied_project(folder: Path) -> Path:
    """A project folder with the repository's DAGs, plugins, specs and Spark jobs."""
    for name in COPIED:
        source = PROJECT / name
        if source.exists():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / name).mkdir(parents=True)
    return folder


def live_settings(folder: Path, **environ: str) -> Settings:
    """Settings of a platform in ``folder``, on free ports."""
    return Settings.from_env(
        {
            "NIGHTSHIFT_HOME": str(folder / "project"),
            "NIGHTSHIFT_VAR": str(folder / "var"),
            "NIGHTSHIFT_AIRFLOW_PORT": str(free_port()),
            "NIGHTSHIFT_MLFLOW_PORT": str(free_port()),
            **environ,
        }
    )


# The tests that will use the platform, each with its group: in a process of pytest-xdist only tests of one group run.
_left: dict[str, str] = {}


def pytest_configure() -> None:
    """Sets the pace of every platform that is started here, and by what is started here."""
    os.environ.update(PACE)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Notes who will use the platform."""
    for item in session.items:
        if "live_platform" in getattr(item, "fixturenames", ()):
            mark = item.get_closest_marker("xdist_group") if hasattr(session.config, "workerinput") else None
            _left[item.nodeid] = mark.args[0] if mark else ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Ends the platform after the last test of its group, the next one has its own: idle it takes a third of a core."""
    yield
    group = _left.pop(item.nodeid, None)
    if group is not None and group not in _left.values():
        request: Any = item._request  # type: ignore[attr-defined]
        request._get_active_fixturedef("live_platform").finish(request)


@pytest.fixture(scope="session")
def live_platform() -> Iterator[Live]:
    """A platform with everything healthy."""
    with running_platform(Path(tempfile.mkdtemp(prefix="nslive-")).resolve()) as live:
        yield live


@contextmanager
def running_platform(folder: Path, **environ: str) -> Iterator[Live]:
    """A platform in a folder, which is removed with it. Its processes are not measured: a third more cpu."""
    from nightshift.platform.environment import process_environment
    from nightshift.platform.local import down, up

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(0.2)
        port = str(statsd.getsockname()[1])
        settings = live_settings(folder, NIGHTSHIFT_STATSD_HOST="127.0.0.1", NIGHTSHIFT_STATSD_PORT=port, **environ)
        copied_project(settings.home)
        with _unmeasured():
            live, ended = Live(settings, process_environment(settings)), threading.Event()
        listener = threading.Thread(target=_listen, args=(statsd, live.datagrams, ended), daemon=True)
        listener.start()
        try:
            with _unmeasured():
                up(settings)
            yield live
        finally:
            down(settings)
            ended.set()
            listener.join()
            shutil.rmtree(folder, ignore_errors=True)


def rows_of(live: Live, *databases: str) -> Iterator[tuple[str, str]]:
    """Every row of every table of these databases, as text, with the table's name."""
    from psycopg import sql

    from nightshift.platform.layout import Layout
    from nightshift.platform.postgres import connect

    cluster = Layout(live.settings.var).cluster
    for database in databases:
        with connect(cluster, database) as connection:
            names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (name,) in names:
                rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name)))
                yield from ((f"{database}.{name}", str(row[0])) for row in rows)


@contextmanager
def _unmeasured() -> Iterator[None]:
    """Processes started meanwhile do not measure their coverage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


def _listen(statsd: socket.socket, datagrams: list[str], ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            datagrams += statsd.recv(65_535).decode().splitlines()
        except TimeoutError:
            continue
