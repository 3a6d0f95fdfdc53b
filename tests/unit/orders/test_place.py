"""Orders on a real ledger: of two at once one is recorded, and what is killed leaves one truth."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
import yaml

from nightshift.errors import NightshiftError, OrderRefused, PlatformError
from nightshift.freshness.nights import look
from nightshift.job import Job
from nightshift.lineage import sha256
from nightshift.orders.order import Order
from nightshift.orders.place import place, planned
from nightshift.orders.scored import scored_otherwise
from nightshift.registry.champions import champion_as_of
from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.registry.ledger_table import lock_ledger
from nightshift.settings import Settings
from tests.conftest import spec_document
from tests.postgres import WRITER, Database
from tests.unit.cli.conftest import cli_environment
from tests.unit.freshness.lake import DS, SHA, publish_night, register_model
from tests.unit.registry.entries import execute

GOOD = sha256(b"")  # of the file that register_model writes
DAY = timedelta(days=1)


@pytest.fixture
def job(settings: Settings, tmp_path: Path, database: Database) -> Job:
    """A night scored by version 1, whose model file was altered since; version 0 was champion before it."""
    job = publish_night(settings, tmp_path / "project", database)
    register_model(job, GOOD)
    first = date(2024, 2, 2)
    Ledger.of(job.settings).append(NewEntry("parcels", "promotion", "tests", "", first - DAY, first, "0", GOOD))
    return job


def rollback(job: Job, actor: str = "ann", day: date | None = DS) -> Order:
    return Order("rollback", actor, "it misbehaves", effective_from=day)


def test_a_published_day_is_stale_once_its_model_is_withdrawn(job: Job) -> None:
    assert look(job.settings, job.pipeline, [DS])[0].predictions.state == "up_to_date"
    found = planned(job.settings, job.pipeline, rollback(job))
    assert scored_otherwise(job.settings, job.pipeline, found).commands == (f"nightshift backfill parcels {DS} {DS}",)
    assert look(job.settings, job.pipeline, [DS])[0].predictions.state == "up_to_date", "a plan changes nothing"
    place(job.settings, job.pipeline, found)
    predictions = look(job.settings, job.pipeline, [DS])[0].predictions
    assert predictions.state == "stale"
    assert predictions.changes == (f"champion (model {SHA[:16]}, now version 0, {GOOD[:16]})",)


def test_a_rollback_from_tomorrow_on_leaves_the_day_and_names_it(job: Job) -> None:
    found = planned(job.settings, job.pipeline, rollback(job, day=DS + DAY))
    place(job.settings, job.pipeline, found)
    scored = scored_otherwise(job.settings, job.pipeline, found)
    assert (scored.stale, scored.kept, scored.commands) == ((), ((DS, DS),), ())
    assert look(job.settings, job.pipeline, [DS])[0].predictions.state == "up_to_date"


def test_days_that_nobody_scores_any_more_have_no_command(job: Job) -> None:
    register_model(job, "0" * 64)
    place(job.settings, job.pipeline, planned(job.settings, job.pipeline, replace(rollback(job), version="0")))
    retire = Order("retirement", "ann", "why", "0", DS)
    scored = scored_otherwise(job.settings, job.pipeline, planned(job.settings, job.pipeline, retire))
    assert (scored.commands, scored.orphans) == ((), ((DS, DS),))


def test_who_cannot_serve_is_refused_by_the_code_that_scoring_asks(job: Job) -> None:
    with pytest.raises(OrderRefused, match="version 1 cannot serve: the files of version 1 are gone or altered"):
        planned(job.settings, job.pipeline, Order("rollback", "ann", "why", "1", DS + 2 * DAY))


def test_of_orders_at_once_one_is_recorded_and_the_others_are_told_who_was_first(job: Job) -> None:
    names = ["ann", "bob", "eve", "joe"]
    plans = [planned(job.settings, job.pipeline, rollback(job, name)) for name in names]

    def order(number: int) -> Entry | OrderRefused:
        try:
            return place(job.settings, job.pipeline, plans[number])
        except OrderRefused as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(order, range(4)))
    [entry] = [found for found in done if isinstance(found, Entry)]
    told = f"another came first: entry 3, rollback to version 0 from {DS} on by {entry.actor} (it misbehaves); nothing"
    assert [str(found).startswith(f"parcels: {told}") for found in done if found is not entry] == [True] * 3
    assert Ledger.of(job.settings).verify() == 3


def test_a_table_from_before_the_kinds_says_what_to_do(job: Job, database: Database) -> None:
    execute(
        database.owner_url,
        "ALTER TABLE ledger DROP CONSTRAINT ledger_kind_check",
        "ALTER TABLE ledger ADD CONSTRAINT ledger_kind_check CHECK (kind IN ('promotion', 'refusal'))",
    )
    found = planned(job.settings, job.pipeline, Order("freeze", "ann", "audit"))
    with pytest.raises(PlatformError, match="was made before there were entries of kind freeze; nothing was recorded"):
        place(job.settings, job.pipeline, found)
    create_ledger(database.owner_url, WRITER)
    assert place(job.settings, job.pipeline, found).seq == 3
    assert Ledger.of(job.settings).verify() == 3


def champion(job: Job) -> str:
    found = champion_as_of(Ledger.of(job.settings).entries("parcels"), DS)
    assert found is not None
    return found.version


def process(job: Job, mlflow: str) -> "subprocess.Popen[str]":
    """The command itself, in a session of its own."""
    job.settings.pipelines.mkdir(parents=True)
    (job.settings.pipelines / "parcels.yaml").write_text(yaml.safe_dump(spec_document(), sort_keys=False))
    words = ("rollback", "parcels", "--to", "0", "--effective-from", str(DS), "--reason", "why")
    database = job.settings.database_url
    more = {"NIGHTSHIFT_DATABASE": database, "NIGHTSHIFT_MLFLOW": mlflow, "NIGHTSHIFT_LAKE": job.settings.lake}
    return subprocess.Popen(
        [sys.executable, "-m", "nightshift.cli", *words],
        env=cli_environment(job.settings, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(done: "subprocess.Popen[str]") -> None:
    os.killpg(done.pid, signal.SIGKILL)
    assert done.wait(60) == -signal.SIGKILL
    done.communicate()


@pytest.mark.process
def test_an_order_that_is_killed_before_it_is_recorded_never_was(job: Job, database: Database) -> None:
    with psycopg.connect(database.writer_url) as other:
        lock_ledger(other, "local")
        done = process(job, "http://127.0.0.1:9")
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        with psycopg.connect(database.owner_url, autocommit=True) as asks:
            deadline = time.monotonic() + 120
            while asks.execute(waiting).fetchone() == (0,) and time.monotonic() < deadline:
                time.sleep(0.1)
        end(done)
    assert (Ledger.of(job.settings).verify(), champion(job)) == (2, "1"), "nothing was recorded"
    place(job.settings, job.pipeline, planned(job.settings, job.pipeline, rollback(job)))
    assert champion(job) == "0"


@pytest.mark.process
def test_an_order_that_is_killed_after_it_was_recorded_counts(job: Job) -> None:
    """Its alias is not set: MLflow takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as mlflow:
        mlflow.settimeout(120)
        done = process(job, f"http://127.0.0.1:{mlflow.getsockname()[1]}")
        with mlflow.accept()[0]:
            end(done)
    assert (Ledger.of(job.settings).verify(), champion(job)) == (3, "0")
    with pytest.raises(NightshiftError, match=f"version 0 is champion from {DS} on already, by entry 3"):
        planned(job.settings, job.pipeline, replace(rollback(job), version="0"))


@pytest.mark.process
def test_nothing_slow_is_imported_before_an_order_counts() -> None:
    """An order counts within two seconds: 0.9 s from the command's start, most of it imports."""
    slow = ["mlflow", "pandas", "pyspark", "xgboost", "great_expectations", "airflow"]
    code = "import sys, nightshift.cli.app, nightshift.orders.place, nightshift.specs.load, psycopg; "
    code += f"print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
