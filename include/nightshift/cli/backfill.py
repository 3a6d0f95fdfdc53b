"""``backfill``: the past, through the airflow command line."""

import getpass
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightshift.cli.output import Json, PipelineName, day, emit, progress, table

if TYPE_CHECKING:
    from nightshift.features.rebuilds import Rebuild
    from nightshift.platform.airflow_client import Run
    from nightshift.registry.entry import Entry
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")

_FEW = 10

First = Annotated[date, typer.Argument(parser=day, metavar="FROM", help="First business date.")]
Last = Annotated[date, typer.Argument(parser=day, metavar="TO", help="Last business date, included.")]


def backfill(  # noqa: PLR0913 (each is an option)
    pipeline: PipelineName,
    first: First,
    last: Last,
    retrain: Annotated[bool, typer.Option("--retrain", help="Retrain as of each day instead of scoring it.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build features, labels and predictions again, up to date or not.")
    ] = False,
    reason: Annotated[str, typer.Option(help="With --rebuild: why; kept with who asked.")] = "",
    max_active: Annotated[int, typer.Option(min=1, help="Days that run at the same time.")] = 4,
    watch: Annotated[bool, typer.Option("--watch", help="Make no backfill; watch the one that is under way.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is stale, and why; run nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Run past days again through Airflow, and wait.

    What is up to date stays as it is, unless a rebuild is asked for. A failed day does not hold back the others;
    exit code 1 where one failed. Ctrl-C leaves the backfill running.

    Example: nightshift backfill flights 2013-03-04 2013-03-06 --dry-run
    """
    from nightshift.features.rebuilds import new_rebuild
    from nightshift.platform import backfill as backfills
    from nightshift.platform.airflow_client import login
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    progress()
    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline)
    _check(first, last, rebuild=rebuild, other=retrain or watch, reason=reason)
    days = backfills.wanted_days(spec, first, last, retrain=retrain)
    if retrain:
        log.info("%s: retrains as of %s", spec.name, _listed(days))
    order = new_rebuild(days[0], days[-1], getpass.getuser(), reason.strip()) if rebuild else None
    if dry_run:
        if retrain:
            _show_decisions(settings, spec, days, as_json)
        else:
            _show_freshness(settings, spec, days, as_json, order)
        return
    dag_id = f"{spec.name}__retrain" if retrain else spec.name
    with login(settings) as client:
        if not watch:
            backfills.wait_for_other(client, dag_id, log.info)
            with _standing(settings, spec, order, lambda: client.has_backfill(dag_id)):
                argv = backfills.create(
                    settings, client, dag_id, days[0], days[-1],
                    max_active=max_active, reprocess="completed", report=log.info,
                )  # fmt: skip
            log.info("$ %s", " ".join(argv))
        try:
            runs = backfills.watch(client, dag_id, days[0], days[-1], log.info, seconds=float("inf"), wanted=days)
        except KeyboardInterrupt:
            again = f"nightshift backfill {pipeline} {first} {last}{' --retrain' if retrain else ''} --watch"
            log.info("the backfill goes on; look again with `%s`", again)
            raise typer.Exit(130) from None
        failed = {run.ds: backfills.failed_in(client, dag_id, run) for run in runs if run.state == "failed"}
    if retrain:
        _show_decisions(settings, spec, days, as_json, failed)
    else:
        _show_nights(settings, spec, days, as_json, runs, failed)
    passed_over = order is not None and _passed_over(settings, spec, days)
    if failed or passed_over:
        raise typer.Exit(1)


def _check(first: date, last: date, *, rebuild: bool, other: bool, reason: str) -> None:
    if first > last:
        raise typer.BadParameter(f"{first} is after {last}")
    if rebuild and other:
        raise typer.BadParameter(
            "--rebuild goes with neither --retrain nor --watch; a retrain after it is one on rebuilt days"
        )
    if reason and not rebuild:
        raise typer.BadParameter("--reason is one for --rebuild")


def _passed_over(settings: "Settings", spec: "Pipeline", days: Sequence[date]) -> bool:
    """Whether features or labels of some days are still not what was ordered; says which."""
    from nightshift.freshness.nights import look

    nights = zip(days, look(settings, spec, days), strict=True)
    found = [ds for ds, night in nights if "stale" in (night.features.state, night.labels.state)]
    if found:
        what = "their runs were under way, and Airflow passes over such. Run `nightshift backfill` over them again"
        log.error("not built again: %s; %s, without --rebuild: the order stands", _listed(found), what)
    return bool(found)


@contextmanager
def _standing(
    settings: "Settings", spec: "Pipeline", order: "Rebuild | None", made: Callable[[], bool]
) -> Iterator[None]:
    """The order stands from the block's beginning on, and is withdrawn where that fails and no backfill was made."""
    from nightshift.features import rebuilds

    if order is None:
        yield
        return
    rebuilds.order(settings, spec, order)
    try:
        yield
    except BaseException:
        if not made():
            rebuilds.withdraw(settings, spec, order)
        raise
    log.info("rebuild %s of %s to %s stands", order.id, order.first, order.last)


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


def _show_freshness(
    settings: "Settings", spec: "Pipeline", days: Sequence[date], as_json: bool, order: "Rebuild | None"
) -> None:
    from nightshift.freshness.nights import DATASETS, look

    nights = look(settings, spec, days, order)
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
