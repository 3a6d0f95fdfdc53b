"""Parsing the DAG file, beside one that makes as many DAGs with as many empty tasks.

``python -m benchmarks.parse FILE`` prints the cpu seconds of one parse by Airflow's own DagBag, imports of Airflow
apart, and how many tasks it found.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from benchmarks.figures import Figure, Result, Target
from benchmarks.measure import PROJECT, Cost, each, python, take_turns
from benchmarks.session import Session

EMPTY = '''
"""As many DAGs and tasks as {specs} specs make."""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

for number in range(2 * {specs}):
    dag = DAG(f"empty_{{number}}", schedule="0 2 * * *")
    before = []
    for task in range(9):
        operator = EmptyOperator(task_id=f"task_{{task}}", dag=dag)
        operator.set_upstream(before)
        before = [operator]
    globals()[dag.dag_id] = dag
'''


def run(session: Session) -> Result:
    """Two figures for each number of specs: the whole process, and the parse in it."""
    counts = (1, session.pick(200, 3))
    return Result(tuple(figure for count in counts for figure in _beside_empty(session, count)))


def _beside_empty(session: Session, specs: int) -> tuple[Figure, Figure]:
    home, other = _project(session.folder / f"specs-{specs}", specs), _empty(session.folder / f"empty-{specs}", specs)
    ours, theirs = take_turns(
        lambda: _parse(home, "model_pipelines.py"),
        lambda: _parse(other, "empty.py"),
        session.pick(3 if specs > 1 else 5, 1),
        session.say,
        warm=not session.quick,
    )
    found = {json.loads(cost.output)["tasks"] for cost in (*ours, *theirs)}
    if found != {specs * 18}:
        raise RuntimeError(f"{specs} specs make {specs * 18} tasks, found {found}")
    word = "spec" if specs == 1 else "specs"
    name, peer = f"DAG file with {specs} {word}", f"{specs * 18:,} empty tasks in {specs * 2} DAGs"
    whole = Figure(
        name=f"{name}, process from its start",
        unit="cpu s",
        samples=each(ours, lambda cost: cost.cpu),
        peer=peer,
        peer_samples=each(theirs, lambda cost: cost.cpu),
        target=Target("at most", 1.3),
    )
    parse = Figure(
        name=f"{name}, the parse alone",
        unit="cpu s",
        samples=each(ours, _parsing),
        peer=peer,
        peer_samples=each(theirs, _parsing),
    )
    return whole, parse


def _parsing(cost: Cost) -> float:
    return float(json.loads(cost.output)["seconds"])


def _project(home: Path, specs: int) -> Path:
    """A project with copies of the demo's spec under other names."""
    for name in ("dags", "plugins"):
        shutil.copytree(PROJECT / name, home / name, ignore=shutil.ignore_patterns("__pycache__"))
    pipelines, features = home / "include" / "pipelines", home / "spark_jobs" / "features"
    pipelines.mkdir(parents=True)
    features.mkdir(parents=True)
    spec = (PROJECT / "include" / "pipelines" / "flights.yaml").read_text()
    for number in range(specs):
        name = f"flights_{number}"
        text = spec.replace("pipeline: flights\n", f"pipeline: {name}\n")
        (pipelines / f"{name}.yaml").write_text(text)
        shutil.copy(PROJECT / "spark_jobs" / "features" / "flights.py", features / f"{name}.py")
    return home


def _empty(home: Path, specs: int) -> Path:
    (home / "dags").mkdir(parents=True)
    (home / "plugins").mkdir()
    (home / "dags" / "empty.py").write_text(EMPTY.format(specs=specs))
    return home


def airflow_environment(home: Path) -> dict[str, str]:
    """The variables with which Airflow, without a database, parses the DAGs below ``home``."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "NIGHTSHIFT"))}
    return {
        **base,
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONWARNINGS": "ignore",
        "NIGHTSHIFT_HOME": str(home),
        "NIGHTSHIFT_VAR": str(home / "var"),
    }


def _parse(home: Path, file: str) -> Cost:
    return python("-m", "benchmarks.parse", home / "dags" / file, env=airflow_environment(home))


def parse(file: Path) -> dict[str, float]:
    """Parses a DAG file in this process."""
    import airflow.providers.standard.operators.empty
    import airflow.sdk  # noqa: F401  a dag-processor has both already
    from airflow.dag_processing.dagbag import DagBag

    began = time.process_time()
    bag = DagBag(file, bundle_path=file.parent)
    seconds = time.process_time() - began
    if bag.import_errors:
        raise RuntimeError(str(bag.import_errors))
    return {"seconds": seconds, "tasks": sum(len(dag.tasks) for dag in bag.dags.values())}


if __name__ == "__main__":
    print(json.dumps(parse(Path(sys.argv[1]))))
