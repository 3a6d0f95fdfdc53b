"""The output of ``backfill``: nights, decisions, and what is stale."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

from nightshift.cli.output import emit, table

if TYPE_CHECKING:
    from nightshift.features.rebuilds import Rebuild
    from nightshift.platform.airflow_client import Run
    from nightshift.platform.nights import Night
    from nightshift.registry.entry import Entry
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline

_FEW = 10


def show_nights(
    settings: "Settings",
    spec: "Pipeline",
    days: Sequence[date],
    as_json: bool,
    runs: "Sequence[Run]",
    failed: dict[str, str],
) -> int:
    """Each day as its run has left it, and the days that failed, scored too little, or lack or refused a delivery.

    Returns how many corrections were refused.
    """
    from nightshift.platform import nights

    found = nights.nights_of(settings, spec, days, {run.ds: run for run in runs})
    lines = [nights.table(spec, found), *_failures(failed, f"nightshift diagnose {spec.name} --ds")]
    lines += [
        f"{night.ds}: {why}: `nightshift diagnose {spec.name} --ds {night.ds}`"
        for night in found
        for why in _lacking(night)
    ]
    document = {"pipeline": spec.name, "nights": [asdict(night) for night in found], "failed": failed}
    emit(as_json, document, "\n".join(lines))
    return sum(night.refused_corrections for night in found)


def _lacking(night: "Night") -> Iterator[str]:
    """What the day did less of than its run's success says, a line for each."""
    yield from filter(None, (night.shortfall,))
    yield from (f"scored {lack}" for lack in night.without)
    if night.refused_corrections:
        number = night.refused_corrections
        words = "a corrected delivery was" if number == 1 else f"{number} corrected deliveries were"
        yield f"{words} refused, what was published before stays"


def show_decisions(
    settings: "Settings", spec: "Pipeline", days: Sequence[date], as_json: bool, failed: dict[str, str] | None = None
) -> None:
    """The ledger's newest decision of each as-of date. A rerun of a live one decides nothing, and is none."""
    from nightshift.registry.ledger import Ledger

    decided: dict[date, Entry] = {}
    for entry in Ledger.of(settings).entries(spec.name):
        if entry.kind in ("promotion", "approval", "refusal") and entry.as_of is not None:
            decided[entry.as_of] = entry
    rows = [_decision(ds, decided.get(ds)) for ds in days]
    lines = [table(("as of", "decision", "version", "effective", "entry", "reason"), rows)]
    lines += _failures(failed or {}, f"nightshift diagnose {spec.name} --retrain --ds")
    entries = {ds.isoformat(): decided[ds].document() if ds in decided else None for ds in days}
    emit(as_json, {"pipeline": spec.name, "decisions": entries, "failed": failed or {}}, "\n".join(lines))


def _decision(ds: date, entry: "Entry | None") -> tuple[Any, ...]:
    if entry is None:
        return (ds, "not decided", None, None, None, None)
    return (ds, entry.kind, entry.version, entry.effective_from, entry.seq, entry.reason)


def show_freshness(
    settings: "Settings",
    spec: "Pipeline",
    days: Sequence[date],
    as_json: bool,
    order: "Rebuild | None",
    *,
    verify_landing: bool,
) -> None:
    """Each day's datasets as a run would find them, and what makes them stale."""
    from nightshift.freshness.nights import DATASETS, look

    nights = look(settings, spec, days, order, verify_landing=verify_landing)
    rows = [(night.ds, *(getattr(night, name).state.replace("_", " ") for name in DATASETS)) for night in nights]
    lines = [table(("day", *DATASETS), rows)]
    why: dict[str, list[str]] = {}
    for night in nights:
        for name in DATASETS:
            for change in getattr(night, name).changes:
                why.setdefault(f"{name}: {change}", []).append(getattr(night, name).ds)
    lines += [f"{_span(found)}  {change}" for change, found in why.items()]
    lines.append(_summary(nights))
    emit(as_json, {"pipeline": spec.name, "nights": [night.document() for night in nights]}, "\n".join(lines))


def _summary(nights: Sequence[Any]) -> str:
    stale = sum(not night.up_to_date for night in nights)
    refused = sum(night.predictions.state == "refused" for night in nights)
    words = f"{stale} of {len(nights)} days have something to do" if stale else "every day is up to date"
    return words + (f"; the champion would not be taken for {refused} of them: retrain first" if refused else "")


def listed(days: Sequence[date]) -> str:
    """The days in a line; of many the first and the last."""
    named = [*map(str, days)] if len(days) <= _FEW else [str(days[0]), f"… ({len(days)} days)", str(days[-1])]
    return ", ".join(named)


def _span(days: Sequence[str]) -> str:
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]} ({len(days)} days)"


def _failures(failed: dict[str, str], command: str) -> list[str]:
    return [f"{ds} failed in {tasks}: `{command} {ds}`" for ds, tasks in failed.items()]
