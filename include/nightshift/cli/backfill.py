"""``backfill``: the past, through the airflow command line."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightshift.cli.output import Json, PipelineName, day, emit, progress, table

if TYPE_CHECKING:
    from nightshift.platform.airflow_client import Run
    from nightshift.registry.entry import Entry
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")

_FEW = 10

First = Annotated[date, typer.Argument(parser=day, metavar="FROM", help="First business date.")]
Last = Annotated[date, typer.Argument(parser=day, metavar="TO", help="Last business date, included.")]


def backfill(
    pipeline: PipelineName,
    first: First,
    last: Last,
    retrain: Annotated[bool, typer.Option("--retrain", help="Retrain as of each day instead of scoring it.")] = False,
    max_active: Annotated[int, typer.Option(min=1, help="Days that run at the same time.")] = 4,
    watch: Annotated[bool, typer.Option("--watch", help="Make no backfill; watch the one that is under way.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is stale, and why; run nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Run past days again through Airflow, and wait.

    What is up to date stays as it is. A failed day does not hold back the others; exit code 1 where one failed.
    Ctrl-C leaves the backfill running.

    Example: nightshift backfill flights 2013-03-04 2013-03-06 --dry-run
    """
    from nightshift.platform.backfill import wanted_days
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    progress()
    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline)
    if first > last:
        raise typer.BadParameter(f"{first} is after {last}")
    days = wanted_days(spec, first, last, retrain=retrain)
    if retrain:
        log.info("%s: retrains as of %s", spec.name, _listed(days))
    if dry_run:
        (_show_decisions if retrain else _show_freshness)(settings, spec, days, as_json)
        return
    again = f"nightshift backfill {pipeline} {first} {last}{' --retrain' if retrain else ''} --watch"
    try:
        runs, failed = _run(settings, f"{spec.name}__retrain" if retrain else spec.name, days, max_active, watch)
    except KeyboardInterrupt:
        log.info("the backfill goes on; look again with `%s`", again)
        raise typer.Exit(130) from None
    if retrain:
        _show_decisions(settings, spec, days, as_json, failed)
    else:
        _show_nights(settings, spec, days, as_json, runs, failed)
    if failed:
        raise typer.Exit(1)


def _run(
    settings: "Settings", dag_id: str, days: Sequence[date], max_active: int, watch: bool
) -> "tuple[list[Run], dict[str, str]]":
    """The runs of these days once they are over, and of those that failed the tasks that did."""
    from nightshift.platform import backfill as backfills
    from nightshift.platform.airflow_client import login

    first, last = days[0], days[-1]
    with login(settings) as client:
        if not watch:
            argv = backfills.create(
                settings, client, dag_id, first, last, max_active=max_active, reprocess="completed", report=log.info
            )
            log.info("$ %s", " ".join(argv))
        runs = backfills.watch(client, dag_id, first, last, log.info, seconds=float("inf"), wanted=days)
        return runs, {run.ds: backfills.failed_in(client, dag_id, run) for run in runs if run.state == "failed"}


def _show_nights(
    settings: "Settings",
    spec: "Pipeline",
    days: Sequence[date],
    as_json: bool,
    runs: "Sequence[Run]",
    failed: dict[str, str],
) -> None:
    from nightshift.platform import nights

    found = nights.nights_of(settings, spec, days, {run.ds: run for run in runs})
    lines = [nights.table(spec, found), *_failures(failed, f"nightshift diagnose {spec.name} --ds")]
    document = {"pipeline": spec.name, "nights": [asdict(night) for night in found], "failed": failed}
    emit(as_json, document, "\n".join(lines))


def _show_decisions(
    settings: "Settings", spec: "Pipeline", days: Sequence[date], as_json: bool, failed: dict[str, str] | None = None
) -> None:
    """What the ledger says of each as-of date: the first decision, which later runs only repeat."""
    from nightshift.registry.ledger import Ledger

    decided: dict[date, Entry] = {}
    for entry in Ledger.of(settings).entries(spec.name):
        if entry.kind in ("promotion", "refusal") and entry.as_of is not None:
            decided.setdefault(entry.as_of, entry)
    rows = [_decision(ds, decided.get(ds)) for ds in days]
    lines = [table(("as of", "decision", "version", "effective", "entry", "reason"), rows)]
    lines += _failures(failed or {}, f"nightshift diagnose {spec.name} --retrain --ds")
    entries = {ds.isoformat(): decided[ds].document() if ds in decided else None for ds in days}
    emit(as_json, {"pipeline": spec.name, "decisions": entries, "failed": failed or {}}, "\n".join(lines))


def _decision(ds: date, entry: "Entry | None") -> tuple[Any, ...]:
    if entry is None:
        return (ds, "not decided", None, None, None, None)
    return (ds, entry.kind, entry.version, entry.effective_from, entry.seq, entry.reason)


def _show_freshness(settings: "Settings", spec: "Pipeline", days: Sequence[date], as_json: bool) -> None:
    from nightshift.freshness.nights import DATASETS, look

    nights = look(settings, spec, days)
    rows = [(night.ds, *(getattr(night, name).state.replace("_", " ") for name in DATASETS)) for night in nights]
    lines = [table(("day", *DATASETS), rows)]
    why: dict[str, list[str]] = {}
    for night in nights:
        for name in DATASETS:
            for change in getattr(night, name).changes:
                why.setdefault(f"{name}: {change}", []).append(getattr(night, name).ds)
    lines += [f"{_span(found)}  {change}" for change, found in why.items()]
    lines.append(_summary(nights))
    emit(as_json, {"pipeline": spec.name, "nights": [night.document() for night in nights]}, "\n".join(lines))


def _summary(nights: Sequence[Any]) -> str:
    stale = sum(not night.up_to_date for night in nights)
    return f"{stale} of {len(nights)} days have something to do" if stale else "every day is up to date"


def _listed(days: Sequence[date]) -> str:
    named = [*map(str, days)] if len(days) <= _FEW else [str(days[0]), f"… ({len(days)} days)", str(days[-1])]
    return ", ".join(named)


def _span(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"


def _failures(failed: dict[str, str], command: str) -> list[str]:
    return [f"{ds} failed in {tasks}: `{command} {ds}`" for ds, tasks in failed.items()]
