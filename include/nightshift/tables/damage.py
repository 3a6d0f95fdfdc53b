"""Partitions that another program changed: which there are, what they were, and how they become that again."""

from dataclasses import dataclass

from nightshift import storage
from nightshift.errors import NightshiftError, PublishConflict
from nightshift.lineage import Manifest, published_uri, recipe_of, sha256
from nightshift.publications import Published, publications
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


_REMOVED = "all of its files were removed"


def damaged(found: TableState) -> dict[str, str]:
    """The damaged days of a table, and what was done to each; with those of which no file is left."""
    changed = {ds: damage for ds in found.partitions if (damage := found.damage(ds))}
    kept = (name.removeprefix("ds=") for name in storage.list_folders(storage.join(found.uri, "_manifests")))
    absent = [ds for ds in kept if ds not in found.partitions]
    published = publications(found.uri) if absent and found.version >= 0 else {}
    return changed | {ds: _REMOVED for ds in absent if ds in published}


def damage_of(found: TableState, ds: str) -> str:
    """The damage of a day, as ``TableState.damage``, or that no file of it is left; empty if neither.

    A day without files is one that was never published to whoever reads the table's files: its manifests and the
    table's history, which are read here, alone tell that it was.
    """
    if ds in found.partitions or found.version < 0:
        return found.damage(ds)
    kept = storage.list_files(storage.join(found.uri, "_manifests", f"ds={ds}"))
    return _REMOVED if kept and ds in publications(found.uri) else ""


def last_publication(table: str, ds: str) -> Manifest | None:
    """The manifest of the newest publication of a day, whatever was done to it since; None where there is none."""
    published = publications(table).get(ds)
    return _manifest(table, ds, published) if published else None


def _manifest(table: str, ds: str, published: Published) -> Manifest | None:
    uri = published_uri(table, ds, published.fingerprint, published.attempt)
    return Manifest.read(storage.read_json(uri)) if storage.exists(uri) else None


def published_as(found: TableState, ds: str) -> str:
    """The fingerprint under which a day was published last, whatever was done to it since; empty where it never was."""
    if not found.damage(ds):
        return found.fingerprint(ds)
    last = last_publication(found.uri, ds)
    return last.fingerprint if last else ""


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
    changed = damaged(found)
    published = publications(table) if changed else {}
    plans = [_plan(table, ds, damage, published.get(ds)) for ds, damage in sorted(changed.items())]
    days = [plan.ds for plan, _ in plans if not plan.error]
    put_back = [last for plan, last in plans if last is not None and not plan.error]
    if days and not dry_run and commit(table, found.version, put_back, days) is None:
        raise PublishConflict("another publication was first", where=table, do="repair again")
    return [plan for plan, _ in plans]


def _plan(table: str, ds: str, damage: str, published: Published | None) -> tuple[Repair, Manifest | None]:
    if published is None:
        return Repair(table, ds, damage, "taken out: it was never published"), None
    last = _manifest(table, ds, published)
    if last is None:
        return Repair(table, ds, damage, "none", "the manifest of its publication is gone"), None
    kept = storage.read_bytes(published_uri(table, ds, last.fingerprint, last.attempt))
    if published.sha256 and sha256(kept) != published.sha256:  # a new commit would name what it is now
        return Repair(table, ds, damage, "none", "its manifest is not the one that was published"), last
    try:
        check_files(table, [last])
    except NightshiftError as error:
        return Repair(table, ds, damage, "none", error.what), last
    return Repair(table, ds, damage, f"put back as published at {last.created_at[:19]}, attempt {last.attempt}"), last
