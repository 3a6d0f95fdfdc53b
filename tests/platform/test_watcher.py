"""The watcher of a real platform: a night of which Airflow never made a run is told within a minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from nightshift.platform.airflow_client import login
from nightshift.platform.health import look_problems
from tests.conftest import spec_document
from tests.live import Live
from tests.unit.notices.receivers import Hook, served
from tests.unit.specs.home import MODULE
from tests.waiting import until

pytestmark = pytest.mark.platform
NAME = "never_made"


@pytest.fixture
def hook(live_platform: Live) -> Iterator[Hook]:
    channels = live_platform.settings.channels
    with served(Hook()) as server:
        address = f"127.0.0.1:{server.port}"
        channels.write_text(
            f"channels: {{night: 'json://{address}'}}\nnotify: {{night: [late, FAILED]}}\nheartbeat: 'http://{address}/beat'\n"
        )
        yield server
    channels.unlink()


@pytest.fixture
def due(live_platform: Live) -> Iterator[datetime]:
    """The moment at which a night is due whose cutoff was long before there was its spec, so that it has no run."""
    now = datetime.now(UTC)
    wanted = (now + timedelta(minutes=2)).replace(second=0, microsecond=0)
    began = now - timedelta(hours=3)
    schedule = {"cutoff": f"{began:%H:%M}", "timezone": "UTC", "start": f"{began - timedelta(days=9):%Y-%m-%d}"}
    wait = {"wait": "5s", "deliver_by": f"{wanted:%H:%M}", "retrain": "never", "end": None}
    document = spec_document(pipeline=NAME, schedule={**schedule, **wait})
    home = live_platform.settings
    files = (home.pipelines / f"{NAME}.yaml", home.feature_modules / f"{NAME}.py")
    files[1].write_text(MODULE)
    files[0].write_text(yaml.safe_dump(document, sort_keys=False))
    yield wanted
    for file in files:
        file.unlink()


def test_a_night_that_was_never_made_is_told_and_then_that_its_backfill_failed(
    live_platform: Live, hook: Hook, due: datetime
) -> None:
    until(lambda: any(path == "/beat" for path, _ in hook.got), seconds=90)
    until(lambda: _told(hook), seconds=240)
    assert timedelta() <= datetime.now(UTC) - due < timedelta(minutes=1)
    (late,) = _told(hook)
    assert late["title"].startswith(f"[late] {NAME} ")
    assert "no run was made" in late["message"]
    assert "State: WAITING" in late["message"]
    assert look_problems(live_platform.settings) == []
    with login(live_platform.settings) as client:
        assert NAME not in {run.dag_id for run in client.changed_runs(due - timedelta(days=1))}
    day = late["title"].split()[2].rstrip(":")
    assert live_platform.run("nightshift", "backfill", NAME, day, day, check=False).returncode == 1
    until(lambda: len(_told(hook)) == 2, seconds=120)
    failed = _told(hook)[1]
    assert failed["title"].startswith(f"[FAILED] {NAME} {day}: inputs_landed: ")
    assert f"Next: nightshift diagnose {NAME} --ds {day}" in failed["message"]


def _told(hook: Hook) -> list[dict[str, Any]]:
    """What was told of the pipeline; others may fail meanwhile."""
    return [document for _, document in hook.got if document and f" {NAME} " in document["title"]]
