"""How each pipeline stands, for ``status``: what a green run of its newest day may hide, and frozen promotions."""

from collections.abc import Iterator
from contextlib import suppress

from nightshift import tables
from nightshift.errors import NightshiftError
from nightshift.features.unlabelled import unlabelled_days
from nightshift.job import table_uri
from nightshift.orders.said import freeze_lines
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.scoring.coverage import shortfall
from nightshift.settings import Settings
from nightshift.specs.load import load_all
from nightshift.specs.model import Pipeline


def standing_lines(settings: Settings) -> Iterator[str]:
    """A line for each spec that no command looks at, and for each pipeline whose newest day is not plainly well."""
    pipelines, broken = load_all(settings)
    for error in broken:
        yield f"a spec is not valid, its nights fail and it has no line here: {error.where}; `nightshift check`"
    frozen = _freezes(settings)
    for pipeline in pipelines:
        yield from (f"{pipeline.name}: {line}" for line in freeze_lines(frozen.get(pipeline.name, ())))
        try:
            yield from _newest_day(settings, pipeline)
        except NightshiftError as error:
            yield f"{pipeline.name}: {error.what}"


def _freezes(settings: Settings) -> dict[str, list[Entry]]:
    """By pipeline; none where the database is away, which its component's line says."""
    found: dict[str, list[Entry]] = {}
    with suppress(NightshiftError):
        for entry in Ledger.of(settings).entries(kinds=("freeze", "unfreeze")):
            found.setdefault(entry.pipeline, []).append(entry)
    return found


def _newest_day(settings: Settings, pipeline: Pipeline) -> Iterator[str]:
    labels = tables.state(table_uri(settings, pipeline, "labels"))
    if never := unlabelled_days(settings, pipeline, labels):
        yield f"{pipeline.name}: {len(never)} days are recorded as unlabelled, the newest is {never[-1]}"
    scored = tables.state(table_uri(settings, pipeline, "predictions"))
    newest = max(scored.partitions, default="")
    if not newest or scored.damage(newest):
        return
    manifest = scored.manifest(newest)
    lacks = shortfall(scored.partitions[newest].rows, manifest.counts if manifest else {})
    if not lacks and manifest and manifest.warnings:
        lacks = f"{manifest.warnings} expectations of predictions failed that only warn"
    if lacks:
        yield f"{pipeline.name} {newest}: {lacks}; `nightshift diagnose {pipeline.name} --ds {newest}`"
