"""What a watcher says of a night before its deadline: by a calendar, files and runs that are given."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from nightshift.errors import PlatformError
from nightshift.platform.airflow_client import Run
from nightshift.platform.late import Nights
from nightshift.registry.ledger import create_ledger
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline, spec_document
from tests.postgres import WRITER, Database

pytestmark = pytest.mark.process
DS = date(2024, 3, 1)
CUTOFF = datetime(2024, 3, 1, 7, 0, tzinfo=UTC)  # 02:00 in New York
DUE = CUTOFF + timedelta(hours=4)
BEGAN = CUTOFF - timedelta(hours=1)


@pytest.fixture
def pipeline() -> Pipeline:
    return make_pipeline(schedule={**spec_document()["schedule"], "deliver_by": "06:00", "wait": "2h"})


@pytest.fixture
def nights(settings: Settings, database: Database) -> Nights:
    """Nights whose runs took an hour; the ledger may be asked for waivers."""
    create_ledger(database.owner_url, WRITER)
    found = Nights(replace(settings, database_url=database.writer_url))
    found._earlier["parcels"] = (DUE, [3600.0] * 5)
    return found


def _run(started: datetime, state: str = "running") -> Run:
    return Run(str(DS), "scheduled", state, "scheduled", 0.0, started.isoformat(), dag_id="parcels")


def _stages(nights: Nights, pipeline: Pipeline, now: datetime) -> list[str]:
    return [found.stage for found in nights.troubles(pipeline, BEGAN, now) if found.ds == str(DS)]


def _land(settings: Settings, pipeline: Pipeline) -> None:
    for name, source in pipeline.feature_inputs.items():
        for day in source.feature_days(DS) if name != "depots" else [DS]:
            file = Path(settings.landing) / source.path.replace("{ds}", str(day)).replace("*", "a")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("nothing")


def test_a_file_that_has_not_landed_is_told_from_a_quarter_of_the_wait_until_its_run_gives_up(
    settings: Settings, nights: Nights, pipeline: Pipeline
) -> None:
    assert _stages(nights, pipeline, CUTOFF + timedelta(minutes=29)) == []
    assert _stages(nights, pipeline, CUTOFF + timedelta(minutes=31)) == ["has not landed"]
    assert _stages(nights, pipeline, CUTOFF + timedelta(minutes=121)) == []
    (told,) = nights.troubles(pipeline, BEGAN, CUTOFF + timedelta(minutes=31))
    assert "source orders lacks" in told.cause
    assert told.cause.endswith("its run gives up at 09:00 UTC")
    assert told.state == "WAITING"
    _land(settings, pipeline)
    assert _stages(nights, pipeline, CUTOFF + timedelta(minutes=31)) == []


def test_a_night_will_be_late_before_it_is(settings: Settings, nights: Nights, pipeline: Pipeline) -> None:
    _land(settings, pipeline)
    assert _stages(nights, pipeline, DUE - timedelta(minutes=61)) == []
    assert _stages(nights, pipeline, DUE - timedelta(minutes=59)) == ["will be late"]  # nothing has begun
    nights.runs["parcels", str(DS)] = _run(DUE - timedelta(minutes=70))
    assert _stages(nights, pipeline, DUE - timedelta(minutes=59)) == []
    nights.runs["parcels", str(DS)] = _run(DUE - timedelta(minutes=50))
    (told,) = nights.troubles(pipeline, BEGAN, DUE - timedelta(minutes=45))
    assert told.stage == "will be late"
    assert told.cause.startswith("predictions will not be there by 06:00 America/New_York: ")
    assert told.cause.endswith("three of four runs take up to 60 min")
    assert told.state == "RUNNING"
    assert _stages(nights, pipeline, DUE) == ["is late"]


def test_what_was_due_before_the_watcher_was_there_or_long_ago_is_not_told(nights: Nights, pipeline: Pipeline) -> None:
    assert list(nights.troubles(pipeline, DUE + timedelta(seconds=1), DUE + timedelta(minutes=1))) == []
    ended = pipeline.model_copy(update={"schedule": pipeline.schedule.model_copy(update={"end": DS})})
    assert _stages(nights, ended, DUE + timedelta(days=1)) == ["is late"]
    assert list(nights.troubles(ended, BEGAN, DUE + timedelta(days=9))) == []


def test_without_a_deadline_only_files_are_waited_for(settings: Settings, nights: Nights) -> None:
    plain = make_pipeline(schedule={**spec_document()["schedule"], "wait": "2h"})
    assert _stages(nights, plain, DUE) == []
    assert _stages(nights, plain, CUTOFF + timedelta(minutes=31)) == ["has not landed"]
    assert _stages(nights, plain, CUTOFF + timedelta(minutes=29)) == []


def test_a_database_that_is_away_hides_no_night_that_is_late(settings: Settings, pipeline: Pipeline) -> None:
    waits = pipeline.model_copy(update={"schedule": pipeline.schedule.model_copy(update={"wait": "12h"})})
    found = Nights(replace(settings, database_url="postgresql://nobody@127.0.0.1:9/none")).troubles(waits, BEGAN, DUE)
    assert next(found).stage == "is late"
    with pytest.raises(PlatformError, match="cannot be reached"):
        next(found)
