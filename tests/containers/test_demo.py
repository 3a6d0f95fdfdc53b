"""The platform in containers, by the commands of docs/compose.md: real nights, and what is seen of them from outside.

Needs docker, compose and the images: where there is no registry `tests/compose/stand_ins/build` makes them.
A project, folders and ports of its own. Grafana and k3s are not started.
"""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest
import requests

from tests.conftest import PROJECT
from tests.containers.project import STARTED, Containers, containers_of
from tests.unit.cli.test_advice import advised
from tests.waiting import until

pytestmark = pytest.mark.timeout(3600)

DOCUMENT = PROJECT / "docs" / "compose.md"
# What `make demo` says on the same flights, whatever the machine.
NIGHTS = {"2013-03-04": (977, "1"), "2013-03-15": (979, "1"), "2013-03-17": (907, "2")}


def shown() -> list[str]:
    """The commands of the document, but those that it says are not run."""
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines if "# not run: " not in line]


@pytest.fixture(scope="module")
def containers() -> Iterator[Containers]:
    """The project after every command of the document, in their order."""
    with containers_of(PROJECT) as project:
        for line in shown():
            project.said[line] = project.run(line)
        yield project


def test_the_nights_are_those_of_the_demonstration(containers: Containers) -> None:
    rows = [line.split() for line in containers.said["make compose-demo"].splitlines() if line.startswith("2013-")]
    assert len(rows) == 14
    found = {row[0]: (int(row[3]), row[4]) for row in rows}
    assert {day: found[day] for day in NIGHTS} == NIGHTS


def test_again_everything_is_up_to_date(containers: Containers) -> None:
    again = subprocess.run(
        ["make", "compose-demo"],
        cwd=containers.folder,
        env=containers.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "everything is up to date: nothing was retrained, built or scored" in again.stdout + again.stderr


def test_every_service_is_healthy_and_limited(containers: Containers) -> None:
    found = containers.inspect()
    assert set(found) == {*STARTED, "airflow-init"}
    assert found["airflow-init"]["State"]["ExitCode"] == 0
    for name in STARTED:
        until(lambda name=name: containers.inspect()[name]["State"]["Health"]["Status"] == "healthy", seconds=120)
        assert found[name]["HostConfig"]["Memory"] > 0
        assert found[name]["HostConfig"]["NanoCpus"] > 0
        assert not found[name]["State"]["OOMKilled"]


def test_no_process_is_roots(containers: Containers) -> None:
    for name, item in containers.inspect().items():
        if name == "airflow-init":
            continue
        lines = containers.run(f"docker top {item['Id']} -o pid,uid").splitlines()[1:]
        users = {line.split()[1] for line in lines}
        assert users, name
        assert "0" not in users, name


def test_no_password_is_seen_from_outside(containers: Containers) -> None:
    secrets = containers.secrets()
    assert len(set(secrets)) == 6
    told = json.dumps(containers.inspect()) + containers.run("docker compose logs --no-color")
    assert [secret for secret in secrets if secret in told] == []


def test_logins_are_needed_and_work(containers: Containers) -> None:
    airflow, mlflow = (f"http://127.0.0.1:{containers.port(name)}" for name in ("AIRFLOW", "MLFLOW"))
    assert requests.get(f"{airflow}/api/v2/dags", timeout=30).status_code == 401
    password = (containers.folder / "var" / "compose-secrets" / "airflow-password").read_text()
    token = requests.post(f"{airflow}/auth/token", json={"username": "admin", "password": password}, timeout=30)
    assert token.status_code == 201
    search = f"{mlflow}/api/2.0/mlflow/registered-models/search"
    assert requests.get(search, timeout=30).status_code == 401
    password = (containers.folder / "var" / "compose-secrets" / "mlflow-password").read_text()
    found = requests.get(search, auth=("admin", password), timeout=30)
    assert [model["name"] for model in found.json()["registered_models"]] == ["flights"]


def test_prometheus_has_what_the_nights_counted(containers: Containers) -> None:
    [scored] = containers.ask('sum by (pipeline) (nightshift_scored_rows{pipeline="flights"})')
    assert int(float(scored["value"][1])) > 12_000
    assert containers.ask("airflow_scheduler_heartbeat")
    for panel in json.loads((PROJECT / "include/monitoring/grafana/dashboards/nightshift.json").read_text())["panels"]:
        for target in panel["targets"]:
            containers.ask(target["expr"].replace("$pipeline", ".*"))


def test_what_ends_is_started_again(containers: Containers) -> None:
    before = containers.inspect()["airflow-triggerer"]["RestartCount"]
    containers.run("docker compose exec -T airflow-triggerer sh -c 'kill 1'")
    until(lambda: containers.inspect()["airflow-triggerer"]["RestartCount"] > before, seconds=60)
    until(lambda: containers.inspect()["airflow-triggerer"]["State"]["Health"]["Status"] == "healthy", seconds=180)


@pytest.mark.parametrize(
    "command", sorted({line for lines in advised().values() for line in lines if line.startswith("docker ")})
)
def test_what_an_alert_advises_answers(containers: Containers, command: str) -> None:
    assert command.rsplit(maxsplit=1)[-1] in containers.run(command)


def test_files_lie_where_they_are_said_to(containers: Containers) -> None:
    lake = containers.run(
        "docker compose exec -T airflow-scheduler ls /nightshift/lake/flights /nightshift/models"
    ).split()
    assert {"features", "predictions", "inputs"} <= set(lake)
    objects = containers.run("docker compose exec -T object-store ls /objects/nightshift").split()
    assert objects == ["landing", "reports"]
