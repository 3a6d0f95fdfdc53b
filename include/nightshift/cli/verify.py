"""``ledger verify``: the ledger against every place that knows of it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from nightshift.actor import system_account
from nightshift.cli.output import emit

if TYPE_CHECKING:
    from nightshift.registry.detection import Verified

_CLOCKS = (
    "A clock was ahead when the first of them was recorded, or is behind now. What to do: compare the clocks of the "
    "database and of this machine. Effective dates of later entries follow these clocks, not an entry."
)


def verify(as_json: bool) -> None:
    """Prints what agrees, what could not be asked and what does not agree; exit code 1 where something does not."""
    from nightshift.registry.detection import verify as compare
    from nightshift.settings import Settings

    found = compare(Settings.from_env())
    emit(as_json, _document(found), "\n".join(lines(found)))
    if found.findings:
        raise typer.Exit(1)


def restored(reason: str, as_json: bool) -> None:
    """Records a restore that was made by hand."""
    from nightshift.registry.restored import record_restore
    from nightshift.settings import Settings

    if not reason.strip() or not reason.isprintable():
        raise typer.BadParameter("the reason is one line of text: which backup, and why")
    entry = record_restore(Settings.from_env(), None, system_account(), reason.strip())
    lost = {digest for hashes in entry.details["lost"].values() for digest in hashes}
    text = f"entry {entry.seq}: {entry.actor} put a backup in the ledger's place ({entry.reason}); it lacks "
    emit(as_json, {"entry": entry.document()}, f"{text}{len(lost)} entries that are known elsewhere")


def lines(found: "Verified") -> Iterator[str]:
    """The outcome for people: places first, then each finding on a line."""
    chain, head = found.chain, f", head {found.head[:16]}" if found.head else ""
    whole = "the chain is whole" if not chain.broken else "then the chain is broken"
    yield f"ledger of {found.env}: {chain.end} entries, {whole}{head}"
    yield from (str(finding) for finding in found.findings)
    if found.future:
        yield _CLOCKS
    yield from _covered(found)
    yield from (f"not asked: {line}" for line in found.places.unasked)
    for entry in chain.restores:
        yield f"entry {entry.seq}: {entry.actor} put a backup in the ledger's place ({entry.reason})"


def _covered(found: "Verified") -> Iterator[str]:
    since, end = found.chain.since, found.chain.end
    if since is None:
        yield "no entry's head is kept elsewhere yet; the next entry's will be"
    elif found.places.kept is not None:
        yield f"heads are kept beside the lake of entries {since} to {end}" + _earlier(since - 1, "entry", "entries")
    if found.places.models is not None:
        yield f"MLflow has heads on {sum(map(bool, found.places.models.values()))} of {len(found.places.models)} models"
    covered, before = (sum(getattr(table, name) for table in found.tables) for name in ("covered", "before"))
    if covered or before:
        counted = f"{covered} publications in {len(found.tables)} tables name the digest of their manifest"
        yield counted + _earlier(before, "publication", "publications")


def _earlier(count: int, one: str, many: str) -> str:
    return f"; {count} {one if count == 1 else many} before, of an earlier version, cannot be compared" if count else ""


def _document(found: "Verified") -> dict[str, Any]:
    return {
        "env": found.env,
        "entries": found.chain.end,
        "head": found.head,
        "whole": not found.chain.broken,
        "future": [entry.seq for entry in found.future],
        "findings": [vars(finding) for finding in found.findings],
        "not_asked": found.places.unasked,
        "covered": {
            "from_entry": found.chain.since,
            "tables": [
                {
                    "table": table.table,
                    "from_version": table.since,
                    "publications": table.covered,
                    "before": table.before,
                }
                for table in found.tables
            ],
        },
        "restores": [entry.seq for entry in found.chain.restores],
    }
