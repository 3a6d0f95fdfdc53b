"""A copy of the project whose platform runs in containers, with a compose project, folders and ports of its own."""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.live import free_port

COPIED = ("Makefile", "docker-compose.yaml", ".env.example", ".dockerignore", "README.md", "pyproject.toml")
FOLDERS = ("include", "dags", "plugins", "spark_jobs")
STARTED = (
    *("postgres", "object-store", "mlflow", "airflow-api-server", "airflow-scheduler", "airflow-dag-processor"),
    *("airflow-triggerer", "statsd-exporter", "prometheus"),
)


@dataclass
class Containers:
    """A project in containers: its folder, the variables of its commands, what each command said."""

    folder: Path
    environment: dict[str, str]
    said: dict[str, str]

    def take(self, source: Path) -> None:
        """Replace the code by that of a checkout, as a pull would. What the platform keeps stays."""
        for name in (*COPIED, *(path.name for path in source.glob("requirements*.txt"))):
            shutil.copy(source / name, self.folder)
        for name in FOLDERS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source / name, self.folder / name, ignore=ignored)

    def run(self, line: str) -> str:
        """What a command prints, which must succeed."""
        return self._run(line).stdout

    def all_of(self, line: str) -> str:
        """What a command prints, and its progress; it must succeed."""
        done = self._run(line)
        return done.stdout + done.stderr

    def _run(self, line: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            shlex.split(line), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done

    def port(self, name: str) -> str:
        return self.environment[f"{name}_PORT"]

    def inspect(self) -> dict[str, Any]:
        """What the engine knows of each container, by service."""
        ids = self.run("docker compose ps --all --quiet").split()
        found = json.loads(self.run(f"docker inspect {' '.join(ids)}"))
        return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in found}

    def secrets(self) -> list[str]:
        """The five passwords that people choose."""
        return [file.read_text() for file in (self.folder / "var" / "compose-secrets").iterdir()]

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers."""
        url = f"http://127.0.0.1:{self.port('PROMETHEUS')}/api/v1/query"
        answer = requests.get(url, params={"query": query}, timeout=10).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])


@contextmanager
def containers_of(source: Path) -> Iterator[Containers]:
    """The code of a checkout, ready for the commands of docs/compose.md. Everything is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="nscompose-"))
    ports = {f"{name}_PORT": str(free_port()) for name in ("AIRFLOW", "MLFLOW", "PROMETHEUS", "GRAFANA")}
    own = {"COMPOSE_PROJECT_NAME": folder.name.lower(), "SERVICES": " ".join(STARTED), **ports}
    project = Containers(folder, {**os.environ, **own}, {})
    project.take(source)
    try:
        yield project
    finally:
        # Not the demonstration's: this project alone.
        subprocess.run(["docker", "compose", "down", "--volumes"], cwd=folder, env=project.environment, check=False)
        shutil.rmtree(folder)
