"""Nights of ``parcels`` as an earlier version ran them: landed, built, trained, scored, evaluated.

Run by that version's own code it makes the fixture ``lake.tar.xz`` that ``test_upgrade.py`` upgrades::

    git worktree add /tmp/before fea2b27
    PYTHONPATH=/tmp/before/include:/tmp/before .venv/bin/python tests/upgrade/nights.py tests/upgrade/lake.tar.xz
"""

import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from nightshift.features.build import plan_features
from nightshift.features.run import gate_features, gate_labels
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job, Outcome
from nightshift.monitoring.run import monitor
from nightshift.registry.ledger import Ledger, NewEntry, create_ledger
from nightshift.scoring.plan import read_plan
from nightshift.scoring.run import gate_predictions, plan_scoring
from nightshift.scoring.worker import score_shard
from nightshift.settings import Settings
from nightshift.training import run as training
from tests.conftest import make_pipeline
from tests.postgres import WRITER, Database
from tests.unit.features.lake import home_with_module, stage_plan
from tests.unit.inputs.landed import drop, drop_day

FIRST, SCORED, LAST, BROKEN_OFF = (date(2024, 2, day) for day in (4, 9, 10, 11))
AS_OF = date(2024, 2, 8)
KEPT = ("lake", "models", "landing")
TRAINING: dict[str, Any] = {"window": 6, "min_days": 4, "holdout": 1, "rounds": 3, "early_stopping": 2, "seed": 1}


def job_of(settings: Settings, ds: date, run_id: str = "before", **changes: Any) -> Job:
    """A run of the pipeline."""
    pipeline = make_pipeline(training=TRAINING, **changes)
    return Job(settings, pipeline, ds, run_id=run_id)


def land(settings: Settings, ds: date) -> None:
    """What upstream delivers for a night."""
    drop_day(settings, str(ds), tuple(str(ds - timedelta(days=back)) for back in (1, 2, 3)))
    drop(settings, f"orders/ds={ds}", "0,N,1.5", "1,S,2", "2,N,")  # the keys that stage_plan writes


def build(job: Job) -> None:
    """A night until its features are staged."""
    gate_inputs(job)
    _, command = plan_features(job)
    if command is not None:
        stage_plan(command.plan)


def gate(job: Job) -> list[Outcome]:
    """The gates of what was built."""
    return [gate_features(job), gate_labels(job)]


def score(job: Job) -> list[Outcome]:
    """A night from its features on."""
    planned = plan_scoring(job)
    plan = read_plan(job.left("plan_scoring")["plan"])
    for shard in plan.shards:
        score_shard(job.left("plan_scoring")["plan"], shard.number, job.attempt, lambda line: None)
    return [planned, gate_predictions(job), monitor(job)]


def train(job: Job) -> list[Outcome]:
    """A retrain, as far as it needs no MLflow."""
    job.leave("gate_window", {"blocked": [], "missing": []})
    return [training.training_set(job), training.gate_training(job), training.train(job)]


def promote(settings: Settings, digest: str) -> None:
    """The ledger's entry of the one champion."""
    words = ("parcels", "promotion", "tests", "better", AS_OF, AS_OF + timedelta(days=1), "1", digest)
    Ledger.of(settings).append(NewEntry(*words))


def make(settings: Settings) -> None:
    """All nights; the last one ends before its gate."""
    for ds in (FIRST + timedelta(days=n) for n in range((BROKEN_OFF - FIRST).days + 1)):
        land(settings, ds)
        job = job_of(settings, ds)
        build(job)
        if ds == BROKEN_OFF:
            return
        gate(job)
        if ds == AS_OF:
            train(job)
            promote(settings, job.left("train")["sha256"])
        if ds >= SCORED:
            score(job)


@contextmanager
def _database() -> Iterator[Database]:
    import tests.postgres as fixtures

    clusters = fixtures.postgres.__wrapped__()
    cluster = next(clusters)
    databases = fixtures.database.__wrapped__(cluster)
    yield next(databases)
    for left in (databases, clusters):
        next(left, None)


def main(file: Path) -> None:
    """Make the fixture."""
    with tempfile.TemporaryDirectory() as folder, _database() as database:
        create_ledger(database.owner_url, WRITER)
        settings = Settings.from_env({"NIGHTSHIFT_VAR": f"{folder}/var"})
        settings = replace(home_with_module(settings, Path(folder, "home")), database_url=database.writer_url)
        make(settings)
        with tarfile.open(file, "w:xz") as archive:
            for name in KEPT:
                archive.add(Path(folder, "var", name), name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
