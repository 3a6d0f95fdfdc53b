"""The use cases of inputs: is everything there, and landing files to typed, audited, published tables."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from nightshift import tables
from nightshift.errors import InputMissing, NightshiftError
from nightshift.inputs.columns import sentences
from nightshift.inputs.days import gate_days
from nightshift.inputs.for_labels import gate_source, label_sources
from nightshift.inputs.gated import Gated
from nightshift.inputs.landing import Delivery, delivery, partition_files, place
from nightshift.inputs.looked_again import changed_since
from nightshift.inputs.needs import Needs, daily_needs, inside, window_needs
from nightshift.inputs.snapshots import newest_snapshots
from nightshift.job import Job, Outcome, Status
from nightshift.lineage import find_published, report_link
from nightshift.registry.waivers import waived

__all__ = [
    "gate_days",
    "gate_inputs",
    "gate_nights",
    "gate_windows",
    "inputs_landed",
    "window_inputs",
]

log = logging.getLogger("nightshift.inputs")

_MOST_LINKS = 10


def inputs_landed(job: Job) -> Outcome:
    """Check that every source that features of ``ds`` read has landed, or was published before.

    Sources that only labels read are not waited for. Raises InputMissing, which names what is not there.
    """
    if not inside(job.pipeline, job.ds):
        return Outcome("inputs_landed", job.day, "done", f"{job.day} is outside the spec's range: nothing to wait for")
    needs = daily_needs(job.pipeline, job.ds, newest_snapshots(job, {}))
    present = 0
    for name in job.pipeline.feature_inputs:
        absent = _absent(job, name, needs.features[name])
        _check_presence(job, name, needs.features[name], absent)
        present += len(needs.features[name]) - len(absent)
    message = f"{present} days of {len(job.pipeline.feature_inputs)} sources are there"
    return Outcome("inputs_landed", job.day, "done", message, {"days": present})


def gate_inputs(job: Job) -> Outcome:
    """Publish what is new or corrected in the lookbacks of ``ds`` and in what its mature labels need.

    Raises GateFailed or InputMissing where a source of the features lacks more days than the spec allows. What is
    wrong with the labels' sources is left for ``gate_labels``.
    """
    errors: dict[str, NightshiftError] = {}
    needs = daily_needs(job.pipeline, job.ds, newest_snapshots(job, errors))
    gated = {name: gate_source(job, name, needs.days(name)) for name in job.pipeline.inputs}
    warnings = [*_warnings(job, gated), *changed_since(job, gated)]
    labels = label_sources(needs, gated, errors)
    left = {"label_problems": labels.problems, "label_unknown": labels.unseen, "warnings": warnings}
    job.leave("gate_inputs", left)
    if inside(job.pipeline, job.ds):
        for name in job.pipeline.feature_inputs:
            _check_gated(job, name, needs.features[name], gated[name])
    return _outcome(job, "gate_inputs", list(gated.values()), warnings)


def window_inputs(job: Job) -> Outcome:
    """``gate_inputs`` for everything that the training window of an as-of date needs.

    Days that are absent or blocked are noted: the features that need them will be left out of the training set.
    """
    needs = window_needs(job.pipeline, job.ds, newest_snapshots(job))
    gated = {}
    for name in job.pipeline.inputs:
        days = needs.days(name)
        log.info("%s: looking at %d days", name, len(days))
        gated[name] = gate_days(job, name, days)
    left_out = {name: [*item.absent, *item.blocked] for name, item in gated.items() if item.absent or item.blocked}
    warnings = [f"{name}: {len(days)} days are not there, the first is {min(days)}" for name, days in left_out.items()]
    warnings += _warnings(job, gated)
    job.leave("window_inputs", {"left_out": left_out, "warnings": warnings})
    return _outcome(job, "window_inputs", list(gated.values()), warnings)


def gate_windows(job: Job, as_of_dates: Sequence[date]) -> None:
    """Publish what the windows of other as-of dates need, each day once; what cannot be is told by their own runs."""
    newest = newest_snapshots(job)
    _gate_all(job, [window_needs(job.pipeline, as_of, newest) for as_of in as_of_dates])


def gate_nights(job: Job, days: Sequence[date]) -> None:
    """Publish what the nights of some days need, each day once; what cannot be is told by their own runs."""
    newest = newest_snapshots(job)
    _gate_all(job, [daily_needs(job.pipeline, ds, newest) for ds in days])


def _gate_all(job: Job, needs: Sequence[Needs]) -> None:
    for name in job.pipeline.inputs:
        try:
            gate_days(job, name, sorted({day for item in needs for day in item.days(name)}))
        except NightshiftError as error:
            log.info("%s is left to the other dates' own runs: %s", name, error.what)


def _absent(job: Job, name: str, days: Sequence[date]) -> list[str]:
    """The days that have neither landed nor been published; the table is looked at only where files are missing."""
    source = job.pipeline.inputs[name]
    absent = [day.isoformat() for day in days if not partition_files(job.settings, source, day)]
    published = tables.state(job.table(f"inputs/{name}")).partitions if absent else {}
    return [day for day in absent if day not in published]


def _check_presence(job: Job, name: str, days: Sequence[date], absent: Sequence[str]) -> None:
    """Raises InputMissing where more days of a source are absent than its spec allows, or the spine's own day is."""
    source, own, lacking = job.pipeline.inputs[name], _own_day(job, name), absent
    absent = _unwaived(job, name, absent)
    if source.snapshot and not days:
        raise InputMissing(
            f"source {name} has no snapshot with as_of <= {job.ds - timedelta(days=source.lag)}",
            where=job.pipeline.name,
            do=f"land one at {place(job.settings, source, '<as_of>')}",
        )
    if source.snapshot and source.too_old(max(days), job.ds):
        raise InputMissing(
            f"the newest snapshot of source {name} that {job.day} may use is of {max(days)}",
            where=job.pipeline.name,
            allowed=f"{source.max_age} days old at most",
            do=f"land a newer one at {place(job.settings, source, '<as_of>')}",
        )
    if len(absent) > source.absent_allowed:
        deliveries = {day: delivery(job.settings, source, date.fromisoformat(day)) for day in absent}
        day, found = next(((day, found) for day, found in deliveries.items() if found.waits), (min(absent), Delivery()))
        lacks = f"source {name} lacks {len(absent)} of the {len(days)} days that {job.day} reads: {_some(absent)}"
        raise InputMissing(
            f"{lacks}; of {day}, {found.waits}" if found.waits else lacks,
            where=job.pipeline.name,
            allowed=f"{source.absent_allowed} absent",
            do=found.do or f"land {place(job.settings, source, day)}",
        )
    if own in lacking:
        raise InputMissing(
            f"source {name} lacks {own}, whose rows are the keys of {job.day}: it is the spine",
            where=job.pipeline.name,
            do=f"land {place(job.settings, source, own)}",
        )


def _own_day(job: Job, name: str) -> str:
    """The day of a source that may never be absent; empty where there is none."""
    day = job.pipeline.spine_day(job.ds) if name == job.pipeline.features.spine else None
    return day.isoformat() if day else ""


def _unwaived(job: Job, name: str, absent: Sequence[str]) -> Sequence[str]:
    """The absent days that no waiver lets go; the ledger is asked only where there are more than the spec allows."""
    if len(absent) <= job.pipeline.inputs[name].absent_allowed:
        return absent
    days = waived(job.settings, job.pipeline.name)(name)
    return [day for day in absent if day not in days]


def _check_gated(job: Job, name: str, days: Sequence[date], gated: Gated) -> None:
    """Raises the gate's own error, or InputMissing, where too many days of a source cannot be read."""
    needed = {day.isoformat() for day in days}
    absent = [day for day in gated.absent if day in needed]
    blocked = [day for day in gated.blocked if day in needed]
    if (own := _own_day(job, name)) in blocked:
        raise gated.blocked[own]
    if blocked and len(_unwaived(job, name, [*absent, *blocked])) > job.pipeline.inputs[name].absent_allowed:
        raise gated.blocked[max(blocked)]
    _check_presence(job, name, days, absent)


def _warnings(job: Job, gated: Mapping[str, Gated]) -> Iterator[str]:
    """What people should know of days that are published: a correction that was refused, a delivery without rows."""
    for name, item in gated.items():
        for day in item.empty:
            words = f"{name} of {day}: the landing files have no row, the day is published as empty"
            spine = name == job.pipeline.features.spine
            yield f"{words}; {name} is the spine, so nothing is scored from it" if spine else words
    for name, item in gated.items():
        yield from sentences(name, item.new_differences)
        yield from (f"{name} of {day} has not landed: {waits}" for day, waits in item.waiting.items())
        yield from (f"{name} of {day}: {error}" for day, error in item.kept.items())
        for day, damage in item.restored.items():
            yield f"{name} of {day}: another program changed the table ({damage}); published again from landing"


def _outcome(job: Job, step: str, gated: Sequence[Gated], warnings: Sequence[str]) -> Outcome:
    published, up_to_date = (sum(len(getattr(item, name)) for item in gated) for name in ("published", "up_to_date"))
    rows = ("rows_landed", "rows_published", "rows_quarantined")
    counts = {name: float(sum(item.rows[name] for item in gated)) for name in rows}
    counts |= {"partitions_published": float(published), "partitions_up_to_date": float(up_to_date)}
    counts |= {"partitions_absent": float(sum(len(item.absent) for item in gated))}
    counts |= {"warnings": float(len(warnings) + sum(item.warned for item in gated))}
    message = (
        f"{published} partitions published ({counts['rows_published']:.0f} rows, {counts['rows_quarantined']:.0f} "
        f"quarantined), {up_to_date} up to date"
    )
    message += f"; {len(warnings)} warnings, the first: {warnings[0].splitlines()[0]}" if warnings else ""
    absent = [f"{item.source} {day}" for item in gated for day in item.absent]
    message += f"; absent: {_some(absent)}" if absent else ""
    marked = (f"{item.source}: {item.warned} expectations failed that only warn" for item in gated if item.warned)
    status: Status = "done" if published else "up_to_date"
    return Outcome(step, job.day, status, message, counts, _links(job, gated), warnings=(*warnings, *marked))


def _links(job: Job, gated: Sequence[Gated]) -> dict[str, str]:
    """The reports, each source's in the order of its days.

    Where they are too many, days that lost rows or failed are shown first, then the newest.
    """
    found = []
    for item in gated:
        telling = {*item.kept, *item.blocked, *item.dirty, *item.empty}
        for day, page in sorted((item.pages or _published_page(job, item)).items()):
            found.append(((day in telling, day), f"gate report {item.source} {day}", page))
    shown = sorted(found, key=lambda report: report[0])[-_MOST_LINKS:]
    return {label: page for rank, label, page in found if (rank, label, page) in shown}


def _published_page(job: Job, gated: Gated) -> dict[str, str]:
    """The report of the newest day that was found published, for a night that had nothing to audit."""
    newest = max(gated.up_to_date, default="")
    if not newest:
        return {}
    table = job.table(f"inputs/{gated.source}")
    fingerprint, files = gated.active.get(newest, ("", ()))
    manifest = find_published(table, newest, fingerprint, files) if files else tables.state(table).manifest(newest)
    links = report_link(manifest)
    return {newest: links["gate report"]} if links else {}


def _some(days: Sequence[str]) -> str:
    return ", ".join(days[:5]) + (", …" if len(days) > 5 else "")
