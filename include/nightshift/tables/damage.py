"""Partitions that another program changed: which there are, what they were, and how they become that again."""

import json
from dataclasses import dataclass

from nightshift import storage
from nightshift.errors import NightshiftError, PublishConflict
from nightshift.lineage import Manifest, published_uri, recipe_of
from nightshift.tables.publish import check_files, commit
from nightshift.tables.state import TableState, state


@dataclass(frozen=True)
class Repair:
    """A damaged day of a table, and what became of it, or would: ``error`` says why nothing did."""

    table: str
    ds: str
    damage: str
    action: str
    error: str = ""


def damaged(found: TableState) -> dict[str, str]:
    """The damaged days of a table, and what was done to each."""
    return {ds: damage for ds in found.partitions if (damage := found.damage(ds))}


def last_publication(table: str, ds: str) -> Manifest | None:
    """The manifest of the newest publication of a day, whatever was done to it since; None where there is none.

    It reads the table's history: only damaged days need it.
    """
    from deltalake import DeltaTable

    for entry in DeltaTable(table).history():
        published = json.loads(entry.get("nightshift") or "{}").get(ds)
        if published:
            uri = published_uri(table, ds, published["fingerprint"], published["attempt"])
            return Manifest.read(storage.read_json(uri)) if storage.exists(uri) else None
    return None


def refuse_damaged(found: TableState, ds: str, recipe: str) -> None:
    """Raises PartitionDamaged where another program changed a day that would be up to date without that.

    A day that is stale anyway is published anew as a whole, which leaves nothing of the change.
    """
    if found.damage(ds):
        last = last_publication(found.uri, ds)
        if last is not None and recipe_of(last.fingerprint) == recipe:
            found.files(ds)


def repair(table: str, *, dry_run: bool = False) -> list[Repair]:
    """Put back what was published for each damaged day: the same files in one commit, nothing is written anew.

    A day of which nothing was ever published is taken out. What was changed stays in the table's older versions.
    Raises PublishConflict where another publication came in between.
    """
    found = state(table)
    plans = [_plan(table, ds, damage) for ds, damage in damaged(found).items()]
    days = [plan.ds for plan, _ in plans if not plan.error]
    publications = [last for plan, last in plans if last is not None and not plan.error]
    if days and not dry_run and commit(table, found.version, publications, days) is None:
        raise PublishConflict("another publication was first", where=table, do="repair again")
    return [plan for plan, _ in plans]


def _plan(table: str, ds: str, damage: str) -> tuple[Repair, Manifest | None]:
    last = last_publication(table, ds)
    if last is None:
        return Repair(table, ds, damage, "taken out: it was never published"), None
    try:
        check_files(table, [last])
    except NightshiftError as error:
        return Repair(table, ds, damage, "none", error.what), last
    return Repair(table, ds, damage, f"put back as published at {last.created_at[:19]}, attempt {last.attempt}"), last
