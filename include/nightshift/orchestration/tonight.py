"""The page Tonight: one line for each pipeline that its reader may see, those that need somebody first.

What Airflow alone knows (what is paused, what runs) is asked of its database, in as many questions for five hundred
pipelines as for one; the rest is in the summaries that runs and orders bring up to date.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any

from nightshift.orchestration.notes import diagnosis
from nightshift.orchestration.template import filled
from nightshift.plan import RETRAIN_SUFFIX
from nightshift.run_day import BUSINESS_DATE, MADE_FOR_A_DAY, run_day
from nightshift.run_facts import RunFacts
from nightshift.run_state import RunState
from nightshift.runs import pipeline_path, run_path
from nightshift.tonight import News, Summary

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_LATELY = timedelta(days=1)
_BY_HAND = timedelta(days=14)
_AT_WORK = ("queued", "running", "restarting", "deferred")
# Those that need somebody first.
_ORDER = (
    RunState.FAILED, RunState.WAITING, RunState.PAUSED, RunState.OK_WITH_WARNINGS, RunState.RUNNING, RunState.OK,
    RunState.SKIPPED,
)  # fmt: skip


@dataclass(frozen=True)
class Live:
    """What Airflow knows of a DAG: the run of its newest day, and runs of other days that failed lately.

    ``waits``: of the run's tasks none is at work, and one looks again later. ``stale``: its spec makes no DAG any more.
    """

    owners: str = ""
    paused: bool = False
    stale: bool = False
    run_id: str = ""
    day: str = ""
    state: str = ""
    since: datetime | None = None
    waits: bool = False
    failed_lately: int = 0


@dataclass(frozen=True)
class Line:
    """A pipeline's line on the page, in words."""

    pipeline: str
    state: RunState
    day: str
    run: str
    what: tuple[str, ...]
    readers: str
    champion: str
    owner: str
    next: str
    told: str


def look(session: "Session", dags: Sequence[str], now: datetime) -> dict[str, Live]:
    """What Airflow knows of DAGs."""
    from airflow.models.dag import DagModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance as Task
    from sqlalchemy import and_, func, or_, select

    columns = (DagModel.dag_id, DagModel.owners, DagModel.is_paused, DagModel.is_stale)
    rows = session.execute(select(*columns).where(DagModel.dag_id.in_(dags)))
    found = {row.dag_id: Live(row.owners or "", row.is_paused, row.is_stale) for row in rows}
    newest = (
        select(DagRun.dag_id, func.max(DagRun.logical_date).label("day"))
        .where(DagRun.dag_id.in_(found), DagRun.run_type.in_(MADE_FOR_A_DAY)).group_by(DagRun.dag_id).subquery()
    )  # fmt: skip
    runs = select(
        DagRun.dag_id, DagRun.run_id, DagRun.run_type, DagRun.conf, DagRun.logical_date, DagRun.state, DagRun.queued_at,
        DagRun.run_after, DagRun.start_date,
    )  # fmt: skip
    of_newest = and_(DagRun.run_type.in_(MADE_FOR_A_DAY), DagRun.logical_date == newest.c.day)
    # The day of a run by hand is in its conf. Those of months ago are no news.
    by_hand = and_(DagRun.run_type.not_in(MADE_FOR_A_DAY), DagRun.run_after > now - _BY_HAND)
    runs = runs.outerjoin(newest, DagRun.dag_id == newest.c.dag_id)
    for row in sorted(session.execute(runs.where(DagRun.dag_id.in_(found), or_(of_newest, by_hand))), key=_begun):
        day = "" if _is_of_now(row) else run_day(row.run_type, row.conf, f"{row.logical_date or ''}")
        if day and day >= found[row.dag_id].day:
            live = replace(found[row.dag_id], run_id=row.run_id, day=day, state=str(row.state))
            found[row.dag_id] = replace(live, since=row.start_date or row.queued_at)
    ids = {(dag, live.run_id): dag for dag, live in found.items()}
    going = select(Task.dag_id, Task.run_id, Task.state).distinct()
    at_work: dict[str, set[str]] = {}
    for row in session.execute(going.where(Task.state.in_(("up_for_reschedule", "up_for_retry", *_AT_WORK)))):
        if dag := ids.get((row.dag_id, row.run_id)):
            at_work.setdefault(dag, set()).add(str(row.state))
    for dag, states in at_work.items():
        found[dag] = replace(found[dag], waits=not states.intersection(_AT_WORK))
    lately = select(DagRun.dag_id, DagRun.run_id).where(DagRun.state == "failed", DagRun.end_date > now - _LATELY)
    for row in session.execute(lately.where(DagRun.dag_id.in_(found))):
        if row.run_id != found[row.dag_id].run_id:
            found[row.dag_id] = replace(found[row.dag_id], failed_lately=found[row.dag_id].failed_lately + 1)
    return found


def _is_of_now(row: Any) -> bool:
    """Return whether a run by hand has no day but the moment of the click: such a day is not over, and is refused."""
    by_hand = row.run_type not in MADE_FOR_A_DAY and not (row.conf or {}).get(BUSINESS_DATE)
    return by_hand and row.logical_date is not None and row.logical_date.date() == row.run_after.date()


def _begun(row: Any) -> datetime:
    """When a run was last queued, as a sort key: of the runs of one day the newest counts."""
    moment: datetime = row.queued_at or row.run_after
    return moment.replace(tzinfo=UTC)  # SQLite has no zones


def lines(
    pipelines: Sequence[str], live: Mapping[str, Live], summaries: Mapping[str, Summary], now: datetime
) -> list[Line]:
    """The lines of pipelines, those that need somebody first. Pure."""
    found = (line(name, live, summaries.get(name), now) for name in pipelines if name in live)
    return sorted(found, key=lambda item: (_ORDER.index(item.state), item.pipeline))


def line(pipeline: str, live: Mapping[str, Live], summary: Summary | None, now: datetime) -> Line:
    """A pipeline's line: Airflow's word on its newest run, and its summary's on what came of it. Pure."""
    dag, known = live[pipeline], summary or Summary(pipeline, "")
    news = known.night if known.night and known.night.run_id == dag.run_id else None
    state = _state(dag, news)
    return Line(
        pipeline=pipeline,
        state=state,
        day=dag.day,
        run=run_path(pipeline, dag.run_id) if dag.run_id else "",
        what=(*_what(pipeline, live, known, state, news), *_asked(known, now)),
        readers=known.published,
        champion=_champion(known, now),
        owner=dag.owners,
        next=_next(pipeline, dag, state),
        told=_age(known.at, now) if summary else "no summary",
    )


def _state(dag: Live, news: News | None) -> RunState:
    facts = news.facts if news else RunFacts(warned=dag.state == "success")
    known = replace(facts, airflow=dag.state, paused=dag.paused, waits=dag.waits)
    # Of a DAG that was paused after its last run, too, the next night will not come.
    return RunState.PAUSED if dag.paused and known.state in (RunState.OK, RunState.SKIPPED) else known.state


def _what(pipeline: str, live: Mapping[str, Live], known: Summary, state: RunState, news: News | None) -> Iterator[str]:
    dag, other = live[pipeline], live.get(pipeline + RETRAIN_SUFFIX)
    if dag.stale:
        yield "its spec is not valid: no night will come"
    if dag.paused:
        yield "paused in Airflow: no night will come"
    if state == RunState.WAITING:
        yield _waiting(dag, news)
    elif news and news.headline:
        yield news.headline
    elif dag.state in ("success", "failed"):
        yield "its run has left no summary"
    if dag.failed_lately:
        yield f"{dag.failed_lately} runs of other days failed in the last 24 hours: see their notes"
    if other and other.state == "failed":
        yield f"the retrain as of {other.day} failed: {diagnosis(pipeline + RETRAIN_SUFFIX, other.day)}"
    if known.frozen:
        yield f"promotions are {known.frozen}"


def _asked(known: Summary, now: datetime) -> Iterator[str]:
    if known.asked and now < datetime.fromisoformat(known.asked_until):
        yield known.asked


def _waiting(dag: Live, news: News | None) -> str:
    """What is waited for, since when: in the words of the task that waits, else by what Airflow knows."""
    if news and news.waits_for:
        return f"{news.waits_for} (since {news.since[:16].replace('T', ' ')} UTC)"
    what = (
        "for a slot" if dag.state == "queued" else "a task is to be tried again" if dag.run_id else "for its first run"
    )
    return f"{what} (since {dag.since:%Y-%m-%d %H:%M} UTC)" if dag.since else what


def _next(pipeline: str, dag: Live, state: RunState) -> str:
    if dag.stale:
        return f"nightshift check {pipeline}"
    if dag.paused:
        return f"airflow dags unpause {pipeline}"
    if not dag.run_id or state in (RunState.OK, RunState.SKIPPED, RunState.RUNNING):
        return ""
    return diagnosis(pipeline, dag.day)


def _champion(known: Summary, now: datetime) -> str:
    today = now.date().isoformat()
    begun = [version for first, version in known.reigns if first <= today] or [v for _, v in known.reigns[:1]]
    coming = [f"{version or 'nobody'} from {first}" for first, version in known.reigns if first > today]
    return ", ".join([*([begun[-1] or "nobody"] if begun else []), *(coming if begun else ())])


def _age(at: str, now: datetime) -> str:
    seconds = max(0.0, (now - datetime.fromisoformat(at)).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"


def page(found: Sequence[Line], now: datetime) -> str:
    """The page of lines."""
    counts = {state: sum(item.state == state for item in found) for state in _ORDER}
    summary = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no pipeline to show"
    head = "<tr><th>Pipeline<th>State<th>Night<th>What of it<th>Readers see<th>Champion<th>Owner<th>Updated</tr>"
    rows = "".join(map(_row, found))
    return filled(
        "tonight.html",
        at=f"{now:%Y-%m-%d %H:%M} UTC",
        summary=escape(summary),
        content=f"<table>{head}{rows}</table>",
    )


def _row(item: Line) -> str:
    there = pipeline_path(item.pipeline)
    name = f'<a href="{escape(item.run or there)}">{escape(item.pipeline)}</a>'
    what = "".join(f"<p>{escape(words)}</p>" for words in item.what)
    command = f"<code>{escape(item.next)}</code>" if item.next else ""
    who = f'<a href="{escape(there)}">{escape(item.champion or "nobody")}</a>'
    cells = (escape(item.readers or "nothing"), who, escape(item.owner), escape(item.told))
    return (
        f'<tr><td>{name}<td class="state {item.state.name.lower()}">{escape(item.state)}<td>{escape(item.day)}'
        f"<td>{what}{command}{''.join(f'<td>{cell}' for cell in cells)}</tr>"
    )
