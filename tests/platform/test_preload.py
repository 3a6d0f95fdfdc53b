"""What the scheduler imports for its tasks: they find it, and never run other code than what is on disk."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import nightshift
from nightshift.steps import STEPS
from tests.live import PROJECT
from tests.needs import needs

pytestmark = [
    needs(
        sys.platform != "darwin",
        "tasks are not forked on macOS",
        "a task finds its modules imported, of the code on disk",
    ),
    pytest.mark.process,
]

# A scheduler that has imported what DAG files need, forked a worker, and later a second one; each forks tasks.
SCHEDULER = """
import json, os, sys
import airflow_local_settings

def forked(work):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        try:
            said = work()
        except BaseException as error:
            said = repr(error)
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        said = lines.read()
    os.wait()
    return json.loads(said)

def task():
    found = [name for name in sys.modules if name.split(".")[0] == "nightshift"]
    from nightshift import plan
    return {"found": len(found), "mark": getattr(plan, "MARK", "first")}

def worker():
    from nightshift import plan  # as Airflow may, for all that is known of it
    before = forked(task)
    exec(CHANGE)
    after = forked(task)
    exec(BACK)
    return [before, after, forked(task)]

CHANGE, BACK = sys.argv[1:]
print(json.dumps([forked(task), *forked(worker), forked(lambda: forked(task))]))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    source = Path(nightshift.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(source, tmp_path / "path" / "nightshift", ignore=ignored))


def python(package: Path, script: str, *arguments: str, preload: str = "dags") -> "subprocess.CompletedProcess[str]":
    """Runs a script that finds the copy, and the module that Airflow imports when it starts."""
    path = os.pathsep.join(map(str, (package / "platform" / "preload", package.parent)))
    environment = {**os.environ, "PYTHONPATH": path, "NIGHTSHIFT_PRELOAD": preload, "PYTHONWARNINGS": "ignore"}
    environment |= {"AIRFLOW_HOME": str(package.parent / "airflow"), "NIGHTSHIFT_HOME": str(PROJECT)}
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def seen(package: Path, change: str, back: str = "") -> list[Any]:
    """What tasks found: at first, in a worker before and after the change and after ``back``, in a later worker."""
    return list(json.loads(python(package, SCHEDULER, change, back).stdout.splitlines()[-1]))


def test_forked_tasks_find_the_modules_until_the_code_changes(package: Path) -> None:
    first, before, after, still, later = seen(package, f"open({str(package / 'plan.py')!r}, 'a').write('MARK = 2')")
    assert first["found"] > 30
    assert first == before == {**first, "mark": "first"}
    # What the worker had imported itself before the change is forgotten, too.
    assert after == still == later == {"found": 0, "mark": 2}


def test_any_module_counts_since_others_may_be_made_of_it(package: Path) -> None:
    *_, later = seen(package, f"open({str(package / 'errors.py')!r}, 'a').write('# a comment')")
    assert later == {"found": 0, "mark": "first"}


def test_a_new_module_may_hide_an_old_one(package: Path) -> None:
    change = f"import os; os.mkdir({str(package / 'plan')!r}); "
    *_, later = seen(package, f"{change}open({str(package / 'plan' / '__init__.py')!r}, 'w').write('MARK = 3')")
    assert later == {"found": 0, "mark": 3}


def test_a_module_that_is_gone_is_missed(package: Path) -> None:
    *_, later = seen(package, f"os.unlink({str(package / 'plan.py')!r})")
    assert "cannot import name 'plan'" in later


def test_a_file_of_the_same_size_and_time_is_another_one(package: Path) -> None:
    plan = package / "plan.py"
    plan.write_text(plan.read_text() + "MARK = 1\n")
    change = f"""if 1:
        status = os.stat({str(plan)!r})
        text = open({str(plan)!r}).read().replace('MARK = 1', 'MARK = 2')
        open({str(plan)!r} + '.new', 'w').write(text)
        os.rename({str(plan)!r} + '.new', {str(plan)!r})
        os.utime({str(plan)!r}, ns=(status.st_atime_ns, status.st_mtime_ns))
    """
    first, *_, later = seen(package, change)
    assert first["mark"] == 1
    assert later["found"] == 0


def test_a_worker_that_has_forgotten_does_so_for_good(package: Path) -> None:
    plan, aside = str(package / "plan.py"), str(package / "plan.aside")
    change = f"os.rename({plan!r}, {aside!r}); open({plan!r}, 'w').write(open({aside!r}).read() + 'MARK = 2')"
    _, _, after, still, _ = seen(package, change, f"os.rename({aside!r}, {plan!r})")
    assert after == {"found": 0, "mark": 2}
    assert still["mark"] == "first"


def test_a_module_that_cannot_be_imported_is_warned_of(package: Path) -> None:
    (package / "orchestration" / "maintenance.py").write_text("def half(")
    done = python(package, "import airflow_local_settings, sys; print('nightshift.orchestration.dag' in sys.modules)")
    assert "nightshift.orchestration.maintenance is not preloaded: SyntaxError" in done.stdout
    assert done.stdout.splitlines()[-1] == "True"


def test_a_task_imports_no_module_of_ours(package: Path) -> None:
    script = """
    import os, sys
    import airflow_local_settings as settings
    settings.preload_own(settings.TASKS)
    import airflow.dag_processing.dagbag
    before = set(sys.modules)
    if os.fork() == 0:
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = "flights"
        folder = os.path.join(os.environ["NIGHTSHIFT_HOME"], "dags")
        bag = airflow.dag_processing.dagbag.DagBag(os.path.join(folder, "model_pipelines.py"), bundle_path=folder)
        assert bag.dag_ids == ["flights"], bag.import_errors
        from nightshift.steps import STEPS, scored_already
        print(len([step.function() for step in STEPS.values()]))
        print(sorted(name for name in set(sys.modules) - before if name.split(".")[0] == "nightshift"), flush=True)
        os._exit(0)
    os.wait()
    """
    lines = python(package, script, preload="none").stdout.splitlines()
    assert lines[-2:] == [str(len(STEPS)), "[]"]
