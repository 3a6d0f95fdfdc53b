"""The note of each run of a pipeline says its state and headline, so that lists of runs show them.

Airflow calls these functions in the process that ends a run: the scheduler, and the API server where a person marks it.
Both hold Airflow's database anyway. What is said of a success comes with what the run's last task returned: the
scheduler opens no file of the lake, and a task needs no login.
"""

from typing import Any

from airflow.listeners import hookimpl

from nightshift.plan import pipeline_of
from nightshift.run_day import run_day
from nightshift.run_facts import LAST_STEPS
from nightshift.run_state import RunState
from nightshift.settings import Settings

MARK = "Nightshift: "
HEADLINE = "run"  # the key of it in what the last task of a run returns
LONGEST = 1000  # of Airflow's column
_FEW = 3


@hookimpl
def on_dag_run_running(dag_run: Any, msg: str) -> None:
    """A run that runs once more is no longer what its note says."""
    if MARK in (dag_run.note or "") and _is_ours(dag_run):
        _say(dag_run, f"{RunState.RUNNING} again")


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """State and headline come from the last task; a run that somebody marked may have none."""
    if _is_ours(dag_run):
        unknown = f"{RunState.OK_WITH_WARNINGS}: marked as a success, its last step has said nothing"
        _say(dag_run, _headline(dag_run) or unknown)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """The tasks that failed, the first one first, and the command that says why."""
    if _is_ours(dag_run):
        failed = _failed_tasks(dag_run)
        what = f" in {', '.join(failed[:_FEW])}" if failed else ", no task did: it was marked, or ran out of time"
        _say(dag_run, f"{RunState.FAILED}{what}; {diagnosis(dag_run.dag_id, _day(dag_run))}")


def noted(note: str | None, said: str) -> str:
    """A run's note with what is said of it now, instead of what was said before. What a person wrote stays. Pure."""
    kept = [line for line in (note or "").splitlines() if not line.startswith(MARK)]
    room = LONGEST - len("\n".join([*kept, MARK]))
    said = " ".join(said.replace("\0", "").split())
    return "\n".join([*kept, MARK + said[:room]] if room > len(RunState.OK_WITH_WARNINGS) else kept)


def diagnosis(dag_id: str, day: str) -> str:
    """The command that says why the run of a day failed."""
    pipeline = pipeline_of(dag_id)
    return f"nightshift diagnose {pipeline}{day and f' --ds {day}'}" + ("" if pipeline == dag_id else " --retrain")


def _day(dag_run: Any) -> str:
    return run_day(dag_run.run_type, dag_run.conf, dag_run.logical_date.isoformat() if dag_run.logical_date else "")


def _is_ours(dag_run: Any) -> bool:
    return (Settings.from_env().pipelines / f"{pipeline_of(dag_run.dag_id)}.yaml").is_file()


def _say(dag_run: Any, said: str) -> None:
    """Sets the note; the session that the run belongs to commits it with the run's state."""
    text = noted(dag_run.note, said)
    if dag_run.dag_run_note is None:
        dag_run.note = text
    else:
        dag_run.dag_run_note.content = text


def _headline(dag_run: Any) -> str:
    """State and headline by the run's last task. An XCom can be edited, by whoever may edit the note as well."""
    from airflow.models.xcom import XComModel

    of_run = (XComModel.dag_run_id == dag_run.id, XComModel.key == "return_value", XComModel.task_id.in_(LAST_STEPS))
    found = next(iter(_asked(dag_run, XComModel.value, *of_run)), None)
    return str(found.get(HEADLINE, "")) if isinstance(found, dict) else ""


def _failed_tasks(dag_run: Any) -> list[str]:
    from airflow.models.taskinstance import TaskInstance as Task

    of_run = (Task.dag_id == dag_run.dag_id, Task.run_id == dag_run.run_id, Task.state == "failed")
    return list(dict.fromkeys(_asked(dag_run, Task.task_id, *of_run, order_by=Task.end_date)))


def _asked(dag_run: Any, column: Any, *where: Any, order_by: Any = None) -> list[Any]:
    """A column of the rows that are asked for, by the session that the run belongs to."""
    from sqlalchemy import select
    from sqlalchemy.orm import object_session

    session = object_session(dag_run)
    return list(session.scalars(select(column).where(*where).order_by(order_by))) if session is not None else []
