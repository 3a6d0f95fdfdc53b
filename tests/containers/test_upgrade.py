"""The volumes of an earlier version's containers, with the image of now: nothing is built anew, no night is lost.

The earlier version is commit fea2b27, the last that hashed code by its text: the same as of tests/upgrade.
"""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PROJECT
from tests.containers.project import Containers, containers_of

pytestmark = pytest.mark.timeout(3600)

BEFORE = "fea2b27"
INSIDE = "docker compose exec -T airflow-scheduler nightshift"
SCORED, NEXT = "2013-03-17", "2013-03-18"
NAMES = ("features", "predictions")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout of the commit before."""
    done = subprocess.run(["git", "archive", BEFORE], cwd=PROJECT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this checkout does not have the commit {BEFORE}: git fetch --unshallow")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def upgraded(earlier: Path) -> Iterator[Containers]:
    """The demonstration by the earlier version; then the code of now, and its command to start."""
    with containers_of(earlier) as project:
        project.run("make compose-env")
        project.run("make compose-demo")
        project.said["before"] = published(project, SCORED)
        project.take(PROJECT)
        project.said["demo"] = project.all_of("make compose-demo")
        yield project


def published(project: Containers, day: str) -> str:
    """The manifests of a day, which name each fingerprint and what was read."""
    names = " ".join(f"/nightshift/lake/flights/{name}/_manifests/ds={day}" for name in NAMES)
    return project.run(f"docker compose exec -T airflow-scheduler ls -l --full-time {names}")


def predictions(project: Containers, day: str) -> dict[str, Any]:
    """What `history` has of the predictions of a day."""
    found = json.loads(project.run(f"{INSIDE} history flights --ds {day} --json"))
    return next(item for item in found["published"] if item["dataset"] == "predictions")


def test_nothing_is_built_anew(upgraded: Containers) -> None:
    assert "everything is up to date: nothing was retrained, built or scored" in upgraded.said["demo"]
    upgraded.run(f"{INSIDE} backfill flights {SCORED} {SCORED}")
    assert published(upgraded, SCORED) == upgraded.said["before"]


def test_the_ledger_is_whole_and_its_champion_scores_the_next_night(upgraded: Containers) -> None:
    assert "whole" in upgraded.run(f"{INSIDE} ledger verify")
    upgraded.run(f"{INSIDE} land flights --from {NEXT} --to {NEXT}")
    upgraded.run(f"{INSIDE} backfill flights {NEXT} {NEXT}")
    assert predictions(upgraded, NEXT)["rows"] > 0
    assert predictions(upgraded, NEXT)["model_sha256"] == predictions(upgraded, SCORED)["model_sha256"]


def test_no_secret_that_tasks_can_read_reaches_the_ledgers_owner(upgraded: Containers) -> None:
    there = upgraded.run("docker compose exec -T airflow-scheduler ls /var/lib/nightshift/secrets").split()
    assert "database" in there
    assert "database-owner" not in there
    assert '"nightshift"' not in upgraded.run(
        "docker compose exec -T airflow-scheduler cat /var/lib/nightshift/secrets/postgres.json"
    )


def test_tasks_are_no_longer_mlflows_administrator(upgraded: Containers) -> None:
    secrets = "/var/lib/nightshift/secrets"
    there = upgraded.run(f"docker compose exec -T airflow-scheduler ls {secrets}").split()
    assert {name for name in there if "mlflow" in name} == {"mlflow"}
    assert '"nightshift"' in upgraded.run(f"docker compose exec -T airflow-scheduler cat {secrets}/mlflow")
