"""What docker-compose.yaml promises: checked from the file, and by compose itself where it is installed."""

import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightshift.platform.containers import OBJECTS
from tests.conftest import PROJECT
from tests.needs import needs

FILE = PROJECT / "docker-compose.yaml"
EXAMPLE = PROJECT / ".env.example"
ONE_SHOT = {"airflow-init", "k3s-account"}
# A container runtime, and what reads its admin's kubeconfig.
ROOT = {"k3s", "k3s-account"}
SECRETS = {
    "POSTGRES_PASSWORD_FILE",
    "AIRFLOW_PASSWORD_FILE",
    "MLFLOW_PASSWORD_FILE",
    "GRAFANA_PASSWORD_FILE",
    "OBJECT_STORE_KEY_FILE",
    "UPSTREAM_KEY_FILE",
}
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
EXAMPLES = dict(re.findall(r"^([A-Z_0-9]+)=(.*)$", EXAMPLE.read_text(), flags=re.MULTILINE))


def has_compose() -> bool:
    """Whether `docker compose config` can be asked, for which no engine is needed."""
    return (
        bool(shutil.which("docker"))
        and not subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    )


needs_compose = needs(has_compose(), "no docker compose v2", "compose itself reads docker-compose.yaml as it is meant")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project's folder with the file, and what `make compose-env` makes."""
    for name in ("docker-compose.yaml", ".env.example"):
        shutil.copy(PROJECT / name, tmp_path)
    argv = ["sh", str(PROJECT / "include" / "docker" / "compose-env.sh"), str(tmp_path)]
    subprocess.run(argv, check=True, capture_output=True)
    return tmp_path


def config(folder: Path) -> "subprocess.CompletedProcess[str]":
    """What compose makes of the file, by `.env` alone."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_CONFIG") if name in os.environ}
    argv = ["docker", "compose", "--profile", "kubernetes", "config"]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, env=kept)


def test_the_example_names_exactly_the_variables_of_the_file() -> None:
    used = set(re.findall(r"\$\{([A-Z_0-9]+)", FILE.read_text()))
    assert used == set(EXAMPLES)


def test_the_example_has_the_defaults_of_the_file_and_no_secret() -> None:
    defaults = dict(re.findall(r"\$\{([A-Z_0-9]+):-([^}]*)\}", FILE.read_text()))
    assert {name: value for name, value in EXAMPLES.items() if value} == defaults
    assert {name for name, value in EXAMPLES.items() if not value} == SECRETS


def test_every_variable_of_the_example_is_explained() -> None:
    lines = EXAMPLE.read_text().splitlines()
    # Ports have one explanation in common.
    bare = [
        line
        for before, line in pairwise(lines)
        if re.match(r"[A-Z_]+=", line) and not before.startswith("#") and not re.match(r"(TASK|[A-Z]+_PORT)", line)
    ]
    assert bare == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_limited_checked_and_started_again(name: str) -> None:
    service = SERVICES[name]
    tag = service["image"].partition(":")[2]
    assert tag == "${NIGHTSHIFT_VERSION:-0.1.0}" or re.match(r"v?\d+\.\d+\.\d+|18\.6-bookworm", tag), tag
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["restart"] == ("no" if name in ONE_SHOT else "unless-stopped")
    check = service["healthcheck"]
    assert check == {"disable": True} if name in ONE_SHOT else check["test"][0] == "CMD"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ROOT))
def test_no_service_is_root_or_may_become_it(name: str) -> None:
    service = SERVICES[name]
    assert int(service["user"].partition(":")[0]) > 0
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    # Postgres writes where it pleases in its own container; no other does.
    assert service.get("read_only", False) == (name != "postgres")


def test_ports_are_this_machines_alone_unless_told() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert [port for port in ports if not port.startswith("${BIND_ADDRESS:-127.0.0.1}:")] == []


def test_every_volume_is_named_and_used() -> None:
    named = set(yaml.safe_load(FILE.read_text())["volumes"])
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert {name for name in mounted if not name.startswith((".", "$"))} == named


def test_the_api_server_alone_has_the_login_of_people() -> None:
    """Whatever runs tasks, or parses what data scientists wrote, mounts and knows nothing of it."""
    mounted = {
        name: [volume for volume in service.get("volumes", []) if volume.startswith("people:")]
        for name, service in SERVICES.items()
    }
    assert {name: volumes for name, volumes in mounted.items() if volumes} == {
        "airflow-init": ["people:/var/lib/nightshift-people"],
        "airflow-api-server": ["people:/var/lib/nightshift-people:ro"],
    }
    told = [name for name, service in SERVICES.items() if "NIGHTSHIFT_PEOPLE_FILE" in service.get("environment", {})]
    assert sorted(told) == ["airflow-api-server", "airflow-init"]


def test_every_mounted_file_is_there() -> None:
    mounted = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert [name for name in mounted if name.startswith("./") and not (PROJECT / name).exists()] == []


@pytest.mark.process
def test_the_environment_is_made_once_and_keeps_its_passwords(folder: Path) -> None:
    before = (folder / ".env").read_text()
    secrets = sorted((folder / "var" / "compose-secrets").iterdir())
    assert len(secrets) == len(SECRETS)
    assert len({file.read_text() for file in secrets}) == len(SECRETS)
    assert all(len(file.read_text()) == 48 for file in secrets)
    assert (folder / "var" / "compose-secrets").stat().st_mode & 0o777 == 0o700
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    kept = [file.read_text() for file in secrets]
    subprocess.run(
        ["sh", str(PROJECT / "include" / "docker" / "compose-env.sh"), str(folder)], check=True, capture_output=True
    )
    assert (folder / ".env").read_text() == before
    assert [file.read_text() for file in secrets] == kept


@pytest.mark.process
def test_a_secret_of_a_later_version_is_added(folder: Path) -> None:
    lines = (folder / ".env").read_text().splitlines()
    (folder / ".env").write_text("".join(f"{line}\n" for line in lines if not line.startswith("UPSTREAM")))
    argv = ["sh", str(PROJECT / "include" / "docker" / "compose-env.sh"), str(folder)]
    subprocess.run(argv, check=True, capture_output=True)
    assert "UPSTREAM_KEY_FILE=./var/compose-secrets/upstream-key" in (folder / ".env").read_text().splitlines()


def test_upstreams_key_is_the_object_stores_alone() -> None:
    assert SERVICES["airflow-init"]["environment"][OBJECTS] == "/objects"
    assert [name for name, service in SERVICES.items() if "upstream_key" in service.get("secrets", [])] == [
        "object-store"
    ]


@needs_compose
@pytest.mark.process
def test_compose_takes_it(folder: Path) -> None:
    done = config(folder)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    assert set(found["services"]) == set(SERVICES)
    secrets = [file.read_text() for file in (folder / "var" / "compose-secrets").iterdir()]
    assert [secret for secret in secrets if secret in done.stdout] == []


@needs_compose
@pytest.mark.process
@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_missing_secret_is_an_error_that_names_its_variable(folder: Path, name: str) -> None:
    text = (folder / ".env").read_text()
    (folder / ".env").write_text(re.sub(rf"^{name}=.*$", f"{name}=", text, flags=re.MULTILINE))
    done = config(folder)
    assert done.returncode != 0
    assert f"required variable {name} is missing a value: name a file that holds" in done.stderr
