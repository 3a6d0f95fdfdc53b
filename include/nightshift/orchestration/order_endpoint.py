"""Orders and waivers by REST below ``/nightshift``: this process alone has the database role that records them.

The actor is who signed in to Airflow, and needs the right to edit the pipeline's DAG. A bearer token is asked for: the
cookie of a browser, which any page makes it send, is not enough.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse

from nightshift import tonight
from nightshift.actor import signed_in
from nightshift.errors import NightshiftError, OrderRefused, PlatformError, foreseen
from nightshift.inputs.waive import waive
from nightshift.orders.asked import AskedOrder, AskedWaiver
from nightshift.orders.place import place, planned
from nightshift.registry.entry import Entry
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from nightshift.specs.model import Pipeline

REFUSED, INVALID, UNABLE = 409, 422, 503


def require_bearer(authorization: Annotated[str, Header()] = "") -> None:
    """Raises HTTPException 401 where the request has no bearer token of its own."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():  # without one Airflow goes by the cookie
        raise HTTPException(401, "A bearer token is needed: POST /auth/token.", {"WWW-Authenticate": "Bearer"})


def add_orders(app: FastAPI, settings: Settings) -> None:
    """Adds the two paths to an application."""
    # The token comes first: a request without one learns nothing.
    may_edit = [Depends(require_bearer), Depends(requires_access_dag("PUT"))]

    @app.post("/orders/{dag_id}", dependencies=may_edit)
    def order(dag_id: str, asked: AskedOrder, user: GetUserDep, later: BackgroundTasks) -> JSONResponse:
        """Records an order about the models of a pipeline."""
        return answered(settings, dag_id, later, lambda spec: placed(settings, spec, asked, user.get_name()))

    @app.post("/waivers/{dag_id}", dependencies=may_edit)
    def waiver(dag_id: str, asked: AskedWaiver, user: GetUserDep, later: BackgroundTasks) -> JSONResponse:
        """Waives a day of a source."""
        return answered(settings, dag_id, later, lambda spec: waived(settings, spec, asked, user.get_name()))


def placed(settings: Settings, spec: Pipeline, asked: AskedOrder, login: str) -> Entry:
    """The entry of an order by a login. Raises NightshiftError."""
    found = planned(settings, spec, asked.by(_actor(login)))
    return place(settings, spec, found if asked.seen is None else replace(found, seen=asked.seen))


def waived(settings: Settings, spec: Pipeline, asked: AskedWaiver, login: str) -> Entry:
    """The entry of a waiver by a login, the first one where the day was waived before. Raises NightshiftError."""
    actor = _actor(login)
    return waive(settings, spec, asked.source, asked.ds, actor=actor, reason=asked.reason, claimed=asked.claimed)


def _actor(login: str) -> str:
    try:
        return signed_in(login)
    except ValueError as error:
        raise NightshiftError(str(error), where="login", do="sign in by another one") from None


def answered(
    settings: Settings, dag_id: str, later: BackgroundTasks, record: Callable[[Pipeline], Entry]
) -> JSONResponse:
    """The entry, or why there is none; what shows it elsewhere is brought up to date after the answer."""
    try:
        with foreseen():
            spec = load_pipeline(settings, dag_id)
            entry = record(spec)
    except NightshiftError as error:
        return JSONResponse(refusal(error), status_of(error))
    later.add_task(tonight.update, settings, spec)
    return JSONResponse({"entry": entry.document()})


def refusal(error: NightshiftError) -> dict[str, Any]:
    """An error as JSON: ``error`` is its kind and the whole message."""
    parts = {"what": error.what, "where": error.where, "allowed": error.allowed, "do": error.do}
    return {"error": f"{type(error).__name__}: {error}", **parts}


def status_of(error: NightshiftError) -> int:
    """The status of an answer: the order cannot be carried out, is none, or the platform cannot record it."""
    if isinstance(error, OrderRefused):
        return REFUSED
    return UNABLE if isinstance(error, PlatformError) else INVALID
