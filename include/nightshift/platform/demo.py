"""The demonstration: what an operator does in two weeks, through the real platform, in minutes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from nightshift import tables
from nightshift.demo import LANDERS
from nightshift.errors import PlatformError
from nightshift.features.build import resolve
from nightshift.job import Job
from nightshift.lineage import find_published, recipe_of
from nightshift.platform import backfill
from nightshift.platform.airflow_client import AirflowClient, Run, login
from nightshift.platform.local import up
from nightshift.registry.champions import champion_as_of
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.calendar import days, training_days
from nightshift.specs.load import load_pipeline
from nightshift.specs.model import Pipeline

_DAG_SECONDS = 120.0


@dataclass(frozen=True)
class Night:
    """One day of the table that the demonstration ends with; None where there is nothing yet."""

    ds: str
    rows_in: int | None
    quarantined: int | None
    scored: int | None
    champion: str | None
    metric: float | None
    seconds: float | None


def run(
    settings: Settings, name: str, retrains: Sequence[date], last: date, report: Callable[[str], None]
) -> list[Night]:
    """Land, retrain as of each date and backfill the days up to the next one (the last: up to ``last``).

    Does nothing for what is done already. Raises PlatformError where a run failed.
    """
    pipeline = load_pipeline(settings, name)
    up(settings, report)
    landed = _land(settings, pipeline, retrains[0], last, report)
    report(f"landing files: {landed} new")
    nights = days(retrains[0] + timedelta(days=1), last)
    with login(settings) as client:
        _wait_for_dags(client, pipeline, report)
        worked = False
        for position, as_of in enumerate(retrains):
            until = retrains[position + 1] if position + 1 < len(retrains) else last
            worked |= _retrain(settings, client, pipeline, as_of, report)
            wanted = days(as_of + timedelta(days=1), until)
            # What landed may correct what is published: only the runs themselves look at landing.
            if wanted and (landed or _stale(settings, pipeline, wanted)):
                worked |= _run(settings, client, pipeline.name, wanted, report)
        runs = {item.ds: item for item in client.runs(pipeline.name, nights[0], nights[-1])}
    if not worked:
        report("everything is up to date: nothing was retrained, built or scored")
    return _nights(settings, pipeline, nights, runs)


def _land(
    settings: Settings, pipeline: Pipeline, first_retrain: date, last: date, report: Callable[[str], None]
) -> int:
    """Land every day that the first window and its lookbacks read, up to ``last``."""
    window = training_days(pipeline, first_retrain)
    reach = max(source.lag + source.lookback - 1 for source in pipeline.inputs.values())
    return LANDERS[pipeline.name](settings, window[0] - timedelta(days=reach), last, report)


def _wait_for_dags(client: AirflowClient, pipeline: Pipeline, report: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _DAG_SECONDS
    missing = [pipeline.name, f"{pipeline.name}__retrain"]
    while missing := [dag for dag in missing if not client.has_dag(dag)]:
        if time.monotonic() > deadline:
            raise PlatformError(
                f"Airflow has no DAG {missing[0]} after {_DAG_SECONDS:.0f} s",
                do="run `nightshift check`, then look at the log of dag-processor",
            )
        report(f"waiting for Airflow to parse {', '.join(missing)}")
        time.sleep(1)


def _retrain(
    settings: Settings, client: AirflowClient, pipeline: Pipeline, as_of: date, report: Callable[[str], None]
) -> bool:
    decided = {entry.as_of for entry in Ledger.of(settings).entries(pipeline.name)}
    if as_of in decided:
        return False
    return _run(settings, client, f"{pipeline.name}__retrain", [as_of], report)


def _stale(settings: Settings, pipeline: Pipeline, wanted: list[date]) -> list[date]:
    """The days whose features are not what their inputs ask for now, or that have no predictions."""
    job = Job(settings, pipeline, wanted[0])
    recipes, features = resolve(job), tables.state(job.table("features"))
    predictions = tables.state(job.table("predictions"))
    return [
        ds
        for ds in wanted
        if recipe_of(features.fingerprint(ds.isoformat())) != recipes.wanted("features", ds)
        or not predictions.fingerprint(ds.isoformat())
    ]


def _run(
    settings: Settings, client: AirflowClient, dag_id: str, wanted: list[date], report: Callable[[str], None]
) -> bool:
    if any(run.state in backfill.UNFINISHED for run in client.runs(dag_id, wanted[0], wanted[-1])):
        report(f"{dag_id}: runs of these days are under way already")
    else:
        argv = backfill.create(settings, client, dag_id, wanted[0], wanted[-1], reprocess="completed")
        report(f"$ {' '.join(argv)}")
    for run in backfill.watch(client, dag_id, wanted[0], wanted[-1], report):
        if run.state == "failed":
            tasks = ", ".join(item.task for item in client.failed_tasks(dag_id, run.run_id)) or "no task"
            raise PlatformError(
                f"{dag_id} of {run.ds} failed in {tasks}",
                where=f"{settings.airflow_url}/dags/{dag_id}/runs/{run.run_id}",
                do="read the task's log there",
            )
    return True


def _nights(settings: Settings, pipeline: Pipeline, wanted: Sequence[date], runs: Mapping[str, Run]) -> list[Night]:
    """The table's rows; every dataset and the ledger are read once."""
    job = Job(settings, pipeline, wanted[0])
    spine = pipeline.features.spine
    landed = tables.state(job.table(f"inputs/{spine}")) if spine and not pipeline.inputs[spine].snapshot else None
    predictions, monitoring = tables.state(job.table("predictions")), tables.state(job.table("monitoring"))
    entries = Ledger.of(settings).entries(pipeline.name)

    def night(ds: date) -> Night:
        day, run = ds.isoformat(), runs.get(ds.isoformat())
        counts = _counts(landed, pipeline.inputs[spine].feature_days(ds)[-1]) if landed and spine else {}
        scored, champion = predictions.partitions.get(day), champion_as_of(entries, ds)
        return Night(
            ds=day,
            rows_in=counts.get("landed"),
            quarantined=counts.get("quarantined"),
            scored=scored.rows if scored else None,
            champion=champion.version if champion else None,
            metric=_metric(pipeline, monitoring, day),
            seconds=run.seconds if run else None,
        )

    return [night(ds) for ds in wanted]


def _counts(landed: tables.TableState, ds: date) -> Mapping[str, int]:
    """What the manifest of a published day counted."""
    manifest = find_published(landed.uri, ds.isoformat(), landed.fingerprint(ds.isoformat()))
    return manifest.counts if manifest else {}


def _metric(pipeline: Pipeline, monitoring: tables.TableState, day: str) -> float | None:
    column = "average_precision" if pipeline.label.objective == "binary" else "rmse"
    values = tables.read(monitoring.uri, monitoring.files(day), [column]) if monitoring.files(day) else None
    return values[column][0].as_py() if values is not None and values.num_rows else None


def table(pipeline: Pipeline, nights: Sequence[Night]) -> str:
    """The nights as aligned text."""
    metric = "avg precision" if pipeline.label.objective == "binary" else "RMSE"
    heads = ["day", "rows in", "quarantined", "scored", "champion", metric, "seconds"]
    rows = [
        [
            night.ds,
            *(
                "-" if number is None else str(number)
                for number in (night.rows_in, night.quarantined, night.scored, night.champion)
            ),
            "-" if night.metric is None else f"{night.metric:.3f}",
            "-" if night.seconds is None else f"{night.seconds:.0f}",
        ]
        for night in nights
    ]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in lines)
