"""From plans to Airflow's DAGs. Nothing else in the project makes one."""

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_parsing_context

from nightshift.collector import uncollected
from nightshift.errors import SpecError
from nightshift.orchestration.last_valid import BROKEN, keep_plan, kept_plan
from nightshift.orchestration.orders import keys_of
from nightshift.orchestration.pods import PodScoreOperator
from nightshift.orchestration.priority import NAME
from nightshift.orchestration.spark import SparkStepOperator
from nightshift.orchestration.tasks import (
    BrokenSpecOperator,
    PlanShardsOperator,
    ScoreOperator,
    ShardOperator,
    StepOperator,
    TurnOperator,
    WaitOperator,
    say_why,
)
from nightshift.orchestration.timetable import CutoffTimetable
from nightshift.plan import DagPlan, Plan, TaskPlan, make_plan, pipeline_of
from nightshift.run_facts import LAST_STEPS
from nightshift.settings import Settings
from nightshift.specs.load import find_spec, load_all, load_each, load_whole
from nightshift.specs.model import Pipeline

# Short, since what is waited for is seldom longer than a Spark job of some days.
SPARK_POKE_SECONDS = 5
SHARD_NAME = "shard {{ ti.map_index }}"


@uncollected()
def pipeline_dags(settings: Settings | None = None) -> list[DAG]:
    """Both DAGs of every spec, of a broken one as they last were; inside a task only the one that it belongs to.

    What reading a spec leaves behind has no cycles, and goes by itself; DAGs stay.
    """
    settings = settings or Settings.from_env()
    context = get_parsing_context()
    if context.dag_id is not None:
        return [_dag_of_task(settings, context.dag_id, context.task_id or "")]
    plans = (_plan(settings, name, found) for name, found in load_each(settings).items())
    return [build_dag(dag, settings) for plan in plans if plan for dag in (plan.daily, plan.retrain)]


@uncollected()
def broken_specs(settings: Settings | None = None) -> SpecError | None:
    """One error that lists every invalid spec, or None."""
    errors = load_all(settings or Settings.from_env())[1]
    head = f"invalid specs: their nights fail, their DAGs stay as they last were, tagged {BROKEN}"
    return SpecError("\n".join([head, *map(str, errors)])) if errors else None


def build_dag(plan: DagPlan, settings: Settings) -> DAG:
    """The DAG of a plan."""
    dag = DAG(
        dag_id=plan.name,
        description=plan.title,
        doc_md=plan.doc,
        schedule=CutoffTimetable(plan.schedule),
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=plan.max_active_runs,
        tags=list(plan.tags),
        params={
            name: Param(key.default, description=key.means, **key.schema) for name, key in keys_of(plan.name).items()
        },
        default_args={"owner": plan.owner, "on_failure_callback": say_why, "on_retry_callback": say_why},
    )
    operators: dict[str, Any] = {}
    for task in plan.tasks:
        upstream = [operators[name] for name in task.after]
        operators[task.name] = _operator(task, dag, settings, upstream)
        operators[task.name].set_upstream(upstream)
    return dag


def _plan(settings: Settings, file: str, found: Pipeline | SpecError) -> Plan | None:
    """The plan of a spec's file; of one that is broken that of its last valid version, if there is one."""
    if isinstance(found, SpecError):
        name, _, kind = file.rpartition(".")
        return kept_plan(settings, name, found) if kind == "yaml" else None
    plan = make_plan(found)
    keep_plan(settings, plan)
    return plan


def _dag_of_task(settings: Settings, name: str, task: str) -> DAG:
    """The DAG that a task belongs to; where its spec is broken, one whose only task is this one and fails."""
    try:
        plan = make_plan(load_whole(settings, find_spec(settings, pipeline_of(name))))
    except SpecError as error:
        dag = DAG(dag_id=name, schedule=None, default_args={"on_failure_callback": say_why})
        BrokenSpecOperator(task_id=task, dag=dag, error=error)
        return dag
    return build_dag(plan.retrain if name == plan.retrain.name else plan.daily, settings)


def _operator(task: TaskPlan, dag: DAG, settings: Settings, upstream: list[Any]) -> Any:
    arguments: dict[str, Any] = {
        "dag": dag,
        "task_id": task.name,
        "doc_md": task.doc,
        "retries": task.retries,
        "execution_timeout": timedelta(seconds=task.timeout),
        "pool": task.pool,
        "priority_weight": task.priority,
        "weight_rule": NAME,
        "trigger_rule": task.trigger_rule,
        # What a step said is on its run's page. An XCom of it would be three calls of Airflow's API that nobody reads;
        # that of the last one is what the scheduler makes the run's note of.
        "do_xcom_push": task.kind == "plan_shards" or task.name in LAST_STEPS,
    }
    waiting = {"timeout": task.wait, "poke_interval": settings.poke_seconds}
    match task.kind:
        case "step" | "plan_shards":
            return (StepOperator if task.kind == "step" else PlanShardsOperator)(**arguments)
        case "spark":
            return SparkStepOperator(timeout=task.wait, poke_interval=SPARK_POKE_SECONDS, **arguments)
        case "wait":
            return WaitOperator(**waiting, **arguments)
        case "turn":
            return TurnOperator(**waiting, **arguments)
        case "approval":
            # The provider of Airflow's windows is imported where a spec asks for one.
            from nightshift.orchestration.approval import approval_operator

            wait = timedelta(seconds=task.wait)
            return approval_operator(pipeline_of(dag.dag_id), response_timeout=wait, **arguments)
        case "shard":
            # What scores ends at its deadline and says so; Airflow's own limit is for when even that hangs.
            arguments["execution_timeout"] += timedelta(minutes=1)
            scores: type[ShardOperator] = ScoreOperator
            if settings.compute == "kubernetes":
                scores = PodScoreOperator
                arguments["execution_timeout"] += timedelta(seconds=2 * task.start)
            else:
                arguments["deadline"] = task.timeout
            mapped = scores.partial(map_index_template=SHARD_NAME, **arguments)
            return mapped.expand(shard=upstream[0].output)
