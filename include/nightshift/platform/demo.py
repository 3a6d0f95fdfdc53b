"""The demonstration: what an operator does in two weeks, through the real platform, in minutes."""

import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta

from nightshift.demo import LANDERS
from nightshift.errors import PlatformError
from nightshift.freshness.nights import look
from nightshift.plan import RETRAIN_SUFFIX
from nightshift.platform import backfill
from nightshift.platform.airflow_client import AirflowClient, login
from nightshift.platform.local import up
from nightshift.platform.nights import Night, nights_of
from nightshift.registry.ledger import Ledger
from nightshift.run_facts import UNFINISHED
from nightshift.settings import Settings
from nightshift.specs.calendar import days, training_days
from nightshift.specs.load import load_pipeline
from nightshift.specs.model import Pipeline

_DAG_SECONDS = 120.0


def run(
    settings: Settings, name: str, retrains: Sequence[date], last: date, report: Callable[[str], None]
) -> list[Night]:
    """Land, retrain as of each date and backfill the days up to the next one (the last: up to ``last``).

    Does nothing for what is done already. Raises PlatformError where a run failed.
    """
    pipeline = load_pipeline(settings, name)
    if not settings.postgres:  # what others run is up already
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
    return nights_of(settings, pipeline, nights, runs)


def _land(
    settings: Settings, pipeline: Pipeline, first_retrain: date, last: date, report: Callable[[str], None]
) -> int:
    """Land every day that the first window and its lookbacks read, up to ``last``."""
    window = training_days(pipeline, first_retrain)
    reach = max(source.lag + source.lookback - 1 for source in pipeline.inputs.values())
    return LANDERS[pipeline.name](settings, window[0] - timedelta(days=reach), last, report)


def _wait_for_dags(client: AirflowClient, pipeline: Pipeline, report: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _DAG_SECONDS
    missing = [pipeline.name, pipeline.name + RETRAIN_SUFFIX]
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
    return _run(settings, client, pipeline.name + RETRAIN_SUFFIX, [as_of], report)


def _stale(settings: Settings, pipeline: Pipeline, wanted: list[date]) -> bool:
    """Whether features or predictions of some day are not what its inputs ask for now."""
    nights = look(settings, pipeline, wanted)
    return any(
        item.state not in ("up_to_date", "outside") for night in nights for item in (night.features, night.predictions)
    )


def _run(
    settings: Settings, client: AirflowClient, dag_id: str, wanted: list[date], report: Callable[[str], None]
) -> bool:
    if any(run.state in UNFINISHED for run in client.runs(dag_id, wanted[0], wanted[-1])):
        report(f"{dag_id}: runs of these days are under way already")
    else:
        argv = backfill.create(settings, client, dag_id, wanted[0], wanted[-1], reprocess="completed", report=report)
        report(f"$ {' '.join(argv)}")
    for run in backfill.watch(client, dag_id, wanted[0], wanted[-1], report):
        if run.state == "failed":
            raise PlatformError(
                f"{dag_id} of {run.ds} failed in {backfill.failed_in(client, dag_id, run)}",
                where=f"{settings.airflow_address}/dags/{dag_id}/runs/{run.run_id}",
                do="read the task's log there",
            )
    return True
