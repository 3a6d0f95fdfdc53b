"""A real MLflow server with a login, once for the session."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from nightshift.settings import Settings

_ADMIN = ("admin", "password of tests alone")
_TASKS = {"username": "nightshift", "password": "another of tests alone"}


@dataclass(frozen=True)
class MlflowServer:
    """Where it answers, the file with the login of tasks, and the administrator's login."""

    uri: str
    login_file: Path
    admin: tuple[str, str] = _ADMIN

    def by_admin(self, settings: Settings) -> Settings:
        """The settings of an administrator, who may delete what tasks may not."""
        file = self.login_file.with_name("admin")
        file.write_text(json.dumps(dict(zip(("username", "password"), self.admin, strict=True))))
        return replace(settings, mlflow_login_file=file)

    def settings(self, settings: Settings, env: str) -> Settings:
        """The settings, with this server; an ``env`` of its own keeps a test's models apart."""
        return replace(settings, mlflow_uri=self.uri, mlflow_login_file=self.login_file, env=env)


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[MlflowServer]:
    """A running server on SQLite."""
    folder = Path(tempfile.mkdtemp(prefix="nsmlflow-"))
    port, process = _free_port(), None
    try:
        login_file = folder / "login"
        login_file.write_text(json.dumps(_TASKS))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "nightshift.platform.mlflow_account", str(login_file),
                 sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "127.0.0.1",
                 "--port", str(port), "--workers", "1"],
                env=_environment(folder), cwd=folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        _wait(port, process, folder / "log")
        yield MlflowServer(f"http://127.0.0.1:{port}", login_file)
    finally:
        if process:
            os.killpg(process.pid, signal.SIGKILL)  # its worker is a process of its own; nothing is kept
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _environment(folder: Path) -> dict[str, str]:
    config = folder / "auth.ini"
    config.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {_ADMIN[0]}\nadmin_password = {_ADMIN[1]}\n"
        "auth_cache_ttl_seconds = 600\n"  # the password is hashed anew for every request otherwise
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    return {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
        "MLFLOW_ARTIFACTS_DESTINATION": str(folder / "artifacts"),
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of tests alone",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the MLflow server is not up: {log.read_text()[-2000:]}")
