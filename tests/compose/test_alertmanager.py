"""A real Alertmanager with the project's configuration: what fires and nobody silenced reaches the watcher."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from nightshift.errors import PlatformError
from nightshift.notices.message import message
from nightshift.platform.alerts import firing
from nightshift.settings import Settings
from tests.conftest import PROJECT
from tests.live import free_port
from tests.needs import needs
from tests.waiting import until

FOLDER = PROJECT / "include" / "monitoring"
PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
needs_alertmanager = needs(
    PROGRAM, "no alertmanager (Debian's prometheus-alertmanager)", "people are told of alerts that nobody silenced"
)


@pytest.fixture
def watched(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings that name an Alertmanager on loopback."""
    url = f"http://127.0.0.1:{free_port()}"
    argv = [str(PROGRAM), f"--config.file={FOLDER / 'alertmanager.yaml'}", f"--storage.path={tmp_path / 'data'}"]
    argv += ["--cluster.listen-address=", f"--web.listen-address={url.removeprefix('http://')}"]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as server:
        try:
            until(lambda: _answers(url))
            yield replace(settings, alertmanager=url)
        finally:
            server.terminate()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/-/ready", timeout=5).ok
    except requests.ConnectionError:
        return False


def _fire(settings: Settings, name: str, ends: timedelta = timedelta(hours=1), **labels: str) -> None:
    """Send what Prometheus sends of a rule of the project."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    (rule,) = (rule for group in groups for rule in group["rules"] if rule["alert"] == name)
    alert: dict[str, Any] = {"labels": {"alertname": name, **rule["labels"], **labels}}
    alert |= {"annotations": rule["annotations"], "endsAt": (datetime.now(UTC) + ends).isoformat()}
    requests.post(f"{settings.alertmanager}/api/v2/alerts", json=[alert], timeout=10).raise_for_status()


@pytest.mark.process
@needs_alertmanager
def test_what_fires_is_told_and_what_the_watcher_sees_itself_or_somebody_silenced_is_not(watched: Settings) -> None:
    assert firing(watched) == []
    _fire(watched, "SchedulerSilent")
    _fire(watched, "ModelOld", pipeline="flights")
    _fire(watched, "StepFailed", pipeline="flights", step="score")
    found = {trouble.dag: trouble for trouble in until(lambda: len(firing(watched)) == 2 and firing(watched))}
    assert set(found) == {"SchedulerSilent", "ModelOld flights"}
    told = message([found["SchedulerSilent"]])
    assert told.title == "[FAILED] SchedulerSilent: Airflow's scheduler gives no sign of life"
    assert "Next: `docker compose ps --all airflow-scheduler`" in told.body
    assert message([found["ModelOld flights"]]).weight == "warning"
    silence = {
        "matchers": [{"name": "alertname", "value": "ModelOld", "isRegex": False}],
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        "createdBy": "night shift",
        "comment": "known",
    }
    requests.post(f"{watched.alertmanager}/api/v2/silences", json=silence, timeout=10).raise_for_status()
    until(lambda: [trouble.dag for trouble in firing(watched)] == ["SchedulerSilent"])
    _fire(watched, "SchedulerSilent", ends=timedelta(seconds=-1))
    until(lambda: firing(watched) == [])


@pytest.mark.process
def test_an_alertmanager_that_is_away_is_an_error_in_a_sentence(settings: Settings) -> None:
    with pytest.raises(PlatformError, match="Alertmanager does not answer as it should"):
        firing(replace(settings, alertmanager="http://127.0.0.1:9"))


def test_the_rules_that_are_left_to_the_watcher_are_there() -> None:
    routes = yaml.safe_load((FOLDER / "alertmanager.yaml").read_text())["route"]["routes"]
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    (left,) = routes[0]["matchers"]
    assert set(left.partition('"')[2].rstrip('"').split("|")) < names
