"""The operators. Each calls one use case and says what came of it; nothing is decided here."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

from airflow.sdk import BaseOperator, BaseOperatorLink, BaseSensorOperator, Context, PokeReturnValue
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSensorTimeout

from nightshift import metrics, runs, tonight
from nightshift.commands import FeaturesCommand, ScoreCommand
from nightshift.errors import ConfRefused, InputMissing, NightshiftError, SpecError, foreseen, unforeseen
from nightshift.job import Job, Outcome
from nightshift.orchestration.context import job_of, task_settings, unfinished_days
from nightshift.orchestration.links import LINKS, shown, to_show
from nightshift.orchestration.notes import HEADLINE
from nightshift.plan import pipeline_of
from nightshift.run_facts import LAST_STEPS
from nightshift.settings import Settings
from nightshift.specs.calendar import days
from nightshift.steps import ScoreProcess, SparkRunner, run_step, scored, scored_already, shard_command, shard_commands

log = logging.getLogger("nightshift.task")


class StepTask(Protocol):
    """What operators of steps have in common.

    ``links`` is what the task's buttons, ``operator_extra_links``, are made of; ``waits_on`` are errors after which
    it looks again later; ``headline`` is its run in one line, where its run ends with it.
    """

    links: Mapping[str, str]
    headline: str
    operator_extra_links: Collection[BaseOperatorLink]
    waits_on: tuple[type[NightshiftError], ...]

    @property
    def dag_id(self) -> str:
        """The DAG's name."""

    @property
    def task_id(self) -> str:
        """The task's name, which is its step's."""


# Attributes of operators have their first values in the class: at every parse, Airflow goes through all arguments of an
# operator once more for each class that has a constructor.
NO_LINKS: Mapping[str, str] = MappingProxyType({})


class StepOperator(BaseOperator):
    """Calls the use case of the step that the task is named after."""

    operator_extra_links = LINKS
    waits_on: tuple[type[NightshiftError], ...] = ()
    links = NO_LINKS
    headline = ""

    def execute(self, context: Context) -> Any:
        """Returns the Outcome's document; of the last step with its run in one line, for the run's note."""
        with plain_failures():
            document = perform(self, asked(self, context)).document()
            return {**document, HEADLINE: self.headline} if self.headline else document


class BrokenSpecOperator(BaseOperator):
    """Stands for any task of a pipeline whose spec is broken, and fails with what is wrong with it.

    Nothing runs on a spec that is no longer there, nor on what is left of it.
    """

    links = NO_LINKS
    waits_on: tuple[type[NightshiftError], ...] = ()
    headline = ""

    def __init__(self, *, error: SpecError, **others: Any) -> None:
        super().__init__(**others)
        self.error = error

    def execute(self, context: Context) -> None:
        """Fails. The run's page says so, too: of the day of its logical date, since an order is not read."""
        date = context["dag_run"].logical_date
        keep_refusal(self, context, self.error, f"{date:%Y-%m-%d}" if date else "")
        with plain_failures():
            raise self.error


class PlanShardsOperator(StepOperator):
    """``plan_scoring``: what it returns is mapped over."""

    def execute(self, context: Context) -> list[int]:
        """Returns the numbers of the shards. An XCom can be edited: how many tasks there are is all that it decides."""
        with plain_failures():
            job = asked(self, context)
            perform(self, job)
            return [command.shard for command in shard_commands(job)]


class ShardOperator(BaseOperator):
    """Scores one shard, whatever computes it, unless it has a result.

    ``shard`` is there to be mapped over and is not looked at, since it comes from an XCom, which people may edit. The
    task's place among its like is the shard's number, and its run's own plan has the rest.
    """

    waits_on: tuple[type[NightshiftError], ...] = ()
    links = NO_LINKS
    headline = ""

    def __init__(self, *, shard: Any = None, **others: Any) -> None:
        super().__init__(**others)

    def execute(self, context: Context) -> None:
        """Scores, and says what came of it."""
        self.tell(context, self._unless_scored)

    def _unless_scored(self, context: Context, job: Job, command: ScoreCommand) -> None:
        if not scored_already(command):
            self.run_shard(context, job, command)

    def tell(self, context: Context, run: "RunShard") -> None:
        """Calls ``run``, and says what came of the shard."""
        number = context["ti"].map_index
        with plain_failures():
            job = asked(self, context)

            def shard() -> Outcome:
                command = shard_command(job, -1 if number is None else number)
                run(context, job, command)
                return scored(job, [command])

            told(self, job, shard, part=number)

    def run_shard(self, context: Context, job: Job, command: ScoreCommand) -> None:
        """Computes the shard's result. Raises NightshiftError."""
        raise NotImplementedError


RunShard = Callable[[Context, Job, ScoreCommand], None]


class ScoreOperator(ShardOperator):
    """Scores one shard in a process of its own, with the very arguments that a pod gets."""

    def __init__(self, *, deadline: int, **others: Any) -> None:
        super().__init__(**others)
        self.deadline = deadline
        self._process: ScoreProcess | None = None

    def run_shard(self, context: Context, job: Job, command: ScoreCommand) -> None:
        """Streams the process's lines into the task's log."""
        self._process = ScoreProcess(command.argv(), self.deadline)
        self._process.run(self.log.info)

    def on_kill(self) -> None:
        """Ends the process with its task."""
        if self._process is not None:
            self._process.stop()


class WaitOperator(BaseSensorOperator):
    """Calls a step again and again, without holding a slot meanwhile, until nothing is missing or time is up."""

    operator_extra_links = LINKS
    waits_on: tuple[type[NightshiftError], ...] = (InputMissing,)
    links = NO_LINKS
    headline = ""
    waits_for: NightshiftError | None = None

    def __init__(self, **arguments: Any) -> None:
        super().__init__(mode="reschedule", **arguments)

    def execute(self, context: Context) -> Any:
        """Returns the Outcome's document. Fails naming what is missing once the time is up."""
        try:
            return super().execute(context)
        except AirflowSensorTimeout:
            job, why = asked(self, context), f"Waited for {timedelta(seconds=self.timeout)}"
            outcome = Outcome(self.task_id, job.day, "nothing", f"{why}. {self.waits_for}")
            _tell(self, job, outcome, "failed", self.timeout)
            raise AirflowFailException(outcome.message) from None

    def poke(self, context: Context) -> PokeReturnValue:
        """One look."""
        with plain_failures():
            job = asked(self, context)
            self.waits_for = self.obstacle(context, job)
            if self.waits_for is None:
                try:
                    return PokeReturnValue(True, self.call(context, job).document())
                except self.waits_on as missing:
                    self.waits_for = missing
            tonight.waiting(job, self.dag_id, str(self.waits_for))
        log.info("waiting: %s", self.waits_for)
        return PokeReturnValue(False)

    def obstacle(self, context: Context, job: Job) -> NightshiftError | None:
        """The reason why the step is not called yet, if there is one."""
        return None

    def call(self, context: Context, job: Job) -> Outcome:
        """Calls the step. What ``waits_on`` names is waited for."""
        return perform(self, job)


class TurnOperator(WaitOperator):
    """In a backfill, calls its step when no earlier date of the same DAG is queued or running."""

    def obstacle(self, context: Context, job: Job) -> NightshiftError | None:
        """The earlier dates that are not done."""
        if not job.backfill:
            return None
        before = unfinished_days(context, days(job.pipeline.schedule.start, job.ds)[-400:-1])
        if not before:
            return None
        return NightshiftError(
            f"{len(before)} earlier dates are still queued or running, the first is {before[0]}",
            where=f"{self.dag_id} {job.day}",
            do="let them finish, or mark their runs failed; a backfill of this DAG must not run backwards",
        )


def asked(task: StepTask, context: Context) -> Job:
    """The job of a task. What a person may not ask for is kept on the run's page, a rebuild beside the tables.

    Raises what ``job_of`` raises.
    """
    try:
        job = job_of(context, pipeline_of(task.dag_id))
    except ConfRefused as error:
        keep_refusal(task, context, error)
        raise
    if job.rebuild:
        from nightshift.features.rebuilds import order_of_run

        order_of_run(job.settings, job.pipeline, job.run_id, job.ds, job.actor, job.reason)
    return job


def keep_refusal(task: StepTask, context: Context, error: NightshiftError, day: str = "") -> None:
    """Keeps on the run's page that a task was refused before it had a job; without a ``day`` it is no day's failure."""
    run = context["dag_run"]
    outcome = Outcome(task.task_id, day, "nothing", str(error))
    by = getattr(run, "triggering_user_name", None) or "airflow"
    try:
        runs.keep(task_settings(), task.dag_id, run.run_id, outcome, "failed", 0.0, by=by)
    except OSError as other:
        log.warning("the run's page does not have this: %s", other)


def perform(task: StepTask, job: Job, run_spark: SparkRunner | None = None) -> Outcome:
    """Runs the task's step and says what came of it."""
    return told(task, job, lambda: run_step(job, task.task_id, run_spark or _no_spark))


def told(task: StepTask, job: Job, run: Callable[[], Outcome], part: int | None = None) -> Outcome:
    """Calls ``run``, and says what came of it in the log, in metrics, in links and on the run's page."""
    started = time.monotonic()
    try:
        with foreseen(f"{task.dag_id} {task.task_id} of {job.day}", job.pipeline.column_names):
            outcome = run()
    except task.waits_on:
        raise
    except NightshiftError as error:
        outcome = Outcome(task.task_id, job.day, "nothing", str(error), links=error.links)
        try:
            _tell(task, job, outcome, "failed", time.monotonic() - started, part)
        except OSError as other:  # such as a full disk, of which the step may have failed, too
            log.warning("the run's page does not have this failure: %s", other)
        raise
    _tell(task, job, outcome, outcome.status, time.monotonic() - started, part)
    return outcome


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turns errors into Airflow's: one that can never go well is not retried; none drags its causes along.

    Airflow's own pass: they say that a task waits, or is skipped.
    """
    try:
        yield
    except NightshiftError as error:
        kind = AirflowException if error.retryable else AirflowFailException
        raise kind(str(error)) from None
    except AirflowException:
        raise
    except Exception as error:
        raise AirflowException(str(unforeseen(error))) from None


def say_why(context: Context) -> None:
    """The last line of a failed task's log says why it failed."""
    log.error("%s", context.get("exception") or "the task was stopped from outside")


def _tell(task: StepTask, job: Job, outcome: Outcome, status: str, seconds: float, part: int | None = None) -> None:
    task.links = outcome.links
    task.operator_extra_links = to_show(task, job.run_id)
    metrics.timing(job.settings, "step_seconds", seconds, pipeline=job.pipeline.name, step=task.task_id, status=status)
    page = runs.run_address(job.settings, task.dag_id, job.run_id)
    for line in runs.link_lines(shown(job.settings, task.dag_id, outcome.links), page):
        log.info("%s", line)
    if status != "failed":
        log.info("%s", outcome.message)
    for warning in outcome.warnings:
        log.warning("%s", warning)
    said = {"attempt": job.attempt, "by": job.actor, "reason": job.reason, "rebuild": "yes" if job.rebuild else ""}
    runs.keep(job.settings, task.dag_id, job.run_id, outcome, status, seconds, part, **said)
    if status == "failed" or task.task_id in LAST_STEPS:
        task.headline = tonight.ended(job, task.dag_id)
        if task.headline and status != "failed":
            log.info("this run: %s", task.headline)


def _no_spark(settings: Settings, command: FeaturesCommand) -> NoReturn:
    raise TypeError(f"{command} came from a step that is not planned as one of Spark")
