"""``waive``: go on without a delivery."""

from contextlib import suppress
from typing import Annotated

import typer

from nightshift.cli.giver import giver
from nightshift.cli.output import Ds, Json, PipelineName, emit


def waive(
    pipeline: PipelineName,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Name of the source.")],
    ds: Ds,
    reason: Annotated[str, typer.Option(help="Why it will not come, and who says so; kept in the ledger.")],
    as_json: Json = False,
) -> None:
    """Let features go on without a delivery that will not come.

    DAY is the day of the delivery, not that of the night that waits for it. Where it comes after all, the nights that
    read it are stale and can be backfilled. Labels that need it stay unbuilt.

    Example: nightshift waive flights actuals --ds 2013-03-09 --reason "the airport was closed (ops, ticket 4711)"
    """
    from nightshift.errors import NightshiftError
    from nightshift.registry.alias import follow
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline)
    with giver(settings) as by:
        entry = by.waive(settings, spec, source, ds, reason)
    text = f"entry {entry.seq}: {source} of {ds} is waived by {entry.by} ({entry.reason})"
    emit(as_json, {"pipeline": pipeline, "waiver": entry.document()}, text)
    with suppress(NightshiftError):  # the ledger holds
        follow(settings, spec)
