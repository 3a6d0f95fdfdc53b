"""The wind parks' pipeline on a live platform to be broken, what its nights are undisturbed, and a reader."""

import json
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from nightshift import tables
from nightshift.errors import NightshiftError
from nightshift.job import Job
from nightshift.platform import backfill
from nightshift.platform.airflow_client import AirflowClient, Run, login
from nightshift.registry import mlflow
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.spark_local import run_local
from nightshift.specs.calendar import days
from nightshift.specs.load import load_pipeline
from nightshift.steps import run_step
from tests.e2e.turbines import landing as turbines
from tests.live import PROJECT, Live
from tests.waiting import until

NAME = "turbines"
CHAMPION_AS_OF = date(2024, 3, 25)
NIGHTS = days(date(2024, 3, 26), date(2024, 4, 20))
ROWS = 96
DATASETS = ("features", "predictions")
STEPS = ("gate_inputs", "build_features", "gate_features", "plan_scoring", "score", "gate_predictions")


@dataclass
class Reader:
    """Somebody who reads each version of the tables that appears; ``wrong`` is what nobody may ever see."""

    settings: Settings
    wrong: list[str] = field(default_factory=list)
    looks: int = 0
    seen: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        job = Job(self.settings, load_pipeline(self.settings, NAME), NIGHTS[0])
        for dataset in DATASETS:
            found = tables.state(job.table(dataset))
            if self.seen.get(dataset) == found.version:
                continue  # what a version holds never changes; the looks go to those to come
            for day, partition in found.partitions.items():
                rows = tables.read(found.uri, partition.files).num_rows
                if not rows == partition.rows == ROWS:
                    self.wrong.append(f"{dataset} of {day} at version {found.version}: {rows} rows")
            self.seen[dataset] = found.version
        self.looks += 1


@dataclass(frozen=True)
class Nights:
    """The platform with the pipeline, and the same nights on a lake of their own that nothing disturbed."""

    live: Live
    client: AirflowClient
    undisturbed: Settings

    @property
    def settings(self) -> Settings:
        return self.live.settings

    def job(self, ds: date, settings: Settings | None = None) -> Job:
        settings = settings or self.settings
        return Job(settings, load_pipeline(settings, NAME), ds)

    def published(self, dataset: str, ds: date) -> bool:
        return ds.isoformat() in tables.state(self.job(ds).table(dataset)).partitions

    def backfill(self, wanted: Sequence[date], dag: str = NAME) -> None:
        self.live.end_backfills()
        backfill.create(self.settings, self.client, dag, wanted[0], wanted[-1], reprocess="completed")

    def over(self, wanted: Sequence[date], dag: str = NAME) -> list[Run]:
        """The runs of these days once they are over."""
        return backfill.watch(self.client, dag, wanted[0], wanted[-1], print, seconds=400)

    def clear(self, run: Run, dag: str = NAME) -> None:
        """What an operator does in the UI: clear what failed."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run.run_id}/clear"
        self.live.api(path, "POST", {"dry_run": False, "only_failed": True})
        day = date.fromisoformat(run.ds)
        until(lambda: self.client.runs(dag, day, day)[0].state != "failed")

    def failed(self, run: Run, dag: str = NAME) -> list[str]:
        """The tasks of a run that failed."""
        return [item.task for item in self.client.failed_tasks(dag, run.run_id)]

    def log(self, run: Run, task: str, dag: str = NAME, number: int = 0) -> str:
        """What the log of a task's try says, of the last one unless there is a number."""
        number = number or self.tries(run, task, dag)
        path = f"/api/v2/dags/{dag}/dagRuns/{run.run_id}/taskInstances/{task}/logs/{number}"
        return json.dumps(self.live.api(path))

    def tries(self, run: Run, task: str, dag: str = NAME) -> int:
        """The number of the try in which the task ended."""
        return max(item["try_number"] for item in self.instances(run, task, dag))

    def states(self, ds: date, task: str, dag: str = NAME) -> set[str]:
        """The states of a task, of each of its shards."""
        [run] = self.client.runs(dag, ds, ds)
        return {item["state"] for item in self.instances(run, task, dag)}

    def instances(self, run: Run, task: str, dag: str = NAME) -> list[dict[str, Any]]:
        """A task's instances, one for each shard, as Airflow's API tells them."""
        found = self.live.api(f"/api/v2/dags/{dag}/dagRuns/{run.run_id}/taskInstances?limit=100")
        return [item for item in found["task_instances"] if item["task_id"] == task]

    def assert_undisturbed(self, wanted: Sequence[date]) -> None:
        """Every day is published once, whole, and is what it would have been; the ledger verifies."""
        for ds in wanted:
            day = ds.isoformat()
            for dataset in DATASETS:
                ours, theirs = (self.job(ds, where).table(dataset) for where in (self.settings, self.undisturbed))
                mine, expected = tables.state(ours), tables.state(theirs)
                assert mine.fingerprint(day) == expected.fingerprint(day), (dataset, day)
                assert tables.read(ours, mine.files(day)).equals(tables.read(theirs, expected.files(day)))
                assert commits_of(ours, day) == 1, (dataset, day)
        ledger = Ledger.of(self.settings)
        assert ledger.verify() == len(ledger.entries())


def commits_of(table: str, day: str) -> int:
    """How many commits of a table published something of a day."""
    from deltalake import DeltaTable

    return sum(f'"{day}"' in str(commit.get("nightshift", "")) for commit in DeltaTable(table).history())


def assert_registered_once(nights: Nights) -> None:
    """No recipe has two versions."""
    with mlflow._talking(nights.settings) as client:
        recipes = [version.tags[mlflow.FINGERPRINT] for version in client.search_model_versions(f"name = '{NAME}'")]
    assert len(recipes) == len(set(recipes)) > 1


def undisturbed_nights(settings: Settings) -> None:
    """Every night, one step after another, in this process; in one shard, which the rows do not depend on."""
    pipeline = load_pipeline(settings, NAME)
    one_shard = pipeline.scoring.model_copy(update={"rows_per_shard": 1000})
    pipeline = pipeline.model_copy(update={"scoring": one_shard})
    first = Job(settings, pipeline, NIGHTS[0], run_id="undisturbed", also=tuple(NIGHTS[1:]))
    gate_inputs, *of_each_night = STEPS
    run_step(first, gate_inputs, run_local)
    run_step(first, "build_features", run_local)
    for ds in NIGHTS:
        # The build of a night finds it staged, and says so to the steps after it.
        for step in of_each_night:
            run_step(replace(first, ds=ds, also=()), step, run_local)


@contextmanager
def champion_and_nights(live: Live, aside: Path) -> Iterator[Nights]:
    """A champion, and landing for the nights; the undisturbed ones are made step by step, without Airflow."""
    settings, given = live.settings, PROJECT / "tests" / "e2e" / NAME
    shutil.copy(given / "feature_module.py", settings.home / "spark_jobs" / "features" / f"{NAME}.py")
    # Its gate by Spark is tested elsewhere, and would be one more Spark job for each night.
    spec = (
        (given / f"{NAME}.yaml")
        .read_text()
        .replace(", gate: {rows: 50}", "")
        .replace("2024-04-05", NIGHTS[-1].isoformat())
    )
    (settings.home / "include" / "pipelines" / f"{NAME}.yaml").write_text(spec)
    turbines.land_sites(Path(settings.landing), date(2024, 1, 1))
    turbines.land(Path(settings.landing), date(2024, 3, 1), NIGHTS[-1])
    live.run("nightshift", "retrain", NAME, "--as-of", CHAMPION_AS_OF.isoformat())
    undisturbed = replace(settings, lake=str(aside / "lake"), reports=str(aside / "reports"))
    undisturbed_nights(undisturbed)
    with login(settings) as client:
        until(lambda: client.has_dag(NAME))
        yield Nights(live, client, undisturbed)


@contextmanager
def reading(nights: Nights) -> Iterator[Reader]:
    """Reads until the block is over, which fails if it ever saw a part of a day."""
    found, ended = Reader(nights.settings), threading.Event()

    def read() -> None:
        while not ended.is_set():
            try:
                found.look()
            except (NightshiftError, OSError) as error:
                found.wrong.append(f"{type(error).__name__}: {error}")
            time.sleep(0.1)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield found
    ended.set()
    thread.join()
    assert found.looks > 0
    assert found.wrong == []
