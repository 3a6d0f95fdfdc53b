"""Nights through the live scheduler, the airflow command line and every real engine.

Two pipelines share the platform: the demo's, and one on other data that no line of the library knows (regression,
hourly rows, a key of two columns, Parquet, a lag of two days, Berlin time). The tests follow one another: each begins
where the one before it ended.
"""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from nightshift import storage, tables
from nightshift.demo.flights import land
from nightshift.job import Job
from nightshift.lineage import Manifest
from nightshift.metrics import METRICS
from nightshift.platform import backfill
from nightshift.platform.airflow_client import AirflowClient, Run, login
from nightshift.registry.champions import champion_as_of
from nightshift.registry.ledger import Ledger
from nightshift.runs import read_run, summary
from nightshift.settings import Settings
from nightshift.specs.calendar import days
from nightshift.specs.load import load_pipeline
from nightshift.steps import STEPS
from tests.e2e.turbines import landing as turbines
from tests.live import Live, rows_of

pytestmark = [pytest.mark.platform, pytest.mark.spark]

FIRST_RETRAIN, SECOND_RETRAIN = date(2013, 3, 3), date(2013, 3, 6)
WEEK = days(date(2013, 3, 4), date(2013, 3, 6))
AFTER = days(date(2013, 3, 7), date(2013, 3, 8))
MONDAY = date(2024, 3, 25)
Versions = dict[str, int]


@pytest.fixture(scope="module")
def live(live_platform: Live) -> Settings:
    """The platform, with a second pipeline put beside the demo's: one YAML and one feature module, nothing else."""
    home, given = live_platform.settings.home, Path(__file__).parent / "turbines"
    shutil.copy(given / "feature_module.py", home / "spark_jobs" / "features" / "turbines.py")
    shutil.copy(given / "turbines.yaml", home / "include" / "pipelines" / "turbines.yaml")
    return live_platform.settings


@pytest.fixture(scope="module")
def client(live: Settings) -> Iterator[AirflowClient]:
    with login(live) as opened:
        yield opened


@pytest.fixture(scope="module")
def repair(live: Settings, client: AirflowClient) -> Callable[..., list[Run]]:
    """Backfill through the airflow command line, wait, and have every run succeed."""

    def run(dag: str, first: date, last: date) -> list[Run]:
        backfill.create(live, client, dag, first, last, reprocess="completed")
        lines: list[str] = []
        runs = backfill.watch(client, dag, first, last, lines.append, seconds=540)
        failed = {item.ds: client.failed_tasks(dag, item.run_id) for item in runs if item.state == "failed"}
        assert not failed, failed
        return runs

    return run


def job(live: Settings, name: str, ds: date) -> Job:
    return Job(live, load_pipeline(live, name), ds)


def versions(live: Settings, name: str) -> Versions:
    pipeline = load_pipeline(live, name)
    names = [*(f"inputs/{source}" for source in pipeline.inputs), "features", "labels", "predictions"]
    return {item: tables.state(job(live, name, WEEK[0]).table(item)).version for item in names}


def published(live: Settings, name: str, dataset: str, ds: date) -> tables.Partition:
    return tables.state(job(live, name, ds).table(dataset)).partitions[ds.isoformat()]


def manifest_of(live: Settings, name: str, dataset: str, ds: date) -> Manifest:
    found = tables.state(job(live, name, ds).table(dataset)).manifest(ds.isoformat())
    assert found
    return found


def fingerprints(live: Settings, name: str, dataset: str, wanted: list[date]) -> dict[date, str]:
    found = tables.state(job(live, name, wanted[0]).table(dataset))
    return {ds: found.fingerprint(ds.isoformat()) for ds in wanted}


def test_a_new_pipeline_starts_with_landing_files_and_one_retrain(
    live: Settings, repair: Callable[..., list[Run]]
) -> None:
    land(live, date(2013, 1, 1), date(2013, 3, 9), print)
    repair("flights__retrain", FIRST_RETRAIN, FIRST_RETRAIN)
    entries = Ledger(live.database, live.env).entries("flights")
    assert [(entry.kind, entry.as_of, entry.effective_from) for entry in entries] == [
        ("promotion", FIRST_RETRAIN, WEEK[0])
    ]
    assert "baseline" in entries[0].reason
    features = tables.state(job(live, "flights", WEEK[0]).table("features"))
    assert sorted(features.partitions) == [day.isoformat() for day in days(date(2013, 1, 29), date(2013, 3, 2))]


def test_a_week_is_backfilled_and_its_counts_reconcile(live: Settings, repair: Callable[..., list[Run]]) -> None:
    for run in repair("flights", WEEK[0], WEEK[-1]):
        said = read_run(live, "flights", run.run_id)
        assert [step["step"] for step in said] == [name for name, step in STEPS.items() if step.dag == "daily"]
        rows = published(live, "flights", "predictions", date.fromisoformat(run.ds)).rows
        assert summary(said).startswith(f"{rows} rows scored, champion version 1, "), summary(said)
        assert f"{rows} rows scored in 1 shard" in {step["message"] for step in said}
    for ds in WEEK:
        datasets = ("inputs/schedule", "features", "predictions")
        rows = {name: published(live, "flights", name, ds).rows for name in datasets}
        assert len(set(rows.values())) == 1, rows
        landed = manifest_of(live, "flights", "inputs/schedule", ds)
        assert landed.counts["landed"] == landed.rows + landed.counts["quarantined"]
    evaluated = {
        name: tables.state(job(live, "flights", WEEK[0]).table(name)).partitions for name in ("labels", "monitoring")
    }
    for partitions in evaluated.values():
        assert WEEK[0].isoformat() in partitions
        assert WEEK[-1].isoformat() not in partitions


def test_predictions_say_which_model_and_nothing_that_changes(live: Settings) -> None:
    table = job(live, "flights", WEEK[0]).table("predictions")
    rows = tables.read(table, published(live, "flights", "predictions", WEEK[0]).files)
    champion = champion_as_of(Ledger(live.database, live.env).entries("flights"), WEEK[0])
    assert rows.column_names == ["flight_id", "score", "model"]
    assert set(rows["model"].to_pylist()) == {champion.sha256[:16]}
    assert rows["flight_id"].to_pylist() == sorted(rows["flight_id"].to_pylist())
    manifest = manifest_of(live, "flights", "predictions", WEEK[0])
    assert manifest.model_sha256 == champion.sha256
    assert manifest.ledger_head
    assert storage.exists(manifest.gate.report)


def test_the_logs_of_normal_nights_warn_of_nothing(live: Settings) -> None:
    """A retrain and a week: the lines of every task, those of Spark, of scoring and of libraries among them."""
    logs = sorted((live.var / "airflow" / "logs").rglob("attempt=*.log"))
    lines = [line for path in logs for line in path.open()]
    # Not a number of lines: a task that waits for another's Spark writes its own again each time it looks.
    assert {task for path in logs for task in re.findall(r"/task_id=(\w+)/", str(path))} == set(STEPS)
    assert all(any(f'"event":"{word}' in line for line in lines) for word in ("spark_jobs: features: ", "shard 0: "))
    assert [line for line in lines if re.search(r'"level": ?"(warning|error|critical)"|WARN|eprecat', line)] == []


def test_an_unchanged_week_builds_scores_and_commits_nothing(live: Settings, repair: Callable[..., list[Run]]) -> None:
    before, attempts = versions(live, "flights"), attempts_of(live)
    repair("flights", WEEK[0], WEEK[-1])
    assert versions(live, "flights") == before
    assert attempts_of(live) == attempts


def attempts_of(live: Settings) -> dict[str, list[str]]:
    """What was ever written aside."""
    here = job(live, "flights", WEEK[0])
    return {name: storage.list_folders(here.table(name)) for name in ("features", "labels", "predictions")}


def test_one_corrected_file_redoes_exactly_what_depends_on_it(live: Settings, repair: Callable[..., list[Run]]) -> None:
    watched = {name: fingerprints(live, "flights", name, WEEK) for name in ("features", "predictions")}
    labels = fingerprints(live, "flights", "labels", WEEK[:2])
    before = versions(live, "flights")
    correct_a_delay(Path(live.landing) / "flights" / "actuals" / f"ds={WEEK[0]}" / "actuals.csv")
    repair("flights", WEEK[0], WEEK[-1])
    for name, old in watched.items():
        new = fingerprints(live, "flights", name, WEEK)
        assert [ds for ds in WEEK if new[ds] != old[ds]] == WEEK[1:], name
    new_labels = fingerprints(live, "flights", "labels", WEEK[:2])
    assert [ds for ds in WEEK[:2] if new_labels[ds] != labels[ds]] == WEEK[:1]
    after = versions(live, "flights")
    assert {name for name in after if after[name] != before[name]} == {
        "inputs/actuals",
        "features",
        "labels",
        "predictions",
    }


def correct_a_delay(file: Path) -> None:
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    flown = next(row for row in rows if row["arr_delay"])
    flown["arr_delay"] = str(float(flown["arr_delay"]) + 61)
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_later_retrain_leaves_earlier_days_with_their_champion(
    live: Settings, repair: Callable[..., list[Run]]
) -> None:
    before = fingerprints(live, "flights", "predictions", WEEK)
    repair("flights__retrain", SECOND_RETRAIN, SECOND_RETRAIN)
    repair("flights", WEEK[0], AFTER[-1])
    assert fingerprints(live, "flights", "predictions", WEEK) == before
    ledger = Ledger(live.database, live.env)
    entries = ledger.entries("flights")
    assert [entry.as_of for entry in entries] == [FIRST_RETRAIN, SECOND_RETRAIN]
    assert {entry.kind for entry in entries} <= {"promotion", "refusal"}
    for ds in [*WEEK, *AFTER]:
        champion = champion_as_of(entries, ds)
        assert manifest_of(live, "flights", "predictions", ds).model_sha256 == champion.sha256
    assert ledger.verify() == len(ledger.entries())


def test_a_pipeline_on_other_data_needs_no_line_of_the_library(
    live: Settings, repair: Callable[..., list[Run]]
) -> None:
    turbines.land_sites(Path(live.landing), date(2024, 1, 1))
    turbines.land(Path(live.landing), date(2024, 3, 1), date(2024, 3, 28))
    repair("turbines__retrain", MONDAY, MONDAY)
    nights = days(date(2024, 3, 26), date(2024, 3, 27))
    repair("turbines", nights[0], nights[-1])
    for ds in nights:
        partition = published(live, "turbines", "predictions", ds)
        assert partition.rows == 96
        assert len(partition.files) == 4
        rows = tables.read(job(live, "turbines", ds).table("predictions"), partition.files)
        assert rows.column_names == ["site", "hour", "score", "model"]
        # 96 rows are more than `scoring.gate.rows`: the gate's own Spark job has answered.
        gate = manifest_of(live, "turbines", "predictions", ds).gate
        assert gate.status == "passed"
        attempt = gate.report.rpartition("/")[2].removesuffix(".json")
        asked = Path(job(live, "turbines", ds).table("_runs")).rglob(f"audit-predictions-{ds}-{attempt}-answer.json")
        assert len(list(asked)) == 1
    assert published(live, "turbines", "labels", date(2024, 3, 25))


def test_what_tasks_sent_is_what_the_table_of_metrics_says(live_platform: Live) -> None:
    kinds = {"c": "count", "g": "gauge", "ms": "timing"}
    seen = set()
    for line in live_platform.datagrams:
        name, _, rest = line.partition(":")
        name, *tags = name.split(",")
        if not name.startswith("nightshift."):
            continue
        metric = METRICS[name.removeprefix("nightshift.")]
        assert kinds[rest.rpartition("|")[2]] == metric.kind
        assert {tag.partition("=")[0] for tag in tags} == set(metric.tags), line
        seen.add(metric.name)
    expected = {"rows_in", "rows_out", "gate_results", "step_seconds", "scored_rows", "promotion_decisions"}
    assert expected | {"partitions_published", "partitions_up_to_date"} <= seen


def test_reports_and_manifests_hold_no_cell(live: Settings) -> None:
    ids = tables.read(
        job(live, "flights", WEEK[0]).table("features"), published(live, "flights", "features", WEEK[0]).files
    )["flight_id"].to_pylist()
    reports = list(Path(live.reports).rglob("*.json")) + list(Path(live.reports).rglob("*.html"))
    assert len(reports) > 50
    for report in reports:
        text = report.read_text()
        assert not any(key in text for key in ids[:50]), report
        if report.suffix == ".json":
            json.loads(text)


def test_nothing_that_the_platform_wrote_holds_a_cell(live_platform: Live, live: Settings) -> None:
    rows = tables.state(job(live, "flights", WEEK[0]).table("inputs/schedule"))
    found = tables.read(rows.uri, rows.files(WEEK[0].isoformat()), ["flight_id", "tailnum"]).to_pydict()
    cells = [cell.encode() for name in found for cell in found[name][:40] if cell]
    # Of the lake, what steps and attempts say of themselves; models know their categories, and Postgres is asked below.
    data = ("landing", "lake", "models", "postgres")
    said = [path for path in live.var.rglob("*.json") if {"_runs", "_manifests"} & set(path.parts)]
    other = [path for path in live.var.rglob("*") if path.relative_to(live.var).parts[0] not in data]
    other = [path for path in other if not {"model", "spark"} & set(path.relative_to(live.var).parts)]
    files = [path for path in (*said, *other) if path.is_file()]
    assert len(files) > 200
    assert [path for path in files if any(cell in path.read_bytes() for cell in cells)] == []
    words = [cell.decode() for cell in cells]
    databases = ("airflow", "mlflow", "nightshift")
    assert [name for name, row in rows_of(live_platform, *databases) if any(word in row for word in words)] == []
