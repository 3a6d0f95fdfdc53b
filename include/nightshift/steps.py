"""The steps of a night by name, and how one is run: by Airflow's tasks and by ``nightshift run`` alike.

A use case is imported when its step runs: none of them is needed to know the steps.
"""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal

from nightshift.commands import FeaturesCommand, ScoreCommand
from nightshift.errors import NightshiftError, SparkBusy, foreseen, said
from nightshift.exit_status import signal_text
from nightshift.job import Job, Outcome
from nightshift.run_facts import WINDOW
from nightshift.settings import Settings
from nightshift.spark_local import run_local
from nightshift.specs.model import seconds
from nightshift.specs.spelling import nearest

log = logging.getLogger("nightshift")

SparkRunner = Callable[[Settings, FeaturesCommand], None]


@dataclass(frozen=True)
class Step:
    """A step: the DAG it belongs to and its use case as ``module:function``.

    The use case of a Spark step only plans: it returns an Outcome and a command, or None where all is up to date.
    """

    name: str
    dag: Literal["daily", "retrain"]
    use_case: str
    doc: str
    needs_spark: bool = False

    def function(self) -> Callable[..., Any]:
        """The use case, imported now."""
        module, _, function = self.use_case.partition(":")
        found: Callable[..., Any] = getattr(import_module(module), function)
        return found


_ALL = (
    Step("inputs_landed", "daily", "nightshift.inputs.run:inputs_landed", "Is everything there that must be read?"),
    Step("gate_inputs", "daily", "nightshift.inputs.run:gate_inputs", "Landing files to typed, audited tables."),
    Step("build_features", "daily", "nightshift.features.build:plan_features", "Features and mature labels.", True),
    Step("gate_features", "daily", "nightshift.features.run:gate_features", "Audit and publish the features."),
    Step("gate_labels", "daily", "nightshift.features.run:gate_labels", "Audit and publish the labels."),
    Step("plan_scoring", "daily", "nightshift.scoring.run:plan_scoring", "Resolve the champion, cut the shards."),
    Step("score", "daily", "nightshift.steps:score", "Score every shard, one process after the other."),
    Step("gate_predictions", "daily", "nightshift.scoring.run:gate_predictions", "Audit and publish predictions."),
    Step("monitor", "daily", "nightshift.monitoring.run:monitor", "Quality of days whose labels are there."),
    Step("window_inputs", "retrain", "nightshift.inputs.run:window_inputs", "gate_inputs for the whole window."),
    Step("build_window", "retrain", "nightshift.features.build:plan_window", "Stale days of the window.", True),
    Step("gate_window", "retrain", "nightshift.features.run:gate_window", "Audit and publish the window's days."),
    Step("training_set", "retrain", "nightshift.training.run:training_set", "Pin days and table versions."),
    Step("gate_training", "retrain", "nightshift.training.run:gate_training", "Audit the training set."),
    Step("train", "retrain", "nightshift.training.run:train", "Fit, evaluate, refit."),
    Step(
        "evaluate_and_register", "retrain", "nightshift.training.run:evaluate_and_register",
        "Metrics and plots; a version in MLflow.",
    ),
    Step("decide", "retrain", "nightshift.training.run:decide", "Challenger against champion and baseline."),
    Step("promote", "retrain", "nightshift.training.run:promote", "The decision becomes a ledger entry."),
)  # fmt: skip

STEPS: Mapping[str, Step] = {step.name: step for step in _ALL}

SAY_SOMETHING = (*(name for name in STEPS if name != "promote"), WINDOW, "promote")
"""The tasks that a run's page has something of, in their order."""


def find_step(name: str) -> Step:
    """The step of that name. Raises NightshiftError, which names the nearest one where there is none."""
    if name not in STEPS:
        raise NightshiftError(f"there is no step {name!r}{nearest(name, STEPS)}", allowed=", ".join(STEPS))
    return STEPS[name]


def run_step(job: Job, name: str, run_spark: SparkRunner) -> Outcome:
    """Runs a step to its end; ``run_spark`` is called where a Spark step has work. Raises NightshiftError alone.

    A gate whose partition is too large for pandas starts a Spark job of its own (``Job.run_spark``).
    """
    step = find_step(name)
    with foreseen(f"{job.pipeline.name} {name} of {job.day}", job.pipeline.column_names):
        return _run(job if job.run_spark else replace(job, run_spark=run_local), step, run_spark)


def _run(job: Job, step: Step, run_spark: SparkRunner) -> Outcome:
    if not step.needs_spark:
        outcome: Outcome = step.function()(job)
        return outcome
    planned: tuple[Outcome, FeaturesCommand | None] = step.function()(job)
    outcome, command = planned
    if command is None:
        return outcome
    try:
        run_spark(job.settings, command)
    except SparkBusy:
        raise  # nothing has failed: the task looks again
    except NightshiftError as error:
        from nightshift.features.partial import go_on

        return go_on(job, outcome, command, error)
    return outcome


def shard_commands(job: Job) -> list[ScoreCommand]:
    """One command for each shard that ``plan_scoring`` of this run cut."""
    left = job.left("plan_scoring")
    return [ScoreCommand(plan=left["plan"], shard=shard) for shard in range(left["shards"])]


def shard_command(job: Job, shard: int) -> ScoreCommand:
    """The command of one shard of this run's plan: the run and a number decide it, and nothing that others may write.

    Raises NightshiftError where the plan has no such shard, PlanRefused where the plan is not the job's.
    """
    from nightshift.scoring.planning import planned

    plan = planned(job)
    if plan is None or not 0 <= shard < len(plan.shards):
        raise NightshiftError(
            f"the plan of run {job.run_id} has no shard {shard}",
            where=f"{job.pipeline.name} {job.day}",
            do="clear plan_scoring, which says how many there are",
        )
    return ScoreCommand(plan=plan.uri, shard=shard)


def score(job: Job) -> Outcome:
    """The use case of ``score`` outside Airflow, which maps its own task over the shards."""
    commands = shard_commands(job)
    for command in commands:
        if not scored_already(command):
            ScoreProcess(command.argv(), seconds(job.pipeline.scoring.deadline)).run(log.info)
    return scored(job, commands)


def scored_already(command: ScoreCommand) -> bool:
    """Return whether a shard has its result, so that its process would only say so."""
    from nightshift.scoring import worker

    return worker.scored_already(command.plan, command.shard)


def scored(job: Job, commands: Sequence[ScoreCommand]) -> Outcome:
    """The outcome of these shards, by the results that they left."""
    from nightshift.scoring.plan import read_result

    results = [read_result(command.plan, command.shard) for command in commands]
    counts = {"rows": sum(result.file.rows for result in results if result), "shards": len(commands)}
    status: Literal["done", "nothing"] = "done" if commands else "nothing"
    return Outcome("score", job.day, status, shards_line(**counts), {name: float(n) for name, n in counts.items()})


def shards_line(rows: float, shards: float) -> str:
    """The message of ``score`` when it is done."""
    return f"{rows:.0f} rows scored in {shards:.0f} {'shard' if shards == 1 else 'shards'}"


class ScoreProcess:
    """``python -m nightshift.scoring`` with the arguments of a shard, as a pod runs it, with a deadline in seconds."""

    def __init__(self, arguments: Sequence[str], deadline: float) -> None:
        self.arguments, self.deadline = list(arguments), deadline
        self._process: subprocess.Popen[str] | None = None
        self._late = False

    def run(self, emit: Callable[[str], None]) -> None:
        """Runs to the end and emits every line. Raises NightshiftError with the process's own last line."""
        last = ""
        argv = [sys.executable, "-m", ScoreCommand.module, *self.arguments]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            self._process = process
            timer = threading.Timer(self.deadline, self._stop_late)
            timer.start()
            try:
                for line in process.stdout or ():
                    last = line.rstrip() or last
                    emit(line.rstrip())
            except BaseException:
                self.stop()
                raise
            finally:
                timer.cancel()
        if self._late:
            raise NightshiftError(
                f"it took longer than its deadline of {self.deadline:g} s",
                where=f"{ScoreCommand.module} {' '.join(self.arguments)}",
                do="raise scoring.deadline, or lower scoring.rows_per_shard",
            )
        if by := signal_text(process.returncode):
            raise NightshiftError(
                f"the process that scored the shard was killed by {by}",
                where=f"{ScoreCommand.module} {' '.join(self.arguments)}",
                do="look into the kernel's log (dmesg); where memory is short, lower scoring.rows_per_shard",
            )
        if process.returncode:
            raise said(last)

    def _stop_late(self) -> None:
        self._late = True
        self.stop()

    def stop(self, grace: float = 5) -> None:
        """Ends the process: asks first, and kills it after ``grace`` seconds."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
