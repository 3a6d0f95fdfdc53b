"""``rollback``, ``retire``, ``override``, ``freeze``, ``unfreeze``: what people decide about models."""

import logging
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightshift.cli.giver import giver
from nightshift.cli.output import Json, PipelineName, day, emit, progress, table

if TYPE_CHECKING:
    from nightshift.orders.order import Plan
    from nightshift.orders.scored import Scored
    from nightshift.registry.champions import Reign
    from nightshift.registry.entry import Entry
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline

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
    _show(settings, spec, found, entry, as_json)


def _show(settings: "Settings", spec: "Pipeline", found: "Plan", entry: "Entry | None", as_json: bool) -> None:
    from nightshift.orders.scored import scored_lines

    scored = _scored(settings, spec, found, entry)
    alias = _alias(settings, spec, found, entry)
    lines = [*_heading(found, entry), *found.found, *_who(found)]
    lines += scored_lines(found, scored) if scored else ["which published days another model scored is not known"]
    lines += _frozen(found) + [alias] * bool(alias)
    document = {
        "pipeline": spec.name,
        "order": vars(found.order),
        "effective_from": found.new.effective_from,
        "version": found.new.version,
        "entry": entry.document() if entry else None,
        "before": _reigns(found.before),
        "after": _reigns(found.after),
        "found": found.found,
        "stale": _days(scored.stale if scored else None),
        "kept": _days(scored.kept if scored else None),
        "repair": scored and scored.commands,
        "frozen": found.freeze.document() if found.freeze else None,
        "alias": alias,
    }
    emit(as_json, document, "\n".join(lines))


def _scored(settings: "Settings", spec: "Pipeline", found: "Plan", entry: "Entry | None") -> "Scored | None":
    """The published days that the order concerns; None where they cannot be read and the order counts already."""
    from nightshift.errors import NightshiftError, foreseen
    from nightshift.orders.scored import scored_otherwise

    try:
        with foreseen():
            return scored_otherwise(settings, spec, found)
    except NightshiftError as error:
        if entry is None:
            raise
        log.warning("the published days were not looked at, the ledger holds: %s", error)
        return None


def _days(ranges: "Sequence[tuple[date, date]] | None") -> list[dict[str, date]] | None:
    return None if ranges is None else [{"from": first, "to": last} for first, last in ranges]


def _alias(settings: "Settings", spec: "Pipeline", found: "Plan", entry: "Entry | None") -> str:
    """The state of MLflow's alias, or whether MLflow has the version that is to score."""
    from nightshift.errors import NightshiftError
    from nightshift.registry.alias import follow, foreseen

    concerned = found.new.effective_from is not None
    if entry is None and not concerned:
        return ""
    if entry is None:
        champion = found.after[0][1]
        return foreseen(settings, spec.name, champion) if champion else ""
    try:
        said = follow(settings, spec)
        return said if concerned else ""  # of a freeze only the ledger's head is shown in MLflow
    except NightshiftError as error:
        log.warning("MLflow's alias was not looked at, the ledger holds: %s", error)
        return "the alias champion was not set"


def _heading(found: "Plan", entry: "Entry | None") -> Iterator[str]:
    from nightshift.orders.order import named_effect, told

    yield told(entry) if entry is not None else f"dry run, nothing is recorded: {named_effect(found.new)}"


def _who(found: "Plan") -> Iterator[str]:
    if not found.before:
        return
    header = ("from", "until", "before", "after")
    days = sorted({day for day, _ in (*found.before, *found.after)})
    rows = []
    for number, first in enumerate(days):
        until = days[number + 1] - timedelta(days=1) if number + 1 < len(days) else None
        rows.append((first, until, _name(found.before, first), _name(found.after, first)))
    yield f"who scores:\n{table(header, rows)}"


def _name(reigns: "Sequence[Reign]", ds: date) -> str:
    from nightshift.registry.champions import reigning

    champion = reigning(reigns, ds)
    return f"version {champion.version} ({champion.sha256[:16]})" if champion else "nobody"


def _reigns(reigns: "Sequence[Reign]") -> list[dict[str, Any]]:
    return [{"from": first, "champion": vars(champion) if champion else None} for first, champion in reigns]


def _frozen(found: "Plan") -> list[str]:
    """A line about the freeze: an order of a person goes by it, and leaves it as it is."""
    from nightshift.orders.order import told

    if found.freeze is None or found.order.kind == "unfreeze":
        return []
    return [f"promotions by the rule stay frozen: {told(found.freeze)}"]
