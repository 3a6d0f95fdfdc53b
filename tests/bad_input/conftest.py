"""A night of `parcels` whose tasks are Airflow's real operators over the real use cases, tables and Postgres."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from nightshift import runs, tables
from nightshift.job import Job
from nightshift.registry.ledger import create_ledger
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from tests.conftest import spec_document
from tests.dags.conftest import TaskInstance, context, execute, home, task
from tests.postgres import WRITER, Database
from tests.unit.features.lake import MODULE, home_with_module
from tests.unit.inputs.landed import drop_day

__all__ = ["home", "task"]

DS = date(2024, 2, 5)
LOOKBACK = ("2024-02-02", "2024-02-03", "2024-02-04")


@dataclass(frozen=True)
class Failed:
    """What Airflow makes of a task that failed: tried again, or failed for good; and with which words."""

    retried: bool
    message: str

    @property
    def sentence(self) -> str:
        """The message without the table of expectations."""
        return self.message.splitlines()[0]


@dataclass(frozen=True)
class Night:
    """Tasks of the run of one day, and what readers see."""

    settings: Settings
    task: Callable[[str], Any]
    ds: date = DS

    @property
    def job(self) -> Job:
        """A job of the day, as its tasks have it."""
        return Job(self.settings, load_pipeline(self.settings, "parcels"), self.ds, run_id=self.run_id)

    @property
    def run_id(self) -> str:
        """The run that the day's tasks belong to."""
        return f"backfill__{self.ds}T07:00:00+00:00"

    def on(self, ds: date) -> "Night":
        """The night of another day."""
        return replace(self, ds=ds)

    def says(self, step: str) -> str:
        """Runs a task that succeeds; what it says."""
        execute(self.task(step), self.context())
        [said] = [item for item in runs.read_run(self.settings, "parcels", self.run_id) if item["step"] == step]
        return str(said["message"])

    def fails(self, step: str) -> Failed:
        """Runs a task that fails."""
        with pytest.raises(AirflowException) as caught:
            execute(self.task(step), self.context())
        assert caught.value.__suppress_context__
        return Failed(not isinstance(caught.value, AirflowFailException), str(caught.value))

    def context(self, ti: TaskInstance | None = None) -> Any:
        """What Airflow gives a task of the day."""
        moment = datetime(self.ds.year, self.ds.month, self.ds.day, tzinfo=UTC)
        return context(ti, run_id=self.run_id, logical_date=moment)

    def seen(self, dataset: str) -> tuple[int, dict[str, str], dict[str, list[dict[str, Any]]]]:
        """What a reader of a dataset sees: version, active fingerprint of each day, rows of each day."""
        state = tables.state(self.job.table(dataset))
        rows = {day: tables.read(state.uri, item.files).to_pylist() for day, item in state.partitions.items()}
        return state.version, {day: item.fingerprint for day, item in state.partitions.items()}, rows

    def spec(self, **changes: Any) -> None:
        """Changes top-level keys of the pipeline's spec."""
        path = self.settings.pipelines / "parcels.yaml"
        path.write_text(yaml.safe_dump({**spec_document(), **changes}, sort_keys=False))


@pytest.fixture
def night(home: Path, task: Callable[[str], Any], database: Database, monkeypatch: pytest.MonkeyPatch) -> Night:
    """The night of ``DS`` with everything landed as it should be, and an empty ledger."""
    create_ledger(database.owner_url, WRITER)
    monkeypatch.setenv("NIGHTSHIFT_DATABASE", database.writer_url)
    settings = home_with_module(Settings.from_env(dict(os.environ)), home, MODULE)
    drop_day(settings, DS.isoformat(), LOOKBACK)
    found = Night(settings, task)
    found.spec()  # its columns in the order of the files
    return found
