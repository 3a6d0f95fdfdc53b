"""``audit``, ``prune``, ``backup``, ``restore``: looking after what is there."""

import logging
import re
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from nightshift.actor import system_account
from nightshift.cli.output import Json, PipelineName, day, emit, progress, table

log = logging.getLogger("nightshift")


def _duration(text: str) -> int:
    """A duration given on the command line, in seconds."""
    if not re.fullmatch(r"[1-9][0-9]*[hd]", text):
        raise typer.BadParameter(f"{text!r} is not a duration; write it as 30d or 12h")
    return int(text[:-1]) * {"h": 3600, "d": 86_400}[text[-1]]


def audit(
    pipeline: PipelineName,
    first: Annotated[date, typer.Argument(parser=day, metavar="FROM", help="First business date.")],
    last: Annotated[date, typer.Argument(parser=day, metavar="TO", help="Last business date, included.")],
    as_json: Json = False,
) -> None:
    """Audit what is published with the gates of today.

    Writes reports, publishes nothing. Exit code 1 where a gate would block a partition now, or take rows out of it.

    Example: nightshift audit flights 2013-03-04 2013-03-06
    """
    from nightshift.gates.removed import is_recoverable
    from nightshift.past import audit_past
    from nightshift.settings import Settings
    from nightshift.specs.calendar import days
    from nightshift.specs.load import load_pipeline

    if first > last:
        raise typer.BadParameter(f"{first} is after {last}")
    progress()
    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline)
    found = list(audit_past(settings, spec, days(first, last)))
    audited = {report.ds for report, _ in found}
    nothing = [day.isoformat() for day in days(first, last) if day.isoformat() not in audited]
    rows = [
        (report.ds, report.dataset, report.rows, report.status, len(report.failed), page if report.failed else None)
        for report, page in found
    ]
    open_names = [f"{report.dataset} {report.ds}" for report, _ in found if is_recoverable(report.fingerprint)]
    bad = [report for report, _ in found if report.status in ("blocked", "quarantined")]
    summary = f"{len(found)} partitions audited, {len(bad)} would not be published as they are"
    summary += f"; nothing is published of {len(nothing)} of the days, the first is {nothing[0]}" if nothing else ""
    if open_names:
        summary += (
            f"\nkeys of removed rows can be recovered from the fingerprints of {len(open_names)} partitions, which an "
            f"earlier version published: {', '.join(open_names[:5])}{' and more' if len(open_names) > 5 else ''}"
        )
    text = "\n".join([table(("day", "dataset", "rows", "gate now", "failed", "report"), rows), summary])
    partitions = [{**report.document(), "page": page} for report, page in found]
    document = {
        "pipeline": spec.name, "partitions": partitions, "nothing_published": nothing, "recoverable": open_names,
    }  # fmt: skip
    emit(as_json, document, text if found else f"nothing of {spec.name} is published from {first} to {last}")
    if bad or not found:
        raise typer.Exit(1)


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty or not there yet.")],
    as_json: Json = False,
) -> None:
    """Back up the databases: ledger, MLflow, Airflow.

    The lake, the models and var/secrets are files, to be copied by what copies files.

    Example: nightshift backup var/backups/monday
    """
    from nightshift.platform.backup import DATABASES, LEDGER, back_up
    from nightshift.platform.layout import of_this_machine
    from nightshift.settings import Settings

    settings = Settings.from_env()
    cluster, key = of_this_machine(settings).cluster, settings.removal_key_file
    made = back_up(cluster, folder.resolve(), settings.env, DATABASES, LEDGER, key)
    text = f"{', '.join(made.databases)} in {folder}; the ledger has {made.entries} entries, head {made.head[:16]}"
    emit(as_json, {"folder": folder, **asdict(made)}, text)


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `nightshift backup` made.")],
    drill: Annotated[bool, typer.Option("--drill", help="Restore beside, verify, and remove it again.")] = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the databases in use.

    Restores beside them first and verifies the ledger; then stops MLflow and Airflow, swaps, and starts them again.
    The databases that were in use stay under another name. An entry of the ledger says who restored what, and which
    entries it left out; `nightshift ledger verify` is run before and after.

    Example: nightshift restore var/backups/monday --drill
    """
    from nightshift.platform.backup import restore as put_back
    from nightshift.registry.detection import verify
    from nightshift.settings import Settings

    progress()
    settings = Settings.from_env()
    found, suffix, entry = put_back(settings, folder.resolve(), log.info, actor=system_account(), drill=drill)
    what = "the drill went well" if drill else f"restored; what was in use is kept as nightshift{suffix} and so on"
    lines = [f"{what} (backup of {found.made_at})"]
    if entry is not None:
        lines.append(f"entry {entry.seq} of the ledger says so")
        lines += [str(finding) for finding in verify(settings).findings]
    recorded = entry.document() if entry else None
    emit(as_json, {"drill": drill, "kept_as": suffix, "entry": recorded, **asdict(found)}, "\n".join(lines))


def prune(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE", help="Default: all of them.")] = None,
    older_than: Annotated[
        int, typer.Option(parser=_duration, metavar="AGE", help="Only what is older, such as 30d or 12h.")
    ] = "30d",  # type: ignore[assignment]
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove files of attempts that were never published.

    Whatever a version of a table names stays, however old. Staged partitions are first set aside, and go with the
    next prune that is a day later. Who removed how much of which table is kept in the lake, below `_upkeep`. Exit code
    1 where a spec is not valid: its tables are not looked at.

    Example: nightshift prune flights --older-than 30d --dry-run
    """
    from nightshift import storage, upkeep_record
    from nightshift.settings import Settings
    from nightshift.specs.load import load_all, load_pipeline
    from nightshift.tables.prune import Pruned, table_roots
    from nightshift.tables.prune import prune as prune_table

    settings = Settings.from_env()
    specs, broken = ([load_pipeline(settings, pipeline)], []) if pipeline else load_all(settings)
    names, left = [spec.name for spec in specs], [f"not looked at, the spec is not valid: {it.where}" for it in broken]
    roots = [root for name in names for root in table_roots(storage.join(settings.tables, name))]

    def record(done: Pruned) -> None:
        removed = {"files": done.files, "bytes": done.bytes, "set_aside": len(done.expired)}
        upkeep_record.pruned(settings, table=done.table, older_than_seconds=older_than, **removed)

    found = [prune_table(root, older_than, dry_run=dry_run, record=record) for root in roots]
    rows = [
        (item.table[len(settings.tables) + 1 :], item.files, f"{item.bytes / 1e6:.1f}", len(item.expired))
        for item in found
        if item.files or item.expired
    ]
    verb = "would go" if dry_run else "removed"
    header = ("table", f"files {verb}", "MB", "set aside")
    text = table(header, rows) if rows else f"nothing in {len(roots)} tables is old and unread"
    document = {"dry_run": dry_run, "tables": [asdict(item) for item in found], "left": left}
    emit(as_json, document, "\n".join([text, *left]))
    if left:
        raise typer.Exit(1)
