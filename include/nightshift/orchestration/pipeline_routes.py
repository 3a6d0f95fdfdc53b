"""The addresses of a pipeline's page: one to read, two that forms are sent to. Imported with the first request.

Who may see the DAG reads it; who may edit the DAG gives orders there, as the person who is signed in.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import RedirectResponse
from starlette.background import BackgroundTask

from nightshift import tonight
from nightshift.errors import NightshiftError, OrderRefused, PlatformError, foreseen
from nightshift.orchestration import tonight as tonight_page
from nightshift.orchestration.forms import (
    FORM,
    LARGEST,
    Form,
    FormRefused,
    actor_of,
    foreign,
    parsed,
    plan_digest,
)
from nightshift.orchestration.one_time import Allowed, holds, issue
from nightshift.orchestration.pipeline_page import Shown, done_page, page, plan_page, refusal_page
from nightshift.orchestration.template import FORM_HEADERS, HTML
from nightshift.orchestration.tonight import Live
from nightshift.orders.order import OrderKind, Plan, told
from nightshift.orders.place import place, planned
from nightshift.orders.report import looked_at, recorded, shown_in_mlflow
from nightshift.plan import RETRAIN_SUFFIX, pipeline_of
from nightshift.registry.effective import next_ds
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline, spec_files
from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")

_AGAIN = "open the page of the pipeline again, and order it there if it is still wanted"


def add(app: FastAPI, settings: Settings) -> None:
    """Adds the addresses to the application."""

    def ours(request: Request) -> None:
        if why := foreign(request.headers, settings.airflow_address):
            do = f"open {settings.airflow_address}/nightshift/pipelines/{_asked(request)} and order it there"
            raise FormRefused(HTTPStatus.FORBIDDEN, why, where=_asked(request), do=do)

    def person(request: Request, _: Annotated[None, Depends(ours)], user: GetUserDep) -> str:
        if not may_order(request, user):
            what = f"{user.get_name()} may see {_asked(request)}, and not edit it"
            do = "ask somebody with the right to edit the DAG in Airflow"
            raise FormRefused(HTTPStatus.FORBIDDEN, what, where=_asked(request), do=do)
        return actor_of(user.get_name(), _asked(request))

    async def sent(request: Request, _: Annotated[str, Depends(person)]) -> Form:
        return parsed(await _body(request), _asked(request))

    @app.get("/pipelines/{dag_id}", dependencies=[Depends(requires_access_dag("GET"))])
    def pipeline(dag_id: str, request: Request, user: GetUserDep, session: SessionDep, show: str = "") -> Response:
        """The state of a pipeline, and what its ledger says."""
        name = _pipeline(settings, dag_id)
        if name != dag_id:  # of a retrain, whose rights are its own
            return RedirectResponse(name)
        readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET", session=session)
        dags = [dag for dag in (name, name + RETRAIN_SUFFIX) if dag in readable]
        live = tonight_page.look(session, dags, datetime.now(UTC))
        orders = user.get_name() if may_order(request, user) else None
        return _answer(page(look(settings, name, live, orders, everything=show == "all")))

    @app.post("/pipelines/{dag_id}/plan")
    def plan(dag_id: str, user: Annotated[str, Depends(person)], form: Annotated[Form, Depends(sent)]) -> Response:
        """The plan of an order; records nothing."""
        name = _own(settings, dag_id)
        _require(form, user, name)
        with _refusals(name, HTTPStatus.UNPROCESSABLE_ENTITY):
            spec = load_pipeline(settings, name)
            found = planned(settings, spec, form.order(user))
        with _refusals(name, HTTPStatus.CONFLICT):
            _unmoved(settings, name, found, form)
        with _refusals(name, HTTPStatus.UNPROCESSABLE_ENTITY):
            report = looked_at(settings, spec, found)
        form = replace(form, plan=plan_digest(found))
        return _answer(plan_page(report, form, _token(user, name, form.action(), form.seen)))

    @app.post("/pipelines/{dag_id}/order")
    def order(dag_id: str, user: Annotated[str, Depends(person)], form: Annotated[Form, Depends(sent)]) -> Response:
        """Records an order whose plan was shown."""
        name = _own(settings, dag_id)
        if not form.plan:
            do = "let the page show the plan first"
            raise FormRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "the form has no plan", where=name, do=do)
        _require(form, user, name)
        with _refusals(name, HTTPStatus.CONFLICT):
            spec = load_pipeline(settings, name)
            found = planned(settings, spec, form.order(user))
            if found.seen == form.seen and plan_digest(found) != form.plan:
                raise OrderRefused("the plan is another one now than the page showed; nothing was recorded")
            # Of a ledger that has moved on, the ledger's own lock names who came first.
            entry = place(settings, spec, replace(found, seen=form.seen))
        log.info("%s: entry %d, an order on its page", name, entry.seq)
        report = recorded(settings, spec, found, entry)
        return _answer(done_page(report), background=BackgroundTask(_follow, settings, spec, found))

    @app.exception_handler(FormRefused)
    def refused(request: Request, error: FormRefused) -> Response:
        return _answer(refusal_page(error), status=error.status)


def look(settings: Settings, name: str, live: dict[str, Live], user: str | None, *, everything: bool = False) -> Shown:
    """Return what the page shows to a reader; ``user`` is who may order there, None who may not."""
    now, troubles = datetime.now(UTC), list[str]()
    entries: list[Entry] = []
    spec: Pipeline | None = None
    try:
        with foreseen():
            spec = load_pipeline(settings, name)
    except NightshiftError as error:
        troubles.append(f"no order can be given: {error}")
    read = False
    try:
        with foreseen():
            entries, read = Ledger.of(settings).entries(name), True
    except NightshiftError as error:
        troubles.append(f"what was decided is not shown: {error}")
    summary = tonight.read(settings, name)
    if spec is not None and read:
        summary = tonight.with_ledger(summary or tonight.Summary(name, now.isoformat()), spec, entries, now)
        summary = replace(summary, frozen="")  # the page has a line of its own for that
    line = tonight_page.line(name, {name: Live(), **live}, summary, now)
    head = entries[-1].hash if entries else ""

    def token(kind: OrderKind) -> str:
        return _token(user or "", name, f"plan {kind}", head)

    next_day = ""
    if spec is not None:
        next_day = str(max(next_ds(spec.schedule, now), spec.schedule.start))
    may = user is not None and spec is not None and read
    return Shown(line, entries, now, next_day, tuple(troubles), token if may else None, everything)


def may_order(request: Request, user: Any) -> bool:
    """Return whether a person may edit the DAG that the request is about."""
    try:
        requires_access_dag("PUT")(request, user)
    except HTTPException:
        return False
    return True


def _pipeline(settings: Settings, dag_id: str) -> str:
    """The pipeline of a DAG; 404 where it has none."""
    name = pipeline_of(dag_id)
    if name not in [path.stem for path in spec_files(settings)]:
        raise HTTPException(404, "There is no such pipeline.")
    return name


def _own(settings: Settings, dag_id: str) -> str:
    """The pipeline whose daily DAG that is: the right to edit another DAG orders nothing of it."""
    if _pipeline(settings, dag_id) != dag_id:
        raise HTTPException(404, "There is no such pipeline.")
    return dag_id


def _asked(request: Request) -> str:
    return str(request.path_params.get("dag_id", ""))


async def _body(request: Request) -> bytes:
    """The body of a form. Raises FormRefused before more is read than a form has."""
    where, body = _asked(request), b""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise FormRefused(HTTPStatus.UNPROCESSABLE_ENTITY, "the body is no form", where=where, do=_AGAIN)
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            what = f"the form has more than {LARGEST} bytes"
            raise FormRefused(HTTPStatus.UNPROCESSABLE_ENTITY, what, where=where, do="give a shorter reason")
    return body


@cache
def _secret() -> str:
    """The key of the API server, which all of its processes have; a command may print it, once is enough."""
    return str(conf.get_mandatory_value("api", "secret_key"))


def _token(user: str, dag: str, action: str, head: str) -> str:
    return issue(_secret(), Allowed(user, dag, action, head), time.time())


def _require(form: Form, user: str, dag: str) -> None:
    """Raises FormRefused unless the form's token is for it, this person, this DAG and the head that it names."""
    if not holds(_secret(), form.token, Allowed(user, dag, form.action(), form.seen), time.time()):
        what = "this form was made more than ten minutes ago, for somebody else, or for another order"
        raise FormRefused(HTTPStatus.FORBIDDEN, what, where=dag, do=_AGAIN)


def _unmoved(settings: Settings, name: str, found: Plan, form: Form) -> None:
    """Returns where the ledger is as the form's page showed it. Raises OrderRefused naming the newest entry."""
    if found.seen != form.seen:
        newest = "".join(told(entry) for entry in Ledger.of(settings).entries(name)[-1:])
        raise OrderRefused(f"another came first: {newest or 'the ledger was emptied'}; nothing was recorded")


@contextmanager
def _refusals(name: str, status: HTTPStatus) -> Iterator[None]:
    """Makes pages of errors: of an order that is refused with ``status``, of others as what they are."""
    try:
        with foreseen():
            yield
    except NightshiftError as error:
        if isinstance(error, PlatformError):
            status = HTTPStatus.SERVICE_UNAVAILABLE
        elif not isinstance(error, OrderRefused) and status == HTTPStatus.CONFLICT:
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        allowed = f" Allowed: {error.allowed}." if error.allowed else ""
        raise FormRefused(status, error.what + allowed, where=error.where or name, do=error.do or _AGAIN) from None


def _follow(settings: Settings, spec: Pipeline, found: Plan) -> None:
    """Bring up to date what only shows an order, after its page was answered: MLflow may take long."""
    tonight.update(settings, spec)
    shown_in_mlflow(settings, spec, found)


def _answer(content: str, *, status: int = 200, background: BackgroundTask | None = None) -> Response:
    return Response(content, status_code=status, media_type=HTML, headers=FORM_HEADERS, background=background)
