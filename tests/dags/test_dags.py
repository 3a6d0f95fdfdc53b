"""The real DAG files, parsed as Airflow parses them, each time in a process of its own."""

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightshift.orchestration.last_valid import BROKEN
from nightshift.orchestration.orders import keys_of
from nightshift.plan import make_plan
from nightshift.settings import Settings
from nightshift.specs.load import load_all
from tests.conftest import PROJECT, make_pipeline, spec_document
from tests.dags.conftest import run_python

pytestmark = pytest.mark.process

MODULE = "def build(inputs, days):\n    return None\n\n\ndef label(inputs, days):\n    return None\n"

PARSE = """
import json, sys, time
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

before = set(sys.modules)
started = time.process_time()
bag = DagBag(Path("{dags}"), bundle_path=Path("{dags}"))
seconds = time.process_time() - started
modules = sorted(sys.modules)

def task(found):
    known = DagSerialization.from_dict(DagSerialization.to_dict(found.dag)).get_task(found.task_id)
    return {{
        "retries": found.retries,
        "timeout": found.execution_timeout.total_seconds(),
        "owner": found.owner,
        "doc": found.doc_md,
        "pool": found.pool,
        "priority": known.priority_weight,
        "weight_rule": str(getattr(found.weight_rule, "value", found.weight_rule)),
        "rule": str(getattr(found.trigger_rule, "value", found.trigger_rule)),
        "after": sorted(found.upstream_task_ids),
        "kind": found.task_type,
        "mapped": found.is_mapped,
        "links": sorted(known.extra_links),
    }}

def known(found):
    return DagSerialization.from_dict(DagSerialization.to_dict(found)).params.items()

def dag(found):
    return {{
        "tasks": {{each.task_id: task(each) for each in found.tasks}},
        "tags": sorted(found.tags),
        "catchup": found.catchup,
        "description": found.description,
        "doc": found.doc_md,
        "paused": found.is_paused_upon_creation,
        "max_active_runs": found.max_active_runs,
        "params": {{name: [param.value, param.schema, param.description] for name, param in known(found)}},
        "file": found.fileloc,
        "backfills": DagSerialization.from_dict(DagSerialization.to_dict(found)).timetable.periodic,
    }}

print(json.dumps({{
    "dags": {{name: dag(found) for name, found in bag.dags.items()}},
    "errors": bag.import_errors,
    "modules": modules,
    "seconds": seconds,
}}))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project with the specs parcels (nightly) and letters (weekly), and the real DAG files."""
    return make_home(tmp_path / "home")


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a parse of such a project finds."""
    return parse(make_home(tmp_path_factory.mktemp("parsed") / "home"))


def make_home(home: Path) -> Path:
    shutil.copytree(PROJECT / "dags", home / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    add_spec(home, spec_document())
    schedule = {**spec_document()["schedule"], "retrain": "weekly"}
    add_spec(home, spec_document(pipeline="letters", owner="post", schedule=schedule))
    return home


def add_spec(home: Path, document: dict[str, Any]) -> Path:
    modules, specs = home / "spark_jobs" / "features", home / "include" / "pipelines"
    for folder in (modules, specs):
        folder.mkdir(parents=True, exist_ok=True)
    (modules / f"{document['pipeline']}.py").write_text(MODULE)
    path = specs / f"{document['pipeline']}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def break_letters(home: Path) -> None:
    path = home / "include" / "pipelines" / "letters.yaml"
    path.write_text(path.read_text().replace("owner: post", "ower: post"))


def parse(home: Path) -> dict[str, Any]:
    done = run_python(PARSE.format(dags=home / "dags"), home.parent, home)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_each_valid_spec_has_its_two_dags_and_nothing_else_has(parsed: dict[str, Any]) -> None:
    assert sorted(parsed["dags"]) == ["letters", "letters__retrain", "parcels", "parcels__retrain"]
    assert parsed["errors"] == {}


def test_the_projects_own_dags_are_those_of_its_specs(tmp_path: Path) -> None:
    names = [pipeline.name for pipeline in load_all(Settings.from_env({"NIGHTSHIFT_HOME": str(PROJECT)}))[0]]
    done = run_python(PARSE.format(dags=PROJECT / "dags"), tmp_path)
    found = json.loads(done.stdout.splitlines()[-1])
    assert sorted(found["dags"]) == sorted(name + end for name in names for end in ("", "__retrain"))


def test_a_dag_is_its_plan(parsed: dict[str, Any]) -> None:
    found = parsed["dags"]
    plan = make_plan(make_pipeline())
    for planned in (plan.daily, plan.retrain):
        dag = found[planned.name]
        assert (dag["description"], dag["doc"]) == (planned.title, planned.doc)
        assert dag["tags"] == sorted(planned.tags)
        assert (dag["catchup"], dag["paused"], dag["backfills"]) == (False, False, True)
        assert dag["max_active_runs"] == planned.max_active_runs
        assert dag["file"].endswith("home/dags/model_pipelines.py")
        assert list(dag["tasks"]) == [task.name for task in planned.tasks]
        for task in planned.tasks:
            made = dag["tasks"][task.name]
            assert made["after"] == sorted(task.after)
            assert (made["retries"], made["pool"], made["rule"]) == (task.retries, task.pool, task.trigger_rule)
            assert (made["priority"], made["doc"]) == (task.priority, task.doc)
            assert made["timeout"] == task.timeout + (60 if task.kind == "shard" else 0)


def test_the_trigger_form_has_what_a_person_may_order(parsed: dict[str, Any]) -> None:
    for name, dag in parsed["dags"].items():
        keys = keys_of(name)
        assert list(dag["params"]) == list(keys)
        for key, (value, schema, description) in dag["params"].items():
            assert (value, schema, description) == (keys[key].default, dict(keys[key].schema), keys[key].means)
    assert "rebuild" in parsed["dags"]["parcels"]["params"]
    assert "rebuild" not in parsed["dags"]["parcels__retrain"]["params"]


def test_every_task_has_retries_a_timeout_an_owner_and_a_doc(parsed: dict[str, Any]) -> None:
    owners = {"parcels": "logistics", "letters": "post"}
    for name, dag in parsed["dags"].items():
        for task_id, task in dag["tasks"].items():
            assert task["retries"] >= 2, task_id
            assert task["timeout"] > 0, task_id
            assert task["owner"] == owners[name.removesuffix("__retrain")], task_id
            assert task["doc"], task_id


def test_kinds_of_tasks_become_their_operators(parsed: dict[str, Any]) -> None:
    dags = parsed["dags"]
    kinds = {
        name: task["kind"] for dag in (dags["parcels"], dags["parcels__retrain"]) for name, task in dag["tasks"].items()
    }
    special = {name: kind for name, kind in kinds.items() if kind != "StepOperator"}
    assert special == {
        "inputs_landed": "WaitOperator",
        "build_features": "SparkStepOperator",
        "plan_scoring": "PlanShardsOperator",
        "score": "ScoreOperator",
        "build_window": "SparkStepOperator",
        "decide": "TurnOperator",
    }
    assert [name for name, task in dags["parcels"]["tasks"].items() if task["mapped"]] == ["score"]
    assert dags["parcels"]["tasks"]["gate_inputs"]["links"] == ["Gate report", "MLflow run", "What this run did"]


def test_parsing_imports_nothing_heavy(parsed: dict[str, Any]) -> None:
    """Every task pays for it: each parses its DAG file again."""
    heavy = (
        "pyspark", "mlflow", "great_expectations", "xgboost", "pandas", "sklearn", "kubernetes", "deltalake", "psycopg",
        "matplotlib", "fastapi", "pyarrow", "numpy",
        "airflow.providers.apache.spark.operators", "airflow.providers.apache.spark.hooks",
        "airflow.providers.cncf.kubernetes.operators", "airflow.providers.cncf.kubernetes.hooks",
        "airflow.providers.standard.operators.hitl",
    )  # fmt: skip
    assert [
        name for name in parsed["modules"] if name in heavy or name.startswith(tuple(f"{one}." for one in heavy))
    ] == []
    assert parsed["seconds"] < 3, "cpu seconds"


def test_a_task_builds_its_own_dag_alone_and_reads_no_other_spec(home: Path) -> None:
    (home / "include" / "pipelines" / "letters.yaml").write_text("pipeline: [")
    inside = {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": "parcels__retrain", "_AIRFLOW_PARSING_CONTEXT_TASK_ID": "train"}
    code = f"import runpy; print(list(runpy.run_path({str(home / 'dags' / 'model_pipelines.py')!r})))"
    done = run_python(code, home.parent, home, **inside)
    assert "parcels__retrain" in done.stdout, done.stderr[-3000:]
    assert "letters" not in done.stdout
    assert "'parcels'" not in done.stdout


def test_a_broken_spec_takes_no_other_dag_away_and_is_told_once(home: Path) -> None:
    break_letters(home)
    add_spec(home, spec_document(pipeline="stamps", training={"window": 2}))
    found = parse(home)
    assert sorted(found["dags"]) == ["parcels", "parcels__retrain"]
    assert list(found["errors"]) == ["broken_specs.py"]
    message = found["errors"]["broken_specs.py"]
    assert "letters.yaml:2" in message
    assert "did you mean owner?" in message
    assert "stamps.yaml:" in message


def test_a_spec_whose_feature_module_is_missing_is_broken_too(home: Path) -> None:
    (home / "spark_jobs" / "features" / "letters.py").unlink()
    found = parse(home)
    assert sorted(found["dags"]) == ["parcels", "parcels__retrain"]
    assert "the feature module" in found["errors"]["broken_specs.py"]


@pytest.mark.parametrize("kind", ["spec", "module"])
def test_a_spec_that_breaks_keeps_its_last_valid_dags_marked(home: Path, kind: str) -> None:
    before = parse(home)
    path = home / "include" / "pipelines" / "letters.yaml"
    module, text = home / "spark_jobs" / "features" / "letters.py", path.read_text()
    if kind == "spec":
        break_letters(home)
    else:
        module.write_text("def build(inputs, days:\n")
    found = parse(home)
    assert list(found["errors"]) == ["broken_specs.py"]
    for name, dag in before["dags"].items():
        now = found["dags"][name]
        if name.startswith("parcels"):
            assert now == dag
            continue
        assert now["tags"] == sorted([*dag["tags"], BROKEN])
        assert now["doc"].endswith(dag["doc"])
        assert ("letters.yaml:2" if kind == "spec" else "letters.py:1: not valid Python") in now["doc"]
        assert "nightshift check letters" in now["doc"]
        assert {**now, "tags": 0, "doc": 0} == {**dag, "tags": 0, "doc": 0}, (
            "tasks, schedule and params are as they were"
        )
    path.write_text(text)
    module.write_text(MODULE)
    assert parse(home) | {"seconds": 0, "modules": 0} == before | {"seconds": 0, "modules": 0}


def test_a_spec_that_is_deleted_takes_its_dags_along(home: Path) -> None:
    assert "letters" in parse(home)["dags"]
    (home / "include" / "pipelines" / "letters.yaml").unlink()
    found = parse(home)
    assert (sorted(found["dags"]), found["errors"]) == (["parcels", "parcels__retrain"], {})


def test_a_disk_that_keeps_nothing_costs_no_dag(home: Path) -> None:
    (home.parent / "var").write_text("no folder")
    assert sorted(parse(home)["dags"]) == ["letters", "letters__retrain", "parcels", "parcels__retrain"]
    break_letters(home)
    assert sorted(parse(home)["dags"]) == ["parcels", "parcels__retrain"]


@pytest.mark.parametrize("content", [b"{", b"[]", None])
def test_what_is_no_kept_plan_of_this_pipeline_shows_nothing(home: Path, content: bytes | None) -> None:
    whole = parse(home)
    kept = home.parent / "var" / "last-valid"
    other = (kept / "parcels.json").read_bytes()
    (kept / "letters.json").write_bytes(other if content is None else content)
    break_letters(home)
    found = parse(home)
    assert found["dags"] == {name: dag for name, dag in whole["dags"].items() if name.startswith("parcels")}


def test_a_task_of_a_broken_spec_has_a_dag_in_which_it_can_only_fail(home: Path) -> None:
    parse(home)
    break_letters(home)
    inside = {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": "letters", "_AIRFLOW_PARSING_CONTEXT_TASK_ID": "gate_inputs"}
    code = (
        f"import runpy; dag = runpy.run_path({str(home / 'dags' / 'model_pipelines.py')!r})['letters']; "
        "print(dag.task_ids, dag.get_task('gate_inputs').task_type, dag.get_task('gate_inputs').error)"
    )
    done = run_python(code, home.parent, home, **inside)
    assert "['gate_inputs'] BrokenSpecOperator" in done.stdout, done.stderr[-3000:]
    assert "letters.yaml:2" in done.stdout


def test_reading_specs_leaves_no_cycles_to_the_garbage_collector(home: Path) -> None:
    """It is off meanwhile: what had cycles would pile up."""
    settings = Settings.from_env({"NIGHTSHIFT_HOME": str(home)})
    load_all(settings)
    gc.collect()
    gc.disable()
    try:
        load_all(settings)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_project_without_specs_parses(home: Path) -> None:
    shutil.rmtree(home / "include" / "pipelines")
    found = parse(home)
    assert (found["dags"], found["errors"]) == ({}, {})
