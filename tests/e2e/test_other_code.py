"""A platform runs the code that is on disk, with no restart.

It is left with other code than ours: by its name this file comes after all others that use the platform.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import nightshift
from nightshift.platform import local, supervisor
from nightshift.platform.layout import Layout
from tests.live import Live
from tests.needs import needs
from tests.waiting import until

pytestmark = [
    needs(sys.platform != "darwin", "tasks are not forked on macOS", "a task runs the code on disk"),
    pytest.mark.platform,
    pytest.mark.xdist_group("platform"),
]

CHANGING = """
import sys
FOUND = [name for name in ("nightshift.training.run", "great_expectations") if name in sys.modules]
from airflow.sdk import DAG, task
from nightshift.orchestration import dag as module
MARK = getattr(module, "MARK", "first")

with DAG("changing", schedule=None, description=MARK):
    @task
    def look() -> list[str]:
        return [module.__file__, MARK, *FOUND]

    look()
"""


def test_a_running_platform_needs_no_restart(live_platform: Live) -> None:
    home = live_platform.settings.home
    copy, file = home / "nightshift", home / "dags" / "changing.py"
    shutil.copytree(Path(nightshift.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    restart(live_platform)  # `home` comes first on their path
    file.write_text(CHANGING)
    changed = str(copy / "orchestration" / "dag.py")
    assert looked(live_platform, "first") == [changed, "first", "nightshift.training.run", "great_expectations"]
    # A new name in a module that the plugins import, needed by one that only DAG files do.
    with (copy / "orchestration" / "links.py").open("a") as links, Path(changed).open("a") as dag:
        links.write("\nNEW = 'second'\n")
        dag.write("\nfrom nightshift.orchestration.links import NEW as MARK\n")
    os.utime(file)
    assert looked(live_platform, "second") == [changed, "second", "great_expectations"]
    assert live_platform.api("/api/v2/importErrors")["import_errors"] == []


def restart(live: Live) -> None:
    """Restarts what forks."""
    layout = Layout(live.settings.var)
    for name in ("airflow-scheduler", "airflow-dag-processor"):
        supervisor.stop_program(layout, name)
        until(lambda name=name: not supervisor.running(layout)[name].pid)
        supervisor.start_program(layout, name)
    local.up(live.settings, lambda line: None)


def looked(live: Live, mark: str) -> Any:
    """What the task says once Airflow knows the DAG with this description."""
    until(lambda: any(dag["description"] == mark for dag in live.api("/api/v2/dags?dag_id_pattern=changing")["dags"]))
    live.api("/api/v2/dags/changing/dagRuns", "POST", {"logical_date": None, "dag_run_id": mark})
    run = f"/api/v2/dags/changing/dagRuns/{mark}"
    until(lambda: live.api(run)["state"] in ("success", "failed"))
    return live.api(f"{run}/taskInstances/look/xcomEntries/return_value")["value"]
