"""The pages below ``/nightshift`` of the Airflow UI: gate reports, what the steps of a run said, Tonight, pipelines.

Open to whoever may see the DAG, to nobody else; Tonight has the pipelines whose DAGs its reader may see. Imported with
the first request.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Response

from nightshift import storage, tonight
from nightshift.gates import kept
from nightshift.orchestration import pipeline_routes
from nightshift.orchestration import tonight as tonight_page
from nightshift.orchestration.approval_endpoint import add_approvals
from nightshift.orchestration.links import shown
from nightshift.orchestration.order_endpoint import add_orders
from nightshift.orchestration.run_row import known
from nightshift.orchestration.template import HEADERS, HTML, filled
from nightshift.plan import RETRAIN_SUFFIX, pipeline_of
from nightshift.run_facts import RunFacts
from nightshift.runs import RunPage, pipeline_path, read_page, summary
from nightshift.settings import Settings

FEW = 6
TYPES = {".html": HTML, ".json": "application/json"}
DAG_ID = re.compile(r"[a-z0-9_]+")
PATH = re.compile(r"(?:[A-Za-z0-9_=+-][A-Za-z0-9_.=+-]*/)*[A-Za-z0-9_=+-][A-Za-z0-9_.=+-]*\.(?:html|json)")


@cache
def application() -> FastAPI:
    """The application; its settings are those of the process."""
    settings = Settings.from_env()
    # No schema, no docs: those would be open to everybody.
    app = FastAPI(title="Nightshift", openapi_url=None, docs_url=None, redoc_url=None)
    may_see = [Depends(requires_access_dag("GET"))]

    @app.get("/reports/{dag_id}/{path:path}", dependencies=may_see)
    def report(dag_id: str, path: str) -> Response:
        """A report of the DAG's pipeline."""
        return read_report(settings, dag_id, path)

    @app.get("/runs/{dag_id}/{run_id}", dependencies=may_see)
    def run(dag_id: str, run_id: str, session: SessionDep) -> Response:
        """The outcomes of the steps of a run."""
        page = run_page(settings, dag_id, run_id, **known(session, dag_id, run_id))
        return Response(page, media_type=TYPES[".html"], headers=HEADERS)

    @app.get("/tonight")
    def lines(user: GetUserDep, session: SessionDep) -> Response:
        """One line for each pipeline that the reader may see."""
        readable = get_auth_manager().get_authorized_dag_ids(user=user, method="GET", session=session)
        page = render_tonight(settings, readable, session)
        return Response(page, media_type=TYPES[".html"], headers=HEADERS)

    add_orders(app, settings)
    add_approvals(app, settings)
    pipeline_routes.add(app, settings)
    return app


def render_tonight(settings: Settings, readable: Collection[str], session: Any) -> str:
    """The page Tonight for a reader of these DAGs; Airflow's session answers what is paused and runs."""
    now = datetime.now(UTC)
    pipelines = [name for name in names(settings) if name in readable]
    dags = [dag for name in pipelines for dag in (name, name + RETRAIN_SUFFIX) if dag in readable]
    live = tonight_page.look(session, dags, now)
    found = tonight_page.lines(pipelines, live, tonight.read_all(settings, pipelines), now)
    return tonight_page.page(found, now)


def names(settings: Settings) -> list[str]:
    """The names of all pipelines that have a spec, valid or not."""
    return sorted(spec.stem for spec in settings.pipelines.glob("*.yaml"))


def read_report(settings: Settings, dag_id: str, path: str) -> Response:
    """A file of a report of the DAG's pipeline; 404 for whatever is none, or lies elsewhere, 409 for an altered one."""
    if not DAG_ID.fullmatch(dag_id) or not PATH.fullmatch(path):
        raise HTTPException(404, "There is no such report.")
    root = storage.join(settings.reports, pipeline_of(dag_id))
    uri = storage.join(root, path)
    if storage.is_local(uri) and not storage.local_path(uri).resolve().is_relative_to(
        storage.local_path(root).resolve()
    ):
        raise HTTPException(404, "There is no such report.")
    try:
        content = kept.read(settings, pipeline_of(dag_id), path)
    except OSError:
        raise HTTPException(404, "There is no such report.") from None
    except kept.ReportAltered as error:
        return Response(_refusal(dag_id, error), 409, media_type=TYPES[".html"], headers=HEADERS)
    return Response(content, media_type=TYPES[Path(path).suffix], headers=HEADERS)


def _refusal(dag_id: str, error: kept.ReportAltered) -> str:
    said = (
        f'<p class="failed">{escape(error.what)}.</p><p>{escape(error.where)}</p><p>What to do: {escape(error.do)}.</p>'
    )
    names = {"dag": _pipeline_link(dag_id), "title": escape(dag_id), "run": "gate report"}
    return filled("run.html", **names, ds="Not as it was written", content=said)


def run_page(settings: Settings, dag_id: str, run_id: str, **airflow: Any) -> str:
    """The page of a run, with what Airflow knows of it (see ``RunFacts``); 404 where the name is none of a DAG."""
    if not DAG_ID.fullmatch(dag_id):
        raise HTTPException(404, "There is no such DAG.")
    found = read_page(settings, dag_id, run_id)
    steps = found.steps
    head = "<tr><th>Step<th>Status<th>What it said<th>Links<th>Seconds</tr>"
    rows = "".join(_row(step, shown(settings, dag_id, step["links"])) for step in steps)
    content = "<p>No step has ended yet.</p>"
    if steps:
        state = RunFacts.of(steps, **airflow).state
        line = f'<p class="summary"><b class="state {state.name.lower()}">{state}</b> {escape(summary(steps))}</p>'
        content = f'{line}<div class="scroll"><table>{head}{rows}</table></div>'
    content = "".join(f'<p class="failed">{escape(line)}</p>' for line in _doubts(found)) + content
    ds = next((f"Business date {escape(step['ds'])}" for step in steps if step["ds"]), "No business date")
    return filled(
        "run.html",
        dag=_pipeline_link(dag_id),
        title=escape(dag_id),
        run=escape(_asked(run_id, steps)),
        ds=ds,
        content=content,
    )


def _pipeline_link(dag_id: str) -> str:
    return f'<a href="{escape(pipeline_path(dag_id))}">{escape(dag_id)}</a>'


def _doubts(page: RunPage) -> Iterator[str]:
    """The doubts that a reader of the page should know before believing it."""
    if page.altered:
        yield f"{page.altered} of this run's files are not as they were written. They are not shown."
    if page.earlier:
        yield "An earlier version kept this page. Runs whose ids differ in punctuation shared one then."


def _asked(run_id: str, steps: Sequence[Mapping[str, Any]]) -> str:
    """The run's id, who asked for it, whether for a rebuild, and why."""
    by = next((step["by"] for step in steps if step.get("by")), "")
    reason = next((step["reason"] for step in steps if step.get("reason")), "")
    rebuild = " · a rebuild" if any(step.get("rebuild") for step in steps) else ""
    return run_id + rebuild + (f" · asked for by {by}" if by else "") + (f": {reason}" if reason else "")


def _row(step: Mapping[str, Any], links: Mapping[str, str]) -> str:
    status = escape(step["status"])
    counted = {**step.get("names", {}), **{name: f"{value:,g}" for name, value in step["counts"].items()}}
    counts = ", ".join(f"{name} {value}" for name, value in counted.items())
    warnings = "".join(f"<small>warning: {escape(warning)}</small>" for warning in step.get("warnings", ()))
    return (
        f'<tr><td>{escape(step["step"])}<td class="{status}">{status.replace("_", " ")}'
        f"<td>{escape(step['message'])}{warnings}<small>{escape(counts)}</small><td>{_links(links)}"
        f'<td class="number">{step["seconds"]:,.1f}</tr>'
    )


def _links(links: Mapping[str, str]) -> str:
    listed = "".join(_link(label, address) for label, address in links.items())
    return listed if len(links) <= FEW else f"<details><summary>{len(links)} links</summary>{listed}</details>"


def _link(label: str, address: str) -> str:
    """A link that opens in a tab of its own; what a browser does not open (a table's URI) as text."""
    if not address.startswith(("http://", "https://")):
        return f"<small>{escape(label)}: {escape(address)}</small>"
    return f'<a href="{escape(address)}" target="_blank" rel="noopener">{escape(label)}</a>'
