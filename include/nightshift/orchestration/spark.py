"""Steps that build with Spark: SparkSubmitOperator inside a task, and only where there is work.

The operator is imported when it is needed: it imports the Kubernetes client, which would cost every task of every
DAG nearly three seconds (see ``docs/adr``).
"""

import logging
import re
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import Connection, Context
from airflow.sdk.bases.operator import ExecutorSafeguard
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from nightshift.commands import FeaturesCommand
from nightshift.database import holder, lock_unless_held
from nightshift.errors import NightshiftError, SparkBusy
from nightshift.job import Job, Outcome
from nightshift.orchestration.context import unfinished_days
from nightshift.orchestration.tasks import WaitOperator, perform
from nightshift.settings import Settings
from nightshift.spark import on_kubernetes
from nightshift.specs.calendar import days

if TYPE_CHECKING:
    from nightshift.orchestration.spark_pods import SparkPods

log = logging.getLogger("nightshift.task")

CONNECTION = "spark_default"
DAYS_AHEAD = 45
PAST = "the Spark job of the past"
# How long a job of another pipeline's past keeps backfills from Spark: longer than such jobs take.
PATIENCE = timedelta(minutes=30)


class SparkStepOperator(WaitOperator):
    """Plans what is stale; submits one Spark job where there is something.

    In a backfill it offers the step the next days that wait behind this one, to build them in the same job; a task that
    is tried again offers none, since one of them may have ended Java, and would again. One task
    of a pipeline's backfills does so at a time, and one of all pipelines' unless it takes too long. The others find
    their day built, or look again later and hold no slot meanwhile, so that tonight finds one free.
    """

    waits_on: tuple[type[NightshiftError], ...] = (SparkBusy,)
    _submitted: Any = None
    _pods: "SparkPods | None" = None
    _killed = False

    def call(self, context: Context, job: Job) -> Outcome:
        """Calls the step. Raises SparkBusy where another task of a backfill has Spark and this one needs it."""
        submit = partial(self._submit, context, job)
        if not job.backfill:
            return perform(self, job, submit)
        with ExitStack() as locks:
            if by := _kept_by(job, locks):
                return perform(self, job, partial(_busy, by))
            ahead = days(job.ds, job.ds + timedelta(days=DAYS_AHEAD))[1:] if context["ti"].try_number == 1 else []
            return perform(self, replace(job, also=tuple(unfinished_days(context, ahead))), submit)

    def on_kill(self) -> None:
        """Ends spark-submit, or the driver's pod, with its task."""
        self._killed = True
        if self._pods is not None:
            self._pods.stop()
        if self._submitted is not None:
            self._submitted.on_kill()

    def _submit(self, context: Context, job: Job, settings: Settings, command: FeaturesCommand) -> None:
        master = _master()
        if on_kubernetes(master):
            self._in_pods(job, master, command)
        else:
            self._by_provider(context, settings, command)

    def _in_pods(self, job: Job, master: str, command: FeaturesCommand) -> None:
        from nightshift.orchestration.spark_pods import SparkPods

        # A task whose time is up ends its driver; the pod's own deadline is for when nobody is left to do so.
        deadline = self.execution_timeout or timedelta(days=1)
        pods = self._pods = SparkPods(job, self.dag_id, self.task_id, master, int(deadline.total_seconds()))
        if self._killed:  # while there was nothing yet that could be stopped
            raise NightshiftError("it was stopped before it was submitted")
        pods.run(command)

    def _by_provider(self, context: Context, settings: Settings, command: FeaturesCommand) -> None:
        from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

        from nightshift.spark import MAIN, driver_error, spark_conf, spark_environment

        self._submitted = SparkSubmitOperator(
            task_id=self.task_id,
            conn_id=CONNECTION,
            application=str(settings.home / MAIN),
            application_args=command.argv(),
            conf=spark_conf(settings),
            env_vars=spark_environment(settings),
            name=f"{command.pipeline} {command.first} {command.last}",
        )
        # Airflow warns of an operator that runs in another one, unless told that it is the one that runs.
        token = ExecutorSafeguard.tracker.set(self._submitted)
        try:
            self._submitted.execute(context)
        except AirflowException as error:
            status = re.search(r"Error code is: (-?\d+)", str(error))
            raise driver_error(str(error), int(status.group(1)) if status else 1) from None
        finally:
            ExecutorSafeguard.tracker.reset(token)


def _master() -> str:
    """Spark's master as the connection has it. Raises NightshiftError where there is none."""
    try:
        found = Connection.get(CONNECTION)
    except AirflowNotFoundException:
        what = f"Airflow has no connection {CONNECTION}"
        raise NightshiftError(what, do=f"set AIRFLOW_CONN_{CONNECTION.upper()}, or make it in Airflow") from None
    return f"{found.host}:{found.port}" if found.port else str(found.host)


def past_of(pipeline: str) -> str:
    """The lock of the one task of a pipeline's backfills that has Spark."""
    return f"{PAST}, {pipeline}"


def _kept_by(job: Job, locks: ExitStack) -> str:
    """Who keeps a backfill from Spark; empty where nobody does, and ``locks`` has what keeps others from it.

    A job of the same pipeline does until it ends: it may build this very day. One of another pipeline is out of the way
    after a while, since it may hang.
    """
    for name in (past_of(job.pipeline.name), PAST):
        if locks.enter_context(lock_unless_held(job.settings, name)):
            continue
        by = holder(job.settings, name)
        if name == PAST and by is not None and by.age is not None and by.age > PATIENCE:
            log.warning("a backfill of another pipeline has Spark for %s: this one begins beside it; %s", by.age, by)
            continue
        return str(by or "its holder has just let it go")
    return ""


def _busy(by: str, settings: Settings, command: FeaturesCommand) -> NoReturn:
    raise SparkBusy(
        f"another task of a backfill has Spark; {command.first} to {command.last} may be built by it, too; {by}",
        do="nothing, unless it hangs: then clear that task, or end the process",
    )
