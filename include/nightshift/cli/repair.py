"""``repair``: partitions that another program changed, put back as they were published."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nightshift.cli.output import Json, PipelineName, emit, table

if TYPE_CHECKING:
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline


def repair(
    pipeline: PipelineName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be put back; change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Put back partitions whose rows another program appended, removed or rewrote.

    The files of their publication become active again, in one commit of each table; nothing is built. Exit code 1
    where they are gone: then land the delivery again, or use `nightshift backfill --rebuild`.

    Example: nightshift repair flights --dry-run
    """
    from nightshift import tables
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline)
    found = {name: tables.repair(uri, dry_run=dry_run) for name, uri in tables_of(settings, spec)}
    repairs = [(name, item) for name, items in found.items() for item in items]
    rows = [(name, item.ds, item.damage, item.error or item.action) for name, item in repairs]
    text = table(("dataset", "ds", "found", "would be" if dry_run else "done"), rows) if rows else "nothing is damaged"
    document = {"dry_run": dry_run, "repairs": [{"dataset": name, **asdict(item)} for name, item in repairs]}
    emit(as_json, document, text)
    if any(item.error for _, item in repairs):
        raise typer.Exit(1)


def damage_lines(settings: "Settings") -> Iterator[str]:
    """A line for each damaged partition of any pipeline, and for files of no business date."""
    from nightshift import tables
    from nightshift.errors import NightshiftError
    from nightshift.specs.load import load_all

    for spec in load_all(settings)[0]:
        for name, uri in tables_of(settings, spec):
            where = f"{spec.name} {name}"
            try:
                found = tables.state(uri)
            except NightshiftError as error:
                yield f"{where}: {error.what}"
                continue
            for ds, damage in tables.damaged(found).items():
                yield f"{where} of {ds} was changed by another program: {damage}; `nightshift repair {spec.name}`"
            if found.strays:
                yield f"{where}: {len(found.strays)} files of another program have no business date, and no reader"


def tables_of(settings: "Settings", spec: "Pipeline") -> Iterator[tuple[str, str]]:
    """The tables of a pipeline by dataset, each with its quarantine."""
    from nightshift.cli.published import datasets
    from nightshift.job import table_uri

    for name in datasets(spec):
        for dataset in (name, f"quarantine/{name}"):
            yield dataset, table_uri(settings, spec, dataset)
