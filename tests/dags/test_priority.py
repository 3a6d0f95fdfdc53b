"""Tonight goes before the past: weights as Airflow asks for them, of a DAG that went through its serialisation."""

import json
import os
from pathlib import Path

import pytest

from nightshift.plan import make_plan
from tests.conftest import make_pipeline
from tests.dags.conftest import run_python
from tests.dags.test_dags import make_home

ASK = """
import json
from types import SimpleNamespace
from airflow.serialization.serialized_objects import DagSerialization
from nightshift.orchestration.dag import pipeline_dags

dag = next(dag for dag in pipeline_dags() if dag.dag_id == "parcels")
known = DagSerialization.from_dict(DagSerialization.to_dict(dag))

def weights(run_id):
    return {
        task.task_id: task.weight_rule.get_weight(SimpleNamespace(task=task, run_id=run_id)) for task in known.tasks
    }

runs = ("scheduled__2024-02-05T07:00:00+00:00", "manual__1", "backfill__2024-02-05T07:00:00+00:00")
print(json.dumps([weights(run) for run in runs]))
"""


@pytest.mark.process
def test_every_task_of_tonight_goes_before_any_task_of_a_backfill(tmp_path: Path) -> None:
    done = run_python(ASK, tmp_path, make_home(tmp_path / "home"))
    assert done.returncode == 0, done.stderr
    scheduled, manual, backfill = json.loads(done.stdout)
    assert backfill == {task.name: task.priority for task in make_plan(make_pipeline()).daily.tasks}
    assert scheduled == manual
    assert min(scheduled.values()) > max(backfill.values())
    assert sorted(scheduled, key=scheduled.__getitem__) == sorted(backfill, key=backfill.__getitem__)


@pytest.mark.process
def test_a_task_of_a_backfill_gives_way_on_the_processor(tmp_path: Path) -> None:
    code = "import os; from nightshift.orchestration.priority import give_way; give_way(); print(os.nice(0))"
    before = os.nice(0)
    assert run_python(code, tmp_path).stdout == f"{min(before + 10, 19)}\n"
