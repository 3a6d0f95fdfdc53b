"""Why a night is not well, put together from what is already written down: no use case runs, nothing is changed.

What the steps said, the tables, the ledger and the log files are read without Airflow; Airflow only adds what it
alone knows, the state of the run and of tasks that died without a word.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from nightshift.cli.published import Published, published
from nightshift.errors import NightshiftError, PlatformError
from nightshift.freshness.nights import DATASETS, Night, look
from nightshift.inputs.waive import why_not_waived
from nightshift.job import earlier_run_name
from nightshift.orders.said import day_lines, freeze_lines
from nightshift.plan import RETRAIN_SUFFIX
from nightshift.platform.airflow_client import FailedTask, Run, login
from nightshift.platform.layout import Layout
from nightshift.registry.ledger import Ledger
from nightshift.runs import read_run, run_ids
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from nightshift.steps import STEPS

LOG_LINES = 12


@dataclass(frozen=True)
class Failure:
    """The step that failed first: what it said (a gate's table with it), its links, and the end of its log.

    ``hidden`` lines of the log are not Nightshift's own: they may quote cells.
    """

    step: str
    message: str
    links: dict[str, str] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    hidden: int = 0
    log_file: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """One night. ``airflow`` is the run's state, or why it is not known; ``later`` are steps that failed as well.

    A night that scored nothing is not ``well``, whatever the state of its run; one with ``warnings`` may be.
    """

    pipeline: str
    owner: str
    dag: str
    ds: str
    airflow: str
    run_id: str = ""
    failure: Failure | None = None
    later: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    well: bool = False

    def document(self) -> dict[str, Any]:
        """The diagnosis as plain data."""
        return asdict(self)


def diagnose(settings: Settings, pipeline: Pipeline, ds: date, *, retrain: bool = False) -> Diagnosis:
    """The diagnosis of the run of ``ds``. Raises NightshiftError only where not even files can be read."""
    dag = pipeline.name + (RETRAIN_SUFFIX if retrain else "")
    state, run, tasks = _airflow(settings, dag, ds)
    ids = run_ids(settings, dag, ds.isoformat())
    run_id = run.run_id if run else next(iter(ids), "")
    said = read_run(settings, dag, run_id) if run_id else []
    failed = _failed_steps(said, tasks)
    failure = _failure(settings, dag, run_id, failed[0], said) if failed else None
    seen = published(settings, pipeline, ds)
    night, unknown = (None, "") if retrain else _look(settings, pipeline, ds)
    damaged = any(item.damage for item in seen)
    done = retrain or _is_scored(seen) or bool(night and night.predictions.state == "outside")
    well = not failed and (run.state == "success" if run else bool(said)) and done and not damaged
    return Diagnosis(
        pipeline=pipeline.name,
        owner=pipeline.owner,
        dag=dag,
        ds=ds.isoformat(),
        airflow=state,
        run_id=run_id,
        failure=failure,
        later=tuple(failed[1:]),
        warnings=tuple(_warnings(said, seen)),
        changes=(
            *(() if retrain else (*_changes(settings, pipeline, ds, night), *([unknown] if unknown else []))),
            *_orders(settings, pipeline, ds, seen, retrain=retrain),
        ),
        readers=tuple(_readers(settings, pipeline, ds, seen)),
        next=(
            *([f"nightshift repair {pipeline.name}"] if damaged else []),
            *_waivers(pipeline, failure),
            *_retrain(pipeline, ds, night),
            *_next(pipeline.name, dag, ds, run, failure, well=well),
        ),
        well=well,
    )


def _airflow(settings: Settings, dag: str, ds: date) -> tuple[str, Run | None, list[FailedTask]]:
    """What Airflow knows of the day's newest run; a sentence instead where it does not answer."""
    try:
        with login(settings) as client:
            runs = client.runs(dag, ds, ds)
            if not runs:
                return "there is no run of this day", None, []
            return f"the run is {runs[-1].state}", runs[-1], client.failed_tasks(dag, runs[-1].run_id)
    except PlatformError as error:
        return f"not known ({error.what}); this page is from files alone", None, []


def _failed_steps(said: Sequence[dict[str, Any]], tasks: Sequence[FailedTask]) -> list[str]:
    """The steps that failed: by the end of their tasks where Airflow knows it, else in the order of the steps.

    What a step said last may be of an earlier try: where Airflow lists failed tasks, its word counts.
    """
    if tasks:
        return list(dict.fromkeys(task.task for task in sorted(tasks, key=lambda item: item.ended)))
    return [item["step"] for item in said if item["status"] == "failed"]


def _failure(settings: Settings, dag: str, run_id: str, step: str, said: Sequence[dict[str, Any]]) -> Failure:
    own = next((item for item in said if item["step"] == step and item["status"] == "failed"), None)
    file = _log_file(settings, dag, run_id, step)
    log, hidden = own_lines(file.read_text(errors="replace").splitlines()) if file else ((), 0)
    message = own["message"] if own else next(iter(reversed(log)), "it ended without a word")
    # What the step said stands above the log already.
    log = tuple(line for line in log if line.splitlines()[0] not in message)[-LOG_LINES:]
    return Failure(step, message, own["links"] if own else {}, log, hidden, str(file or ""))


def _log_file(settings: Settings, dag: str, run_id: str, step: str) -> Path | None:
    """The newest log of a task on this machine; a run id known from a folder's name alone has other punctuation."""
    root = Layout(settings.var).airflow / "logs" / f"dag_id={dag}"
    ids = {folder.name.removeprefix("run_id="): folder for folder in root.glob("run_id=*")}
    alike = [folder for name, folder in ids.items() if earlier_run_name(name) == run_id]
    folders = [ids[run_id]] if run_id in ids else alike
    files = [file for folder in folders for file in (folder / f"task_id={step}").rglob("attempt=*.log")]
    return max(files, key=lambda file: file.stat().st_mtime, default=None)


def own_lines(lines: Sequence[str]) -> tuple[tuple[str, ...], int]:
    """Return what Nightshift's own loggers wrote, none of which carries a cell, and the number of all other lines."""
    own, hidden = [], 0
    for line in lines:
        try:
            record = json.loads(line)
            if not str(record["logger"]).startswith("nightshift"):
                raise KeyError  # another one's
            own.append(f"{record['timestamp'][11:19]} {record['level']}: {record['event']}")
        except (ValueError, KeyError, TypeError):
            hidden += 1
    return tuple(own), hidden


def _is_scored(seen: Sequence[Published]) -> bool:
    return any(item.dataset == "predictions" and item.rows for item in seen)


def _warnings(said: Sequence[dict[str, Any]], seen: Sequence[Published]) -> Iterator[str]:
    """What steps warned of and went on (a correction that its gate refused, for one), and what is not scored."""
    for item in said:
        yield from (f"{item['step']}: {warning}" for warning in item.get("warnings", ()))
    yield from (f"{item.dataset}: {item.shortfall}" for item in seen if item.shortfall)


def _look(settings: Settings, pipeline: Pipeline, ds: date) -> tuple[Night | None, str]:
    """The night as it would be run again, or why that is not known."""
    try:
        return look(settings, pipeline, [ds])[0], ""
    except NightshiftError as error:
        return None, f"what is stale is not known: {error.what}"


def _changes(settings: Settings, pipeline: Pipeline, ds: date, night: Night | None) -> Iterator[str]:
    """What is different from the last good day, and from what is published of ``ds``."""
    from nightshift.cli.last_good import since_last_good

    try:  # such as waivers, which are in the database
        yield from since_last_good(settings, pipeline, ds)
    except NightshiftError as error:
        yield f"what else changed is not known: {error.what}"
    for name in DATASETS if night else ():
        found = getattr(night, name)
        if found.state not in ("up_to_date", "outside"):
            why = f": {'; '.join(found.changes)}" if found.changes else ""
            yield f"{name} of {found.ds}: {found.state.replace('_', ' ')}{why}"


def _orders(
    settings: Settings, pipeline: Pipeline, ds: date, seen: Sequence[Published], *, retrain: bool
) -> Iterator[str]:
    """The orders of people that concern the night, and the freeze in force."""
    try:
        entries = Ledger.of(settings).entries(pipeline.name)
    except NightshiftError as error:
        yield f"what people ordered is not known: {error.what}"
        return
    if not retrain:
        scored_by = next((item.model_sha256 for item in seen if item.dataset == "predictions"), "")
        yield from day_lines(entries, pipeline.name, ds, scored_by)
    yield from freeze_lines(entries)


def _readers(settings: Settings, pipeline: Pipeline, ds: date, seen: Sequence[Published]) -> Iterator[str]:
    """What a reader of the tables gets for this day."""
    from nightshift.cli.last_good import last_good_day

    for item in seen:
        if item.dataset in ("features", "labels", "predictions"):
            model = f", model {item.model_sha256[:16]}" if item.model_sha256 else ""
            made = f"published by {item.run_id} at {item.created_at[:19]}" if item.run_id else "its manifest is gone"
            if item.damage:
                state = "refused" if item.fingerprint else "none"
                yield f"{item.dataset}: {state}, another program changed them: {item.damage}"
                continue
            yield f"{item.dataset}: {item.rows} rows, table version {item.version}{model}, {made}"
    if not _is_scored(seen):
        newest = last_good_day(settings, pipeline, ds)
        yield f"predictions: none for {ds}" + (f"; the newest day before it is {newest}" if newest else "")


def _waivers(pipeline: Pipeline, failure: Failure | None) -> Iterator[str]:
    """The command that goes on without a delivery, for each source that the failure lacks and that may be waived."""
    for name in pipeline.inputs if failure else ():
        if failure and f"source {name} lacks " in failure.message and why_not_waived(pipeline, name) is None:
            command = f"nightshift waive {pipeline.name} {name} --ds DAY --reason WHY"
            yield f"{command}   (only if the delivery will never come)"


def _retrain(pipeline: Pipeline, ds: date, night: Night | None) -> Iterator[str]:
    """The command that makes a model for the features as they are built now, where the champion is none."""
    if night and night.predictions.state == "refused":
        before = ds - timedelta(days=1)
        yield f"nightshift retrain {pipeline.name} --as-of {before}   (first: the champion would be refused again)"


def _next(name: str, dag: str, ds: date, run: Run | None, failure: Failure | None, *, well: bool) -> Iterator[str]:
    option = " --retrain" if dag != name else ""
    again = f"nightshift backfill {name} {ds} {ds}{option}"
    if well:
        return
    if run is not None and run.state in ("queued", "running"):
        yield f"{again} --watch"
    if failure is None:
        if run is None:
            yield "nightshift status"
            yield again
        elif run.state not in ("queued", "running"):
            yield again
        return
    if failure.step == "plan_scoring":
        yield f"nightshift champions {name}"
    first = STEPS[failure.step].doc if failure.step in STEPS else failure.step
    yield f"{again}   (once it is corrected: {failure.step}, {first[0].lower()}{first[1:]})"
