"""The address at which a retrain asks that an approval is recorded: this process alone has the role of people.

It believes nothing that is sent. Who answered, what and why is read from Airflow's own record of the window, which
neither a task nor an XCom can write in somebody's name. So it needs no login: who asks can only have recorded what a
person has approved.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.common.db.common import SessionDep
from fastapi import FastAPI, HTTPException, Response

from nightshift import tonight
from nightshift.actor import SERVICE
from nightshift.errors import NightshiftError, foreseen
from nightshift.plan import RETRAIN_SUFFIX, pipeline_of
from nightshift.registry.conclusion import approve
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.registry.proposals import ended, proposals, why_not_by
from nightshift.registry.window import answered, proposal_of
from nightshift.run_facts import WINDOW
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline, spec_files

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger("nightshift")


def add_approvals(app: FastAPI, settings: Settings) -> None:
    """Adds the address to an application."""

    @app.post("/approvals/{dag_id}/{run_id}")
    def approval(dag_id: str, run_id: str, session: SessionDep) -> Response:
        """Record what a person has approved of the run's proposal; 204 whether there is such an answer or none."""
        event = record_of(session, dag_id, run_id)
        if event is not None:
            try:
                with foreseen():
                    recorded(settings, dag_id, run_id, event, partial(orderers, session, dag_id))
            except NightshiftError as error:
                log.error("%s %s: an approval was not recorded: %s", dag_id, run_id, error)
                raise HTTPException(503, "The approval could not be recorded; the log says why.") from None
        return Response(status_code=204)


def record_of(session: "Session", dag_id: str, run_id: str) -> dict[str, Any] | None:
    """Airflow's record of the answer to a run's window, as it resumes the task with it; None where there is none.

    An answer is one once the task has taken it: to one that cannot count it opens the window again, and where somebody
    has cleared it since, Airflow keeps what was answered before.
    """
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    window = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id, TaskInstance.task_id == WINDOW)
    taken = TaskInstance.state == TaskInstanceState.SUCCESS
    query = select(HITLDetail).join(TaskInstance, TaskInstance.id == HITLDetail.ti_id).where(*window, taken)
    found = session.scalar(query.where(HITLDetail.responded_at.is_not(None)))
    if found is None:
        return None
    names = ("responded_by_user", "responded_at", "chosen_options", "params_input")
    return {name: getattr(found, name) for name in names}


def orderers(session: "Session", dag_id: str, runs: Collection[str]) -> set[str]:
    """The logins that ordered these runs, by Airflow's record; none for runs of the schedule.

    The API server alone knows who signed in. Of a run that came another way, or is gone, the service stands for whoever
    it was: `airflow dags trigger` writes the name that its shell has.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.types import DagRunTriggeredByType, DagRunType
    from sqlalchemy import select

    known = (DagRun.run_id, DagRun.run_type, DagRun.triggered_by, DagRun.triggering_user_name)
    rows = session.execute(select(*known).where(DagRun.dag_id == dag_id, DagRun.run_id.in_(runs))).all()
    signed_in = (DagRunTriggeredByType.UI, DagRunTriggeredByType.REST_API)
    found = {SERVICE} if len(rows) < len(set(runs)) else set[str]()
    for _, run_type, way, login in rows:
        if run_type != DagRunType.SCHEDULED:
            found.add(login if login and way in signed_in else SERVICE)
    return found


def recorded(
    settings: Settings,
    dag_id: str,
    run_id: str,
    event: dict[str, Any],
    ordered_by: Callable[[Collection[str]], Collection[str]],
) -> Entry | None:
    """The approval by Airflow's record of a window; None where that approves nothing new. Raises NightshiftError.

    The window may be that of another run than the proposal's: one that came to the same model has no proposal of its
    own. Who answered named the proposal. ``ordered_by`` gives the logins that ordered runs. For one that is ended the
    ledger's lock is not taken: others wait for it.
    """
    name = pipeline_of(dag_id)
    seq = proposal_of(event)
    if dag_id != f"{name}{RETRAIN_SUFFIX}" or name not in [path.stem for path in spec_files(settings)] or seq is None:
        return None
    spec = load_pipeline(settings, name)
    entries = Ledger.of(settings).entries(name)
    answer, why = answered(event, seq, {"dag_id": dag_id, "run_id": run_id, "task_id": WINDOW})
    proposal = next((item for item in proposals(entries) if item.seq == seq), None)
    if why or answer.choice != "approve" or proposal is None or ended(entries, seq):
        return None
    # The proposal's own words are the tasks'.
    for login in ordered_by({run_id, proposal.run_id}):
        if not_by := why_not_by(replace(proposal, ordered_by=login), answer.by, answer.login):
            log.warning("%s %s: proposal %d is not approved: %s", dag_id, run_id, seq, not_by)
            return None
    entry = approve(Ledger.of_people(settings), spec, seq, answer)
    if entry is not None:
        tonight.update(settings, spec)
    return entry
