"""From a spec to the tasks and edges of its two DAGs, as plain data. Nothing here knows Airflow.

``orchestration/dag.py`` makes operators of it, ``steps.py`` says which use case each task calls.
"""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from nightshift.run_facts import WINDOW
from nightshift.specs.calendar import days, last_run
from nightshift.specs.model import Input, Pipeline, seconds

SPARK_POOL = "nightshift_spark"
RETRAIN_SUFFIX = "__retrain"

Kind = Literal["step", "wait", "spark", "plan_shards", "shard", "turn", "approval"]
Every = Literal["day", "week", "never"]
_EVERY: dict[str, Every] = {"nightly": "day", "weekly": "week", "never": "never"}
_HOUR = 3600


@dataclass(frozen=True)
class TaskPlan:
    """One task.

    ``kind``: ``step`` calls a use case; ``wait`` calls it until nothing is missing; ``spark`` plans, and runs Spark
    where there is work; ``plan_shards`` yields the arguments of each ``shard``; ``turn`` lets earlier dates go first;
    ``approval`` waits for a person.
    ``timeout``, ``wait`` and ``start`` are seconds: of one try, of waiting in which no slot is held, and of waiting for
    a pod's node and for its image. A greater ``priority`` goes first: a backfill takes all of its days through one
    task before the next, so that one Spark job builds many.
    """

    name: str
    kind: Kind
    after: tuple[str, ...]
    doc: str
    timeout: int
    priority: int
    wait: int = 0
    start: int = 0
    retries: int = 2
    pool: str = "default_pool"
    trigger_rule: str = "all_success"


@dataclass(frozen=True)
class SchedulePlan:
    """When runs are: the cutoff of each ``ds`` from ``first`` to ``last`` (None: no end), every day or every Monday.

    ``never`` makes no run by itself; backfills and manual runs are as for ``day``.
    """

    cutoff: str
    timezone: str
    first: date
    last: date | None
    every: Every


@dataclass(frozen=True)
class DagPlan:
    """One DAG. ``max_active_runs`` is for scheduled and manual runs; a backfill has a limit of its own."""

    name: str
    pipeline: str
    title: str
    doc: str
    owner: str
    tags: tuple[str, ...]
    schedule: SchedulePlan
    max_active_runs: int
    tasks: tuple[TaskPlan, ...]


@dataclass(frozen=True)
class Plan:
    """The two DAGs of a pipeline."""

    daily: DagPlan
    retrain: DagPlan

    def document(self) -> dict[str, Any]:
        """The plan as plain data."""
        return asdict(self)


def make_plan(pipeline: Pipeline) -> Plan:
    """The plan of a pipeline, from its spec alone."""
    return Plan(daily=_daily(pipeline), retrain=_retrain(pipeline))


def run_days(schedule: SchedulePlan, first: date, last: date) -> list[date]:
    """The business dates from ``first`` to ``last`` that have a run: in the spec's range, and Mondays where weekly."""
    wanted = days(max(first, schedule.first), min(last, schedule.last) if schedule.last else last)
    return [ds for ds in wanted if schedule.every != "week" or ds.weekday() == 0]


def pipeline_of(dag: str) -> str:
    """The pipeline that a DAG of this name belongs to."""
    return dag.removesuffix(RETRAIN_SUFFIX)


def _daily(pipeline: Pipeline) -> DagPlan:
    return DagPlan(
        name=pipeline.name,
        pipeline=pipeline.name,
        title=pipeline.description,
        doc=_doc(pipeline, pipeline.name, f"**{pipeline.description}** Scored for every business date."),
        owner=pipeline.owner,
        tags=_tags(pipeline, "daily"),
        schedule=_schedule(pipeline, "day"),
        max_active_runs=16,
        tasks=_daily_tasks(pipeline),
    )


def _daily_tasks(pipeline: Pipeline) -> tuple[TaskPlan, ...]:
    return (
        TaskPlan(
            "inputs_landed", "wait", (), "Waits until landing has everything that tonight must read.",
            timeout=600, wait=seconds(pipeline.schedule.wait), priority=90,
        ),
        TaskPlan(
            "gate_inputs", "step", ("inputs_landed",),
            "Parses, audits and publishes every partition of the lookbacks whose landing files are new or corrected.",
            timeout=2 * _HOUR, priority=80,
        ),
        TaskPlan(
            "build_features", "spark", ("gate_inputs",),
            "Builds the features of the day, and the labels that have just become mature, with Spark. "
            "In a backfill one run builds for those that wait behind it; up to date means no Spark at all.",
            timeout=6 * _HOUR, wait=24 * _HOUR, priority=70, pool=SPARK_POOL,
        ),
        TaskPlan(
            "gate_features", "step", ("build_features",), "Audits the staged features and publishes them.",
            timeout=2 * _HOUR, priority=60,
        ),
        TaskPlan(
            "gate_labels", "step", ("build_features",),
            "Audits the staged labels and publishes them. Beside scoring: what fails here stops no prediction.",
            timeout=2 * _HOUR, priority=20,
        ),
        TaskPlan(
            "plan_scoring", "plan_shards", ("gate_features",),
            "Resolves the champion as of the day, and writes the plan that every shard follows.",
            timeout=_HOUR, priority=50,
        ),
        TaskPlan(
            "score", "shard", ("plan_scoring",),
            "Scores one shard of the plan, in a process or pod of its own. A retry redoes missing shards only.",
            timeout=seconds(pipeline.scoring.deadline), start=seconds(pipeline.scoring.pod.start), priority=40,
        ),
        TaskPlan(
            "gate_predictions", "step", ("score",),
            "Audits the predictions of all shards and publishes them.",
            # Without shards (after the spec's end) `score` is skipped; what failed before it must still fail the run.
            timeout=2 * _HOUR, priority=30, trigger_rule="none_failed",
        ),
        TaskPlan(
            "monitor", "step", ("gate_predictions", "gate_labels"),
            "Evaluates the predictions of every day whose labels have become mature.",
            timeout=2 * _HOUR, priority=10, trigger_rule="none_failed",
        ),
    )  # fmt: skip


def _retrain(pipeline: Pipeline) -> DagPlan:
    name = pipeline.name + RETRAIN_SUFFIX
    chain: tuple[tuple[str, Kind, int, str], ...] = (
        ("window_inputs", "step", 4, "Parses, audits and publishes the sources of all days of the training window."),
        ("build_window", "spark", 6, "Builds every missing or stale day of the window, features and labels, in one "
                                     "Spark job; none where all are up to date."),
        ("gate_window", "step", 4, "Audits and publishes the days that were built; up to the spec's limit, days that "
                                   "their gate blocks are left out."),
        ("training_set", "step", 1, "Pins the days and table versions that are trained on; copies nothing."),
        ("gate_training", "step", 2, "Audits the training set: its rows, its labels, its days."),
        ("train", "step", 6, "Fits on all but the newest days, evaluates on those, then refits on all days."),
        ("evaluate_and_register", "step", 2, "Metrics and plots of the challenger, as a version in MLflow."),
        ("decide", "turn", 1, "Compares challenger, champion and baseline by the spec's rule. In a backfill it waits "
                              "until no earlier as-of date is queued or running, so that decisions are in date order."),
        *_approval(pipeline),
        ("promote", "step", 1, "Writes the decision to the ledger; MLflow's alias follows."),
    )  # fmt: skip
    waits = {"turn": 24 * _HOUR, "spark": 24 * _HOUR, "approval": seconds(pipeline.promotion.approve_within)}
    tasks = tuple(
        TaskPlan(
            step, kind, (chain[at - 1][0],) if at else (), doc, timeout=hours * _HOUR, priority=len(chain) - at,
            wait=waits.get(kind, 0), pool=SPARK_POOL if kind == "spark" else "default_pool",
            # Where nobody is asked, the window is skipped; what failed before it must still fail the run.
            trigger_rule="none_failed" if at and chain[at - 1][1] == "approval" else "all_success",
        )
        for at, (step, kind, hours, doc) in enumerate(chain)
    )  # fmt: skip
    return DagPlan(
        name=name,
        pipeline=pipeline.name,
        title=f"Retrains {pipeline.name}: {pipeline.description}",
        doc=_doc(pipeline, name, "Trains a challenger as of a business date; a rule decides whether it scores."),
        owner=pipeline.owner,
        tags=_tags(pipeline, "retrain"),
        schedule=_schedule(pipeline, _EVERY[pipeline.schedule.retrain]),
        # A run that waits for a person must not keep tomorrow's from its turn.
        max_active_runs=16 if pipeline.promotion.needs_person else 4,
        tasks=tasks,
    )


def _approval(pipeline: Pipeline) -> tuple[tuple[str, Kind, int, str], ...]:
    if not pipeline.promotion.needs_person:
        return ()
    doc = (
        "Waits for a person's answer to the proposal that decide made; skipped where it made none, as in a backfill. "
        f"After {pipeline.promotion.approve_within} the proposal has expired."
    )
    return ((WINDOW, "approval", 1, doc),)


def _tags(pipeline: Pipeline, kind: str) -> tuple[str, ...]:
    # Airflow refuses longer ones, and with them the DAGs of every other pipeline.
    return (pipeline.name, pipeline.owner[:100], kind)


def _schedule(pipeline: Pipeline, every: Every) -> SchedulePlan:
    schedule = pipeline.schedule
    return SchedulePlan(schedule.cutoff, schedule.timezone, schedule.start, last_run(pipeline), every)


def _doc(pipeline: Pipeline, dag: str, summary: str) -> str:
    schedule = pipeline.schedule
    retrains = {"nightly": "every night", "weekly": "every Monday", "never": "by hand or by backfill"}
    until = f" to {schedule.end}, then {_days(pipeline.label.lag)} more for labels alone" if schedule.end else ""
    sources = "\n".join(
        f"| {name} | `{source.path}` | {_known(source)} | {_readers(pipeline, name)} |"
        for name, source in pipeline.inputs.items()
    )
    return f"""{summary}

Owner: {pipeline.owner}. Business dates from {schedule.start}{until}, at {schedule.cutoff} {schedule.timezone};
retrained {retrains[schedule.retrain]}. The logical date of a run is its business date `ds`.

| reads | landing | known | for |
|---|---|---|---|
{sources}

**Repair.** Correct or complete the landing files, then run the affected days again; whatever is up to date stays as
it is: `airflow backfill create --dag-id {dag} --from-date FIRST --to-date LAST --reprocess-behavior completed`
"""


def _known(source: Input) -> str:
    if source.snapshot:
        return f"newest snapshot, {_days(source.lag)} later" if source.lag else "newest snapshot"
    when = "at the cutoff" if source.lag == 0 else f"{_days(source.lag)} later"
    return when if source.lookback == 1 else f"{when}; {_days(source.lookback)} back"


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


def _readers(pipeline: Pipeline, source: str) -> str:
    readers = {"features": pipeline.feature_inputs, "labels": pipeline.label_inputs}
    return ", ".join(name for name, sources in readers.items() if source in sources)
