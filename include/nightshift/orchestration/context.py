"""From an Airflow context to a Job: what a task knows of its run, in Nightshift's words."""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, time

from airflow.sdk import Connection, Context

from nightshift.job import Job
from nightshift.orchestration.asked_day import ds_of
from nightshift.orchestration.orders import order_of
from nightshift.orchestration.priority import give_way
from nightshift.run_facts import UNFINISHED
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline

DATABASE_CONNECTION, MLFLOW_CONNECTION = "NIGHTSHIFT_DATABASE_CONNECTION", "NIGHTSHIFT_MLFLOW_CONNECTION"


def task_settings() -> Settings:
    """The settings of a task, its secrets from the Airflow connections that two variables name, where they do."""
    environ = dict(os.environ)
    if name := environ.get(DATABASE_CONNECTION):
        environ["NIGHTSHIFT_DATABASE"] = Connection.get(name).get_uri()
    if name := environ.get(MLFLOW_CONNECTION):
        login = Connection.get(name)
        # MLflow's client reads its login here where there is no login file.
        os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = login.login, login.password
    return Settings.from_env(environ)


def job_of(context: Context, pipeline: str) -> Job:
    """The job of a task, which gives way to tonight's from then on if a backfill made it.

    Raises SpecError where the spec has gone bad since the run began, ConfRefused where the run was asked for what it
    cannot have: each of its tasks asks again.
    """
    run = context["dag_run"]
    order, settings = order_of(run), task_settings()
    spec = load_pipeline(settings, pipeline)
    backfill = run.run_type == "backfill"
    if backfill:
        give_way()
    return Job(
        settings,
        spec,
        ds_of(run, spec, order),
        run_id=run.run_id,
        backfill=backfill,
        actor=order.by,
        reason=order.reason,
        rebuild=order.rebuild,
        ordered_by=None if backfill else "" if run.run_type == "scheduled" else order.by,
        last_try=context["ti"].try_number > context["ti"].max_tries,
    )


def unfinished_days(context: Context, days: Sequence[date]) -> list[date]:
    """Which of these days have a run of this DAG that is queued or running.

    Airflow only counts, for any list of dates at once (25 ms a call): halving finds the days in few calls, since the
    days of a backfill lie together.
    """
    if not days:
        return []
    dates = [datetime.combine(day, time.min, tzinfo=UTC) for day in days]
    run = context["dag_run"]
    found = context["ti"].get_dr_count(dag_id=run.dag_id, logical_dates=dates, states=list(UNFINISHED))
    if found in (0, len(days)):
        return list(days) if found else []
    half = len(days) // 2
    return [*unfinished_days(context, days[:half]), *unfinished_days(context, days[half:])]
