"""What Airflow's own database knows of a run, for the state on the run's page. The API server alone asks it."""

from typing import TYPE_CHECKING, Any

from nightshift.run_facts import LOOKS_AGAIN, OPEN

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def known(session: "Session", dag_id: str, run_id: str) -> dict[str, Any]:
    """What ``RunFacts`` asks of Airflow about a run; empty where there is none of that name."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import select

    mine = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    state = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    if state is None:
        return {}
    paused = session.scalar(select(DagModel.is_paused).where(DagModel.dag_id == dag_id))
    tasks = set(session.scalars(select(TaskInstance.state).where(*mine, TaskInstance.state.in_(OPEN)).distinct()))
    return {"airflow": str(state), "paused": bool(paused), "waits": bool(tasks) and tasks <= {*LOOKS_AGAIN}}
