"""Orders of people, and what waits for one, in words, for whoever asks about a pipeline or a day of it. Pure."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date

from nightshift.orders.order import told
from nightshift.registry.champions import Champion, champion_as_of
from nightshift.registry.entry import Entry
from nightshift.registry.interventions import freeze_in_force
from nightshift.registry.models import withdrawals
from nightshift.registry.proposals import Proposal

ORDERED = ("rollback", "retirement", "override")


def ordered(entries: Sequence[Entry], champion: Champion | None) -> Entry | None:
    """The order of a person that made a champion; None where the rule did."""
    entry = next((item for item in entries if champion and item.seq == champion.seq), None)
    return entry if entry and entry.kind in ORDERED else None


def freeze_lines(entries: Sequence[Entry]) -> Iterator[str]:
    """The freeze in force, if there is one: since when, by whom, why."""
    if frozen := freeze_in_force(entries):
        yield f"promotions are frozen since {frozen.recorded_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {told(frozen)}"


def answer_command(item: Proposal) -> str:
    """The command that approves a proposal."""
    return f"nightshift approve {item.entry.pipeline} --proposal {item.seq} --reason WHY"


def asked_line(item: Proposal) -> str:
    """The proposal that waits for a person: since when, until when, and the command that answers."""
    since, until = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for at in (item.entry.recorded_at, item.expires_at))
    by = item.ordered_by or "the schedule"
    return (
        f"version {item.entry.version} waits for approval since {since}, ordered by {by}, until {until}: "
        f"{answer_command(item)} (or reject)"
    )


def day_lines(entries: Sequence[Entry], pipeline: str, ds: date, scored_by: str = "") -> Iterator[str]:
    """The orders that concern a day; ``scored_by`` is the SHA-256 of the model of its predictions, empty without."""
    champion = champion_as_of(entries, ds)
    withdrawal = withdrawals(entries).get(scored_by)
    if champion and (order := ordered(entries, champion)) and order is not withdrawal:
        yield f"version {champion.version} is champion of {ds} by an order: {told(order)}"
    if withdrawal is None:
        return
    model = f"model {scored_by[:16]}, which scored {ds},"
    if champion is None:
        yield f"{model} was withdrawn, and {ds} has no champion now: {told(withdrawal)}"
    elif champion.sha256 != scored_by:
        yield f"{model} was withdrawn: {told(withdrawal)}; `nightshift backfill {pipeline} {ds} {ds}` scores it again"
    else:
        yield f"{model} was withdrawn for later days alone: {told(withdrawal)}"
