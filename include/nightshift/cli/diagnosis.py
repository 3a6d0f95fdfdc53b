"""Why a night is as it is, put together from what is already written down: nothing is run, nothing is changed.

What the steps said, the tables, the ledger and the log files are read without Airflow; Airflow only adds what it
alone knows, the state of the run, of its tasks, and what people marked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from nightshift.cli.first_failure import Failure, failed_steps, first_failure
from nightshift.cli.next_commands import next_commands
from nightshift.cli.night_changes import changes, landed_since, orders, readers, waiting_proposal
from nightshift.cli.night_run import NightRun, ask_airflow, waiting_line
from nightshift.cli.published import published
from nightshift.errors import InputMissing, NightshiftError
from nightshift.freshness.nights import Night, look
from nightshift.freshness.scored import Scored, ScoredDays
from nightshift.inputs.lacks import lack_lines
from nightshift.inputs.run import inputs_landed
from nightshift.job import Job
from nightshift.orders.said import answer_command, asked_line
from nightshift.plan import RETRAIN_SUFFIX
from nightshift.run_facts import WINDOW, RunFacts
from nightshift.run_state import RunState
from nightshift.runs import read_run, run_ids, summary
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline

HEALTHY = (RunState.OK, RunState.OK_WITH_WARNINGS, RunState.RUNNING, RunState.SKIPPED)


@dataclass(frozen=True)
class Diagnosis:
    """One night. ``airflow`` is what Airflow says of the run, or why it is not known; ``reasons`` explain the state.

    ``later`` are steps that failed as well. ``asked`` is the proposal that waits for a person, in words, or
    empty. ``well``: nobody has to do anything for its readers. A night that scored nothing is not well, whatever the
    state of its run; one with ``warnings`` may be.
    """

    pipeline: str
    owner: str
    dag: str
    ds: str
    state: RunState
    airflow: str
    next: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    run_id: str = ""
    failure: Failure | None = None
    later: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    asked: str = ""
    well: bool = False

    def document(self) -> dict[str, Any]:
        """The diagnosis as plain data."""
        return asdict(self)


def diagnose(settings: Settings, pipeline: Pipeline, ds: date, *, retrain: bool = False) -> Diagnosis:
    """The diagnosis of the run of ``ds``. Raises NightshiftError only where not even files can be read."""
    dag = pipeline.name + (RETRAIN_SUFFIX if retrain else "")
    airflow = ask_airflow(settings, dag, ds)
    run_id = airflow.run.run_id if airflow.run else next(iter(run_ids(settings, dag, ds.isoformat())), "")
    said = read_run(settings, dag, run_id) if run_id else []
    seen = published(settings, pipeline, ds)
    scored = Scored(ds.isoformat()) if retrain else ScoredDays(settings, pipeline)[ds]
    facts = RunFacts.of(said, **airflow.known) if retrain else scored.facts(said, **airflow.known)
    failed = failed_steps(said, airflow)
    failure = first_failure(settings, dag, run_id, failed, said)
    asked = waiting_proposal(settings, pipeline)
    opened = any(task.task == WINDOW for task in airflow.open)
    night, unknown = (None, []) if retrain else _look(settings, pipeline, ds)
    damaged = any(item.damage for item in seen)
    nothing = not retrain and not facts.outside and scored.rows == 0
    return Diagnosis(
        pipeline=pipeline.name,
        owner=pipeline.owner,
        dag=dag,
        ds=ds.isoformat(),
        state=facts.state,
        airflow=airflow.words,
        next=(
            *([answer_command(asked)] if asked and opened else ()),
            *next_commands(pipeline, dag, ds, facts.state, airflow, failure, night, damaged=damaged),
        ),
        reasons=(
            *airflow.mark_lines(),
            *_reasons(settings, pipeline, ds, facts, airflow, said, retrain=retrain),
            *(landed_since(settings, pipeline, ds, failure.at) if failure and failure.at and not retrain else ()),
        ),
        run_id=run_id,
        failure=failure,
        later=tuple(failed)[1:],
        warnings=tuple(_warnings(said, scored)),
        changes=(
            *(
                ()
                if retrain
                else (*changes(settings, pipeline, ds, night, failure.message if failure else ""), *unknown)
            ),
            *orders(settings, pipeline, ds, seen, retrain=retrain),
        ),
        readers=tuple(readers(settings, pipeline, ds, seen)),
        asked=asked_line(asked) if asked else "",
        well=facts.state in HEALTHY and not damaged and not nothing,
    )


def _reasons(
    settings: Settings,
    pipeline: Pipeline,
    ds: date,
    facts: RunFacts,
    airflow: NightRun,
    said: Sequence[dict[str, Any]],
    *,
    retrain: bool,
) -> Iterator[str]:
    """Why the state is what it is, where neither a failed step nor a warning says so."""
    if facts.state == RunState.PAUSED and not airflow.marks:
        yield "its DAG is paused"
    elif facts.state == RunState.SKIPPED:
        yield "the day is outside the spec's range"
    elif facts.state == RunState.RUNNING and said:
        yield summary(said)
    elif facts.state == RunState.FAILED and not facts.failed and facts.published is False:
        yield "no predictions of the day are published"
    if facts.state != RunState.WAITING:
        return
    waits = sorted({task.task for task in airflow.open if airflow.waits} - {"inputs_landed"})
    yield from (f"{step} waits{' for a person' if step == WINDOW else ', and looks again later'}" for step in waits)
    if not waits and not retrain:
        yield from _missing(settings, pipeline, ds, airflow)
    elif not waits and airflow.run:
        yield "it waits for a slot, or for the runs before it"


def _missing(settings: Settings, pipeline: Pipeline, ds: date, airflow: NightRun) -> Iterator[str]:
    """The file that a night waits for, since when and until when; the step that waits decides what is missing."""
    try:
        inputs_landed(Job(settings, pipeline, ds))
    except InputMissing as error:
        yield f"it waits for a file: {error.what}; {error.do}"
        if airflow.run and (line := waiting_line(pipeline, airflow.run)):
            yield line
    except NightshiftError as error:
        yield f"what has landed is not known: {error.what}"
    else:
        if airflow.run:
            yield "everything that it reads has landed; it waits for a slot, for the runs before it or its next look"


def _warnings(said: Sequence[dict[str, Any]], scored: Scored) -> Iterator[str]:
    """What steps warned of and went on (a correction that its gate refused, for one), and what is not scored."""
    known = {f"without {lack.source} {lack.day}" for lack in scored.without}
    for item in said:
        found = (warning for warning in item.get("warnings", ()) if warning.partition(":")[0] not in known)
        yield from (f"{item['step']}: {warning}" for warning in found)
    if scored.shortfall:
        yield f"predictions: {scored.shortfall}"
    yield from (f"scored {line}" for line in lack_lines(scored.without))


def _look(settings: Settings, pipeline: Pipeline, ds: date) -> tuple[Night | None, list[str]]:
    """The night as it would be run again, or why that is not known."""
    try:
        return look(settings, pipeline, [ds])[0], []
    except NightshiftError as error:
        return None, [f"what is stale is not known: {error.what}"]
