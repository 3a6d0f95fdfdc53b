"""The published days that another model scored than the ledger names once an order counts, and their repair."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from nightshift import tables
from nightshift.job import table_uri
from nightshift.orders.order import Plan
from nightshift.registry.champions import Champion, reigning
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


@dataclass(frozen=True)
class Scored:
    """Published days in runs without gaps, first and last; ``commands`` are what scores them with the new champion.

    ``stale`` days are from the order's date on. ``kept`` days lie before it and were scored by a model that the order
    withdraws: they stay as they are until somebody withdraws it for them, too.
    """

    stale: tuple[tuple[date, date], ...]
    kept: tuple[tuple[date, date], ...]
    commands: tuple[str, ...]
    orphans: tuple[tuple[date, date], ...] = ()


def scored_otherwise(settings: Settings, pipeline: Pipeline, plan: Plan) -> Scored:
    """The published predictions that a plan is about; reads the manifests of days whose model may differ."""
    first = plan.new.effective_from
    if first is None:
        return Scored((), (), ())
    predictions = tables.state(table_uri(settings, pipeline, "predictions"))
    stale: list[date] = []
    kept: list[date] = []
    orphans: list[date] = []
    for text in sorted(predictions.partitions):
        ds = date.fromisoformat(text)
        was, now = (_digest(reigning(reigns, ds)) for reigns in (plan.before, plan.after))
        if ds >= first and was == now:
            continue
        manifest = predictions.manifest(text)
        model = manifest.model_sha256 if manifest else ""
        if ds < first:
            kept += [ds] if model in plan.withdrawn else []
        elif model != now:
            (stale if now else orphans).append(ds)
    commands = [f"nightshift backfill {pipeline.name} {begin} {end}" for begin, end in _ranges(stale)]
    return Scored(_ranges(stale), _ranges(kept), tuple(commands), _ranges(orphans))


def scored_lines(plan: Plan, scored: Scored) -> Iterator[str]:
    """The same in words."""
    if scored.stale:
        yield f"published days that a withdrawn or replaced model scored: {_words(scored.stale)}. What repairs them:"
        yield from (f"  {command}" for command in scored.commands)
    if scored.orphans:
        yield f"published days whose model is withdrawn, with no champion to score them again: {_words(scored.orphans)}"
    if scored.kept:
        again = "retire" if plan.order.kind == "retirement" else "rollback"
        version = f" {plan.new.version}" if again == "retire" else f" --to {plan.new.version}"
        yield (
            f"published days before {plan.new.effective_from} that a withdrawn model scored stay as they are: "
            f"{_words(scored.kept)}. To have them scored again:"
        )
        day = scored.kept[0][0]
        yield f"  nightshift {again} {plan.new.pipeline}{version} --effective-from {day} --reason WHY"


def _digest(champion: Champion | None) -> str:
    return champion.sha256 if champion else ""


def _ranges(days: Sequence[date]) -> tuple[tuple[date, date], ...]:
    runs = groupby(enumerate(days), key=lambda item: item[1] - timedelta(days=item[0]))
    found = [[day for _, day in run] for _, run in runs]
    return tuple((run[0], run[-1]) for run in found)


def _words(ranges: Sequence[tuple[date, date]]) -> str:
    count = sum((last - first).days + 1 for first, last in ranges)
    days = ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in ranges)
    return f"{days} ({count} {'day' if count == 1 else 'days'})"
