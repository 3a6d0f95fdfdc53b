"""``backfill``: the past, through the airflow command line."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from nightshift.actor import system_account
from nightshift.cli.backfill_report import listed, show_decisions, show_freshness, show_nights
from nightshift.cli.cancel import cancel as end_it
from nightshift.cli.output import Json, PipelineName, VerifyLanding, day, progress

if TYPE_CHECKING:
    from nightshift.features.rebuilds import Rebuild
    from nightshift.platform.airflow_client import AirflowClient, Run
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")

CORRECTION_REFUSED = 4
"""The exit code of a backfill that left corrected files of landing unpublished, since their gate refused them."""

First = Annotated[date | None, typer.Argument(parser=day, metavar="FROM", help="First business date.")]
Last = Annotated[date | None, typer.Argument(parser=day, metavar="TO", help="Last business date, included.")]


def backfill(  # noqa: PLR0913 (each is an option)
    pipeline: PipelineName,
    first: First = None,
    last: Last = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Retrain as of each day instead of scoring it.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build features, labels and predictions again, up to date or not.")
    ] = False,
    reason: Annotated[str, typer.Option(help="With --rebuild or --cancel: why; kept with who asked.")] = "",
    verify_landing: VerifyLanding = False,
    max_active: Annotated[int, typer.Option(min=1, help="Days that run at the same time.")] = 4,
    watch: Annotated[bool, typer.Option("--watch", help="Make no backfill; watch the one that is under way.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is stale, and why; run nothing.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the backfill that is under way; without days.")] = False,
    as_json: Json = False,
) -> None:
    """Run past days again through Airflow, and wait.

    What is up to date stays as it is, unless a rebuild is asked for. A failed day does not hold back the others;
    exit code 1 where one failed, 4 where none did, but a corrected delivery was refused by its gate: what was
    published before it stays. Ctrl-C leaves the backfill running; --cancel ends it.

    Example: nightshift backfill flights 2013-03-04 2013-03-06 --dry-run
    """
    from nightshift.features.rebuilds import new_rebuild
    from nightshift.platform.backfill import wanted_days
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    progress()
    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline)
    if cancel:
        _check_cancel(reason, useless=first is not None or rebuild or verify_landing or watch or dry_run)
        end_it(settings, spec, reason.strip(), as_json, retrain=retrain)
        return
    if first is None or last is None:
        raise typer.BadParameter("FROM and TO are missing: the first and the last business date")
    _check(first, last, rebuild=rebuild, other=retrain or watch, reason=reason)
    _check_verify(verify_landing, useless=watch or (retrain and dry_run))
    days = wanted_days(spec, first, last, retrain=retrain)
    order = new_rebuild(days[0], days[-1], system_account(), reason.strip()) if rebuild else None
    asked = _Asked(settings, spec, first, last, days, order, retrain=retrain, verify=verify_landing, as_json=as_json)
    asked.log_days()
    if dry_run:
        _dry_run(asked)
    else:
        _run(asked, max_active, make=not watch)


@dataclass(frozen=True)
class _Asked:
    """A backfill as asked for: ``days`` are those from ``first`` to ``last`` that have a run."""

    settings: "Settings"
    spec: "Pipeline"
    first: date
    last: date
    days: Sequence[date]
    order: "Rebuild | None"
    retrain: bool
    verify: bool
    as_json: bool

    @property
    def dag_id(self) -> str:
        return f"{self.spec.name}__retrain" if self.retrain else self.spec.name

    def log_days(self) -> None:
        if self.retrain:
            log.info("%s: retrains as of %s", self.spec.name, listed(self.days))
        elif len(self.days) < (self.last - self.first).days + 1:
            log.info("%s: of %s to %s only %s have a run", self.spec.name, self.first, self.last, listed(self.days))


def _dry_run(asked: _Asked) -> None:
    if asked.retrain:
        show_decisions(asked.settings, asked.spec, asked.days, asked.as_json)
    else:
        show_freshness(asked.settings, asked.spec, asked.days, asked.as_json, asked.order, verify_landing=asked.verify)


def _run(asked: _Asked, max_active: int, *, make: bool) -> None:
    """Make the backfill, or find it made, and show what came of it. Raises typer.Exit where a day failed."""
    from nightshift.platform import backfill as backfills
    from nightshift.platform.airflow_client import login
    from nightshift.runs import read_run, refused_corrections

    settings, spec, days = asked.settings, asked.spec, asked.days
    if asked.verify:
        _gate_verified(settings, spec, days, retrain=asked.retrain)
    with login(settings) as client:
        if make:
            _make(client, asked, max_active)
        runs = _watched(client, asked)
        failed = {run.ds: backfills.failed_in(client, asked.dag_id, run) for run in runs if run.state == "failed"}
    if asked.retrain:
        show_decisions(settings, spec, days, asked.as_json, failed)
        refused = sum(refused_corrections(read_run(settings, asked.dag_id, run.run_id)) for run in runs)
    else:
        refused = show_nights(settings, spec, days, asked.as_json, runs, failed)
    passed_over = asked.order is not None and _passed_over(settings, spec, days)
    if failed or passed_over:
        raise typer.Exit(1)
    if refused:
        log.error("%d corrected deliveries were refused; `nightshift diagnose` names them and their reports", refused)
        raise typer.Exit(CORRECTION_REFUSED)


def _make(client: "AirflowClient", asked: _Asked, max_active: int) -> None:
    """Make the backfill once no other one of the DAG is under way."""
    from nightshift.platform import backfill as backfills

    backfills.wait_for_other(client, asked.dag_id, log.info)
    with _standing(asked.settings, asked.spec, asked.order, lambda: client.has_backfill(asked.dag_id)):
        argv = backfills.create(
            asked.settings, client, asked.dag_id, asked.days[0], asked.days[-1],
            max_active=max_active, reprocess="completed", report=log.info,
        )  # fmt: skip
    log.info("$ %s", " ".join(argv))


def _watched(client: "AirflowClient", asked: _Asked) -> "Sequence[Run]":
    """The runs of the backfill at its end. Raises typer.Exit at Ctrl-C, which leaves it running."""
    from nightshift.platform.backfill import watch

    days = asked.days
    try:
        return watch(client, asked.dag_id, days[0], days[-1], log.info, seconds=float("inf"), wanted=days)
    except KeyboardInterrupt:
        option = " --retrain" if asked.retrain else ""
        again = f"nightshift backfill {asked.spec.name} {asked.first} {asked.last}{option} --watch"
        log.info("the backfill goes on; look again with `%s`", again)
        raise typer.Exit(130) from None


def _gate_verified(settings: "Settings", spec: "Pipeline", days: Sequence[date], *, retrain: bool) -> None:
    """Publish what the days read of landing, all of it read again: their runs then find what depends on it stale."""
    from nightshift.inputs.run import gate_nights, gate_windows
    from nightshift.job import Job
    from nightshift.spark_local import run_local

    log.info("reading the landing files of %s", listed(days))
    job = Job(settings, spec, days[0], "verify", actor=system_account(), verify_landing=True, run_spark=run_local)
    (gate_windows if retrain else gate_nights)(job, days)


def _check(first: date, last: date, *, rebuild: bool, other: bool, reason: str) -> None:
    if first > last:
        raise typer.BadParameter(f"{first} is after {last}")
    if rebuild and other:
        raise typer.BadParameter(
            "--rebuild goes with neither --retrain nor --watch; a retrain after it is one on rebuilt days"
        )
    if reason and not rebuild:
        raise typer.BadParameter("--reason is one for --rebuild or --cancel")


def _check_cancel(reason: str, *, useless: bool) -> None:
    if useless:
        raise typer.BadParameter("--cancel goes with --retrain, --reason and --json alone: a DAG has one backfill")
    if not reason.isprintable():
        raise typer.BadParameter("--reason is one line of text")


def _check_verify(verify_landing: bool, *, useless: bool) -> None:
    if verify_landing and useless:
        raise typer.BadParameter(
            "--verify-landing goes with what looks at landing: not --watch, nor retrains' --dry-run"
        )


def _passed_over(settings: "Settings", spec: "Pipeline", days: Sequence[date]) -> bool:
    """Whether features or labels of some days are still not what was ordered; says which."""
    from nightshift.freshness.nights import look

    nights = zip(days, look(settings, spec, days), strict=True)
    found = [ds for ds, night in nights if "stale" in (night.features.state, night.labels.state)]
    if found:
        what = "their runs were under way, and Airflow passes over such. Run `nightshift backfill` over them again"
        log.error("not built again: %s; %s, without --rebuild: the order stands", listed(found), what)
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
