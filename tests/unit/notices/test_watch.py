"""A watcher's looks against real stores, and an Airflow that is away: what needs no run is found without one."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nightshift import tables
from nightshift.job import Job
from nightshift.platform.layout import Layout
from nightshift.platform.watcher import Looks
from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.settings import Settings
from nightshift.specs.calendar import current_ds
from nightshift.specs.load import load_pipeline
from tests.conftest import spec_document
from tests.postgres import WRITER, Database
from tests.unit.notices.receivers import Hook, served
from tests.unit.specs.home import add_spec, make_home

pytestmark = pytest.mark.process
SECRET = "T0PSECRETT0KEN"
CHANNELS = """
channels:
  night: json://127.0.0.1:{port}/{secret}
notify:
  night: [FAILED, late, ledger trouble]
heartbeat: http://127.0.0.1:{port}/beat-{secret}
"""


@pytest.fixture
def hook() -> Iterator[Hook]:
    with served(Hook()) as server:
        yield server


@pytest.fixture
def home(tmp_path: Path, database: Database, hook: Hook) -> Settings:
    """A platform whose Airflow is away."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        away = f"http://127.0.0.1:{free.getsockname()[1]}"
    settings = replace(make_home(tmp_path), airflow_url=away)
    layout = Layout(settings.var)
    layout.make()
    create_ledger(database.owner_url, WRITER)
    settings.database_file.write_text(database.writer_url)
    (layout.secrets / "airflow-passwords.json").write_text('{"admin": "unused"}')
    settings.channels.write_text(CHANNELS.format(port=hook.port, secret=SECRET))
    return settings


def _late(settings: Settings, name: str = "parcels", **changes: Any) -> datetime:
    """Declare a pipeline whose day has been due since a minute; return its cutoff."""
    now = datetime.now(UTC)
    began = now - timedelta(hours=3)
    schedule = {"cutoff": f"{began:%H:%M}", "deliver_by": f"{now - timedelta(minutes=1):%H:%M}", "timezone": "UTC"}
    days = {"start": f"{began - timedelta(days=30):%Y-%m-%d}", "end": None, "wait": "1h"}
    add_spec(settings, name, schedule={**spec_document()["schedule"], **schedule, **days}, **changes)
    # The watcher was there before.
    place = Path(settings.reports) / "_notices" / settings.env / "began.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f'{{"at": "{(now - timedelta(hours=2)).isoformat()}"}}')
    return began


def _titles(hook: Hook) -> list[str]:
    return [document["title"] for _, document in hook.got if document]


def _beats(hook: Hook) -> int:
    return sum(path == f"/beat-{SECRET}" for path, _ in hook.got)


def test_a_night_without_a_run_is_late_once_for_all_pipelines_and_over_when_it_is_there(
    home: Settings, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    began = _late(home)
    _late(home, "letters")
    day = f"{began:%Y-%m-%d}"
    for looks in (Looks(home), Looks(home)):  # the second is one that was started again
        looks.look()
        looks.look()
        assert "Airflow's API server does not answer" in looks.problems[0]
    assert [title.partition(":")[0] for title in _titles(hook)] == [f"[late] letters {day} and 1 more"]
    assert "Airflow does not answer" in hook.got[0][1]["message"]
    assert f"Next: nightshift diagnose letters --ds {day}" in hook.got[0][1]["message"]
    assert _beats(hook) == 0
    for name in ("parcels", "letters"):
        job = Job(home, load_pipeline(home, name), began.date())
        rows = pa.table({"parcel_id": ["a"], "score": [0.5], "model": ["m"]})
        table = job.table("predictions")
        files = tables.write_partition(table, job.attempt, job.day, "f1", rows.schema, rows.to_batches())
        tables.publish(table, rows.schema, [job.manifest("predictions", job.day, "f1", files=files)])
    looks.look()
    looks.look()
    assert [title.split("]")[0] for title in _titles(hook)] == ["[late", "[over"]
    assert SECRET not in caplog.text


def test_a_ledger_that_is_away_is_told_from_the_second_look_on_and_again_when_it_is_back(
    home: Settings, hook: Hook
) -> None:
    add_spec(home, "parcels")
    url = home.database_file.read_text()
    looks = Looks(home)
    home.database_file.write_text("postgresql://nobody:nothing@127.0.0.1:9/none")
    looks.look()
    assert _titles(hook) == []
    looks.look()
    looks.look()
    (title,) = _titles(hook)
    assert title.startswith("[FAILED] Nightshift: 127.0.0.1:9/none: the Nightshift database cannot be reached")
    assert "nothing" not in str(hook.got)
    home.database_file.write_text(url)
    looks.look()
    assert _titles(hook)[1].startswith("[over] Nightshift: ")


def test_a_spec_that_breaks_is_told_and_over_once_it_is_mended(home: Settings, hook: Hook) -> None:
    path = add_spec(home, "parcels")
    good = path.read_text()
    path.write_text("pipeline: [")
    looks = Looks(home)
    looks.look()
    looks.look()
    path.write_text(good)
    looks.look()
    (broken, over) = _titles(hook)
    assert broken.startswith("[FAILED] parcels: a spec is not valid, its pipeline has no DAGs: ")
    assert over.startswith("[over] parcels: ")


def test_without_channels_nothing_is_looked_at(home: Settings, hook: Hook) -> None:
    home.channels.unlink()
    _late(home)
    looks = Looks(home)
    looks.look()
    assert looks.problems == []
    assert hook.got == []


def test_channels_that_are_wrong_are_a_problem_that_is_named(home: Settings) -> None:
    home.channels.write_text(f"channels: {{night: [{SECRET}]}}")
    looks = Looks(home)
    looks.look()
    assert "it is not as it must be" in looks.problems[0]
    assert SECRET not in looks.problems[0]


def test_each_proposal_is_told_once_and_over_when_it_is_answered(home: Settings, hook: Hook) -> None:
    home.channels.write_text(home.channels.read_text().replace("[FAILED, late,", "[approval,"))
    asks = {**spec_document()["promotion"], "approval": "required"}
    add_spec(home, "parcels", promotion=asks, schedule={**spec_document()["schedule"], "end": None})
    ledger, now = Ledger.of(home), datetime.now(UTC)
    as_of = current_ds(load_pipeline(home, "parcels").schedule, now)

    def propose(version: str, supersedes: int | None) -> Entry:
        details = {
            "champion_sha256": "", "history": False, "run_id": "manual__1", "ordered_by": "ben",
            "supersedes": supersedes, "expires_at": (now + timedelta(days=1)).isoformat(timespec="seconds"),
        }  # fmt: skip
        return ledger.append(
            NewEntry("parcels", "proposal", "ben", "better", as_of, None, version, version * 64, details)
        )

    propose("3", None)
    for looks in (Looks(home), Looks(home)):
        looks.look()
        looks.look()
    assert [title.partition(":")[0] for title in _titles(hook)] == [f"[WAITING] parcels__retrain {as_of}"]
    message = hook.got[0][1]["message"]
    assert "State: WAITING" in message
    assert 'Next: nightshift approve parcels --proposal 1 --reason "…"' in message
    assert "/nightshift/pipelines/parcels" in message
    propose("4", 1)
    looks.look()
    looks.look()
    assert sorted(title.partition("]")[0] for title in _titles(hook)[1:]) == ["[WAITING", "[over"]
    reason = "rejected by ada: no"
    ledger.append(
        NewEntry("parcels", "refusal", "ada", reason, as_of, None, "4", "4" * 64, {"proposal": 2, "history": False})
    )
    looks.look()
    looks.look()
    assert [title.partition("]")[0] for title in _titles(hook)[3:]] == ["[over"]
