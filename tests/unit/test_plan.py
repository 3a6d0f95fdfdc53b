import json
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from nightshift.plan import DagPlan, TaskPlan, make_plan, pipeline_of
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline, spec_document

GOLDEN = Path(__file__).with_name("golden") / "parcels_plan.json"


def as_json(pipeline: Pipeline) -> Any:
    return json.loads(json.dumps(make_plan(pipeline).document(), default=str))


def schedule(**changes: Any) -> dict[str, Any]:
    return {"schedule": {**spec_document()["schedule"], **changes}}


def test_the_plan_of_parcels_is_the_golden_one(pipeline: Pipeline) -> None:
    """After a change on purpose: python -m tests.unit.test_plan writes the file again; read its diff."""
    assert as_json(pipeline) == json.loads(GOLDEN.read_text())


def test_the_edges_of_a_night(pipeline: Pipeline) -> None:
    edges = {task.name: task.after for task in make_plan(pipeline).daily.tasks}
    assert edges == {
        "inputs_landed": (),
        "gate_inputs": ("inputs_landed",),
        "build_features": ("gate_inputs",),
        "gate_features": ("build_features",),
        "gate_labels": ("build_features",),
        "plan_scoring": ("gate_features",),
        "score": ("plan_scoring",),
        "gate_predictions": ("score",),
        "monitor": ("gate_predictions", "gate_labels"),
    }


def test_labels_are_never_upstream_of_scoring(pipeline: Pipeline) -> None:
    tasks = {task.name: task for task in make_plan(pipeline).daily.tasks}
    upstream, waiting = set[str](), ["gate_predictions"]
    while waiting:
        name = waiting.pop()
        upstream.add(name)
        waiting.extend(tasks[name].after)
    assert "gate_labels" not in upstream


def test_a_retrain_is_a_chain(pipeline: Pipeline) -> None:
    tasks = make_plan(pipeline).retrain.tasks
    assert [task.name for task in tasks] == [
        "window_inputs", "build_window", "gate_window", "training_set", "gate_training", "train",
        "evaluate_and_register", "decide", "promote",
    ]  # fmt: skip
    assert [task.after for task in tasks] == [(), *((task.name,) for task in tasks[:-1])]


def asking() -> Pipeline:
    return make_pipeline(promotion={**spec_document()["promotion"], "approval": "required", "approve_within": "36h"})


def test_a_person_is_asked_between_the_decision_and_the_ledger() -> None:
    plan = make_plan(asking())
    *_, decide, approval, promote = plan.retrain.tasks
    assert (approval.name, approval.kind, approval.after, approval.wait) == (
        "approval",
        "approval",
        ("decide",),
        129600,
    )
    assert (promote.after, promote.trigger_rule) == (("approval",), "none_failed")
    assert (decide.trigger_rule, approval.trigger_rule) == ("all_success", "all_success")
    assert plan.retrain.max_active_runs == 16, "one that waits must not keep tomorrow's from its turn"


def test_a_night_asks_nobody() -> None:
    assert make_plan(asking()).daily == make_plan(make_pipeline()).daily


def every_task(pipeline: Pipeline) -> list[tuple[DagPlan, TaskPlan]]:
    plan = make_plan(pipeline)
    return [(dag, task) for dag in (plan.daily, plan.retrain) for task in dag.tasks]


def test_every_task_has_retries_a_timeout_and_a_doc(pipeline: Pipeline) -> None:
    for dag, task in every_task(pipeline):
        assert task.retries >= 2, task.name
        assert task.timeout > 0, task.name
        assert task.doc.endswith("."), task.name
        assert dag.owner == "logistics"


def test_spark_has_a_pool_of_its_own(pipeline: Pipeline) -> None:
    pools = {task.name: task.pool for _, task in every_task(pipeline) if task.kind == "spark"}
    assert pools == {"build_features": "nightshift_spark", "build_window": "nightshift_spark"}


def test_earlier_tasks_go_first_so_that_a_backfill_builds_many_days_at_once(pipeline: Pipeline) -> None:
    plan = make_plan(pipeline)
    for dag in (plan.daily, plan.retrain):
        priority = {task.name: task.priority for task in dag.tasks}
        assert all(priority[above] > task.priority for task in dag.tasks for above in task.after)


def test_what_the_spec_says_reaches_the_plan() -> None:
    pipeline = make_pipeline(
        **schedule(wait="90m", retrain="weekly"), scoring={"deadline": "3m"}, description="Soon?", owner="post"
    )
    plan = make_plan(pipeline)
    tasks = {task.name: task for _, task in every_task(pipeline)}
    assert (tasks["inputs_landed"].wait, tasks["score"].timeout) == (5400, 180)
    assert (plan.daily.schedule.every, plan.retrain.schedule.every) == ("day", "week")
    assert plan.daily.title == "Soon?"
    assert plan.daily.tags == ("parcels", "post", "daily")
    assert plan.retrain.name == "parcels__retrain"


def test_runs_go_on_after_the_end_for_labels_alone(pipeline: Pipeline) -> None:
    assert make_plan(pipeline).daily.schedule.last == date(2024, 4, 1)
    assert make_plan(make_pipeline(**schedule(end=None))).daily.schedule.last is None


@pytest.mark.parametrize("retrain", ["nightly", "weekly", "never"])
def test_the_daily_dag_runs_daily_however_often_a_pipeline_retrains(retrain: str) -> None:
    assert make_plan(make_pipeline(**schedule(retrain=retrain))).daily.schedule.every == "day"


def test_the_doc_says_what_is_read_and_how_to_repair(pipeline: Pipeline) -> None:
    doc = make_plan(pipeline).daily.doc
    assert "| deliveries | `parcels/deliveries/ds={ds}/*.csv` | 1 day later; 3 days back | features, labels |" in doc
    assert "| orders | `parcels/orders/ds={ds}/*.csv` | at the cutoff | features |" in doc
    assert "| depots | `parcels/depots/as_of={ds}/*.csv` | newest snapshot | features |" in doc
    assert "from 2024-02-01 to 2024-03-31, then 1 day more for labels alone" in doc
    assert (
        "airflow backfill create --dag-id parcels --from-date FIRST --to-date LAST --reprocess-behavior completed"
    ) in doc


def test_a_long_owner_does_not_make_a_tag_that_airflow_refuses() -> None:
    assert [len(tag) for tag in make_plan(make_pipeline(owner="o" * 300)).daily.tags] == [7, 100, 5]


def test_a_plan_is_plain_data(pipeline: Pipeline) -> None:
    assert {field.name for field in fields(make_plan(pipeline))} == {"daily", "retrain"}
    assert make_plan(pipeline) == make_plan(make_pipeline())


def test_a_dag_knows_its_pipeline() -> None:
    assert pipeline_of("parcels") == pipeline_of("parcels__retrain") == "parcels"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(as_json(make_pipeline()), indent=1) + "\n")
