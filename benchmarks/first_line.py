"""What a step's process has spent before the first line of its use case.

``python -m benchmarks.first_line shell STEP …`` is ``nightshift STEP …`` up to there. ``… forked`` imports what the
scheduler of the local platform does, and forks a task for each step: its cpu is what the task itself adds.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from statistics import median

from benchmarks.figures import Figure, Result, Table, Target
from benchmarks.measure import PROJECT, python
from benchmarks.parse import airflow_environment
from benchmarks.session import Session

PIPELINE, DAY = "flights", "2013-03-04"


def run(session: Session) -> Result:
    """The cpu seconds of every step in a shell and in a task of the scheduler."""
    from nightshift.steps import STEPS

    names = list(STEPS)[:2] if session.quick else list(STEPS)
    environment = airflow_environment(PROJECT) | {"AIRFLOW_HOME": str(session.folder / "airflow")}
    shell: dict[str, list[float]] = {name: [] for name in names}
    forked: dict[str, list[float]] = {name: [] for name in names}
    for number in range(session.pick(3, 1)):
        session.say(f"round {number + 1}")
        for name in names:
            shell[name].append(float(python("-m", "benchmarks.first_line", "shell", name, env=environment).output))
        output = python("-m", "benchmarks.first_line", "forked", *names, env=environment).output
        for name, seconds in json.loads(output.splitlines()[-1]).items():
            forked[name].append(seconds)
    rows = tuple(
        (STEPS[name].dag, name, round(median(shell[name]), 3), round(median(forked[name]), 3)) for name in names
    )
    table = Table(
        title="Cpu seconds of a step's process before the first line of its use case",
        heads=("dag", "step", "`nightshift run` in a shell", "task of the scheduler"),
        rows=rows,
    )
    return Result((_largest(shell, forked),), (table,))


def _largest(shell: dict[str, list[float]], forked: dict[str, list[float]]) -> Figure:
    name = max(forked, key=lambda step: median(forked[step]))
    return Figure(
        name=f"first line of {name}, the dearest step, in a task",
        unit="cpu s",
        samples=tuple(forked[name]),
        peer="the same step in a shell",
        peer_samples=tuple(shell[name]),
        target=Target("at most", 1.0),
    )


def shell_seconds(step: str) -> float:
    """The cpu seconds of this process when the use case would begin; does not return."""
    import nightshift.steps
    from nightshift.cli import main

    nightshift.steps.Step.function = _told(nightshift.steps.Step.function)  # type: ignore[method-assign]
    sys.argv = ["nightshift", "run", PIPELINE, step, "--ds", DAY]
    main()
    raise RuntimeError(f"{step} has not begun")


def _told(function: Callable[..., object]) -> Callable[..., object]:
    def instead(step: object) -> object:
        function(step)
        print(time.process_time(), flush=True)
        os._exit(0)

    return instead


def forked_seconds(steps: list[str]) -> dict[str, float]:
    """The cpu seconds of a forked task up to the same moment: its DAG file parsed, its use case imported."""
    return {step: _in_child(lambda step=step: _begin(step)) for step in steps}


def _begin(step: str) -> None:
    from pathlib import Path

    from airflow.dag_processing.dagbag import DagBag

    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline
    from nightshift.steps import find_step

    found = find_step(step)
    os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = PIPELINE if found.dag == "daily" else f"{PIPELINE}__retrain"
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    bag = DagBag(folder / "model_pipelines.py", bundle_path=folder)
    if bag.import_errors or not bag.dags:
        raise RuntimeError(f"no DAG: {bag.import_errors}")
    load_pipeline(Settings.from_env(), PIPELINE)
    found.function()


def _in_child(work: Callable[[], None]) -> float:
    """The cpu seconds of some work in a forked process."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        began = time.process_time()
        work()
        os.write(writer, str(time.process_time() - began).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        seconds = said.read()
    os.wait()
    return float(seconds)


def main(way: str, steps: list[str]) -> None:
    """Prints what it measured."""
    if way == "shell":
        shell_seconds(steps[0])
    from nightshift.platform.preload import airflow_local_settings

    airflow_local_settings.preload(airflow_local_settings.MODULES)
    airflow_local_settings.preload_own(airflow_local_settings.TASKS)
    import airflow.dag_processing.dagbag  # noqa: F401  the task runner has it

    print(json.dumps(forked_seconds(steps)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
