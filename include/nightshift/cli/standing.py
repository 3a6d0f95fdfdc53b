"""How each pipeline stands, for ``status``: what a green newest day may hide, what was frozen, moved or asked."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime

from nightshift import tables
from nightshift.errors import NightshiftError
from nightshift.features.unlabelled import unlabelled_days
from nightshift.freshness.scored import ScoredDays
from nightshift.job import table_uri
from nightshift.orders.said import asked_line, freeze_lines
from nightshift.registry.alias import misplaced
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.registry.proposals import open_proposal
from nightshift.run_state import RunState
from nightshift.runs import read_run, summary
from nightshift.settings import Settings
from nightshift.specs.load import load_all
from nightshift.specs.model import Pipeline


def standing_lines(settings: Settings) -> Iterator[str]:
    """A line for each spec that no command looks at, and for each pipeline whose newest day is not plainly well."""
    pipelines, broken = load_all(settings)
    for error in broken:
        yield f"a spec is not valid, its nights fail and it has no line here: {error.where}; `nightshift check`"
    frozen, moved, asked = _freezes(settings), _moved(settings, pipelines), _asked(settings, pipelines)
    for pipeline in pipelines:
        if line := moved.get(pipeline.name):
            yield f"{pipeline.name}: {line}"
        yield from (f"{pipeline.name}: {line}" for line in freeze_lines(frozen.get(pipeline.name, ())))
        if line := asked.get(pipeline.name):
            yield f"{pipeline.name}: {line}"
        try:
            yield from _newest_day(settings, pipeline)
        except NightshiftError as error:
            yield f"{pipeline.name}: {error.what}"


def _freezes(settings: Settings) -> dict[str, list[Entry]]:
    """By pipeline; none where the database is away, which its component's line says."""
    found: dict[str, list[Entry]] = {}
    with suppress(NightshiftError):
        for entry in Ledger.of(settings).entries(kinds=("freeze", "unfreeze")):
            found.setdefault(entry.pipeline, []).append(entry)
    return found


def _asked(settings: Settings, pipelines: Sequence[Pipeline]) -> dict[str, str]:
    """What waits for a person, by pipeline; nothing where the database is away, which its component's line says."""
    found: dict[str, str] = {}
    with suppress(NightshiftError):
        ledger, now = Ledger.of(settings), datetime.now(UTC)
        proposed = {entry.pipeline for entry in ledger.entries(kinds=("proposal",))}
        for pipeline in (pipeline for pipeline in pipelines if pipeline.name in proposed):
            if item := open_proposal(ledger.entries(pipeline.name), pipeline.schedule, now):
                found[pipeline.name] = asked_line(item)
    return found


def _moved(settings: Settings, pipelines: Sequence[Pipeline]) -> dict[str, str]:
    """What is wrong with MLflow's aliases; nothing where MLflow or the database is away, whose lines say so."""
    with suppress(NightshiftError):
        return dict(misplaced(settings, pipelines)) if pipelines else {}
    return {}


def _newest_day(settings: Settings, pipeline: Pipeline) -> Iterator[str]:
    labels = tables.state(table_uri(settings, pipeline, "labels"))
    if never := unlabelled_days(settings, pipeline, labels):
        yield f"{pipeline.name}: {len(never)} days are recorded as unlabelled, the newest is {never[-1]}"
    newest = max(tables.state(table_uri(settings, pipeline, "predictions")).partitions, default="")
    if not newest:
        return
    scored = ScoredDays(settings, pipeline)[date.fromisoformat(newest)]
    said = read_run(settings, pipeline.name, scored.run_id) if scored.run_id else []
    state = scored.facts(said).state
    if scored.damage or state == RunState.OK:
        return
    why = "; ".join(scored.lines) or f"{scored.warnings} expectations of predictions failed that only warn"
    if not scored.lines and not scored.warnings:
        why = summary(said)
    yield f"{pipeline.name} {newest}: {state}: {why}; `nightshift diagnose {pipeline.name} --ds {newest}`"
