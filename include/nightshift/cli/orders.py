"""``rollback``, ``retire``, ``override``, ``freeze``, ``unfreeze``: what people decide about models."""

import logging
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightshift.cli.giver import giver
from nightshift.cli.output import Json, PipelineName, day, emit, progress, table

if TYPE_CHECKING:
    from nightshift.orders.report import Report

log = logging.getLogger("nightshift")

VersionName = Annotated[str, typer.Argument(metavar="VERSION", help="The registered version, as the ledger has it.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the ledger with who ordered it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would do, or why it is refused; record nothing.")]
EffectiveFrom = Annotated[
    date | None,
    typer.Option("--effective-from", parser=day, metavar="DAY", help="First day; default: the next one to be scored."),
]


def rollback(
    pipeline: PipelineName,
    reason: Reason,
    to: Annotated[
        str | None, typer.Option("--to", metavar="VERSION", help="Default: the champion before this one.")
    ] = None,
    effective_from: EffectiveFrom = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a version champion that was one before, instead of all that came after it.

    Without --to it is the champion before the present one that was neither retired nor rolled back. Of past days only
    the champion changes: the published ones are stale then, and a backfill scores them again.

    Example: nightshift rollback flights --effective-from 2013-03-16 --reason "scores doubled, ticket 4711" --dry-run
    """
    if to is not None and not to.strip():  # as an unset variable of a shell is
        raise typer.BadParameter("--to names no version; leave it out for the champion before this one")
    _ordered(
        pipeline, "rollback", reason, version=to or "", effective_from=effective_from, dry_run=dry_run, as_json=as_json
    )


def retire(
    pipeline: PipelineName,
    version: VersionName,
    reason: Reason,
    effective_from: EffectiveFrom = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Never let a version score again from a day on.

    Where it is champion, the newest one before it follows that was neither retired nor rolled back and can serve; else
    nobody. What was registered of the same model under another version is retired with it.

    Example: nightshift retire flights 2 --reason "trained on doubled rows, ticket 4711" --dry-run
    """
    _ordered(
        pipeline, "retirement", reason, version=version, effective_from=effective_from, dry_run=dry_run, as_json=as_json
    )  # fmt: skip


def override(
    pipeline: PipelineName, version: VersionName, reason: Reason, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Promote a version against the rule, from the next day to be scored on, marked so.

    It works while promotions are frozen. The next retrain is compared with it.

    Example: nightshift override flights 2 --reason "the holdout had a strike, ticket 4711" --dry-run
    """
    _ordered(pipeline, "override", reason, version=version, dry_run=dry_run, as_json=as_json)


def freeze(pipeline: PipelineName, reason: Reason, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Let no retrain promote until `unfreeze`; what the rule would promote is recorded as refused.

    Example: nightshift freeze flights --reason "audit until Friday"
    """
    _ordered(pipeline, "freeze", reason, dry_run=dry_run, as_json=as_json)


def unfreeze(pipeline: PipelineName, reason: Reason, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Let retrains promote again. What was refused meanwhile stays refused.

    Example: nightshift unfreeze flights --reason "the audit is over"
    """
    _ordered(pipeline, "unfreeze", reason, dry_run=dry_run, as_json=as_json)


def _ordered(
    name: str,
    kind: Any,
    reason: str,
    *,
    version: str = "",
    effective_from: date | None = None,
    dry_run: bool,
    as_json: bool,
) -> None:
    from dataclasses import replace

    from nightshift.orders.order import Order, told
    from nightshift.orders.place import planned
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    progress()
    settings = Settings.from_env()
    spec = load_pipeline(settings, name)
    with giver(settings, local=dry_run) as by:
        found = planned(settings, spec, Order(kind, by.actor, reason, version, effective_from, by.claimed))
        entry = None if dry_run else by.place(settings, spec, found)
    if entry is not None:  # it counts from here on: what follows only shows it
        log.info("%s", told(entry))
    from nightshift.orders.report import looked_at, recorded, shown_in_mlflow  # and tables, which takes a while

    if entry is None:
        report = looked_at(settings, spec, found)
    else:
        report = recorded(settings, spec, found, entry)
        report = replace(report, alias=shown_in_mlflow(settings, spec, found))
    emit(as_json, report.document(), "\n".join(_lines(report)))


def _lines(report: "Report") -> Iterator[str]:
    from nightshift.orders.report import WHO_SCORES

    yield report.heading()
    yield from report.plan.found
    if rows := report.who_scores():
        yield f"who scores:\n{table(WHO_SCORES, rows)}"
    yield from report.days()
    yield from report.rest()
