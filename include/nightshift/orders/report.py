"""The report of an order, before it is recorded and after: one for command line and pages."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from nightshift.errors import NightshiftError
from nightshift.errors import foreseen as said_of
from nightshift.orders.order import Plan, named_effect, told
from nightshift.orders.scored import Scored, scored_lines, scored_otherwise
from nightshift.registry.alias import follow, foreseen
from nightshift.registry.champions import Reign, reigning
from nightshift.registry.entry import Entry
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")

WHO_SCORES = ("from", "until", "before", "after")


@dataclass(frozen=True)
class Report:
    """A plan, the entry that it became (None of a dry run), and what was looked up about it.

    ``scored`` is None where the published days could not be read. ``alias`` is the state of MLflow's, empty where the
    order does not concern it.
    """

    plan: Plan
    entry: Entry | None
    scored: Scored | None
    alias: str = ""

    def heading(self) -> str:
        """The order in a line."""
        if self.entry is not None:
            return told(self.entry)
        return f"dry run, nothing is recorded: {named_effect(self.plan.new)}"

    def who_scores(self) -> list[tuple[date, date | None, str, str]]:
        """Rows under ``WHO_SCORES``; none for an order that changes no champion."""
        days = sorted({day for day, _ in (*self.plan.before, *self.plan.after)})
        before, after = self.plan.before, self.plan.after
        rows: list[tuple[date, date | None, str, str]] = []
        for number, day in enumerate(days):
            until = days[number + 1] - timedelta(days=1) if number + 1 < len(days) else None
            rows.append((day, until, _name(before, day), _name(after, day)))
        return rows

    def days(self) -> Iterator[str]:
        """The published days that the order concerns, in lines; a command has a line of its own, indented."""
        if self.scored is None:
            yield "which published days another model scored is not known"
        else:
            yield from scored_lines(self.plan, self.scored)

    def rest(self) -> Iterator[str]:
        """The freeze that the order goes by and leaves as it is, and MLflow's alias."""
        if self.plan.freeze is not None and self.plan.order.kind != "unfreeze":
            yield f"promotions by the rule stay frozen: {told(self.plan.freeze)}"
        if self.alias:
            yield self.alias

    def document(self) -> dict[str, Any]:
        """The report as plain data."""
        plan, scored = self.plan, self.scored
        return {
            "pipeline": plan.new.pipeline,
            "order": vars(plan.order),
            "effective_from": plan.new.effective_from,
            "version": plan.new.version,
            "entry": self.entry.document() if self.entry else None,
            "before": _reigns(plan.before),
            "after": _reigns(plan.after),
            "found": plan.found,
            "stale": _days(scored.stale if scored else None),
            "kept": _days(scored.kept if scored else None),
            "repair": scored and scored.commands,
            "frozen": plan.freeze.document() if plan.freeze else None,
            "alias": self.alias,
        }


def looked_at(settings: Settings, pipeline: Pipeline, plan: Plan) -> Report:
    """The report of a plan; reads tables, and asks MLflow. Raises NightshiftError where the tables cannot be read."""
    with said_of():
        scored = scored_otherwise(settings, pipeline, plan)
    champion = plan.after[0][1] if plan.new.effective_from is not None and plan.after else None
    return Report(plan, None, scored, foreseen(settings, pipeline.name, champion) if champion else "")


def recorded(settings: Settings, pipeline: Pipeline, plan: Plan, entry: Entry) -> Report:
    """The report of an order that counts already: what cannot be looked at is warned of, and no failure."""
    return Report(plan, entry, _scored(settings, pipeline, plan))


def shown_in_mlflow(settings: Settings, pipeline: Pipeline, plan: Plan) -> str:
    """Bring MLflow's alias and tags up to date with a recorded order, and return what came of the alias, in words.

    Empty where it changes no champion: of a freeze MLflow shows the ledger's head alone. Logs a warning, and never
    fails: the ledger holds.
    """
    try:
        with said_of():
            said = follow(settings, pipeline)
    except NightshiftError as error:
        log.warning("MLflow's alias was not looked at, the ledger holds: %s", error)
        return "the alias champion was not set"
    return said if plan.new.effective_from is not None else ""


def _scored(settings: Settings, pipeline: Pipeline, plan: Plan) -> Scored | None:
    try:
        with said_of():
            return scored_otherwise(settings, pipeline, plan)
    except NightshiftError as error:
        log.warning("the published days were not looked at, the ledger holds: %s", error)
        return None


def _name(reigns: Sequence[Reign], ds: date) -> str:
    champion = reigning(reigns, ds)
    return f"version {champion.version} ({champion.sha256[:16]})" if champion else "nobody"


def _reigns(reigns: Sequence[Reign]) -> list[dict[str, Any]]:
    return [{"from": first, "champion": vars(champion) if champion else None} for first, champion in reigns]


def _days(ranges: Sequence[tuple[date, date]] | None) -> list[dict[str, date]] | None:
    return None if ranges is None else [{"from": first, "to": last} for first, last in ranges]
