"""The use cases of inputs: is everything there, and landing files to typed, audited, published tables."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache

from nightshift import tables
from nightshift.errors import InputMissing, NightshiftError
from nightshift.inputs.days import Gated, gate_days
from nightshift.inputs.landing import partition_files, place, snapshot_days
from nightshift.inputs.needs import Needs, Newest, daily_needs, inside, window_needs
from nightshift.job import Job, Outcome
from nightshift.lineage import find_published, report_link
from nightshift.registry.waivers import waived

__all__ = ["gate_days", "gate_inputs", "gate_windows", "inputs_landed", "newest_snapshots", "window_inputs"]

log = logging.getLogger("nightshift.inputs")

_MOST_LINKS = 10


def inputs_landed(job: Job) -> Outcome:
    """Whether every source that features of ``ds`` read has landed, or was published before.

    Sources that only labels read are not waited for. Raises InputMissing, which names what is not there.
    """
    if not inside(job.pipeline, job.ds):
        return Outcome("inputs_landed", job.day, "done", f"{job.day} is outside the spec's range: nothing to wait for")
    needs = daily_needs(job.pipeline, job.ds, newest_snapshots(job))
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
    needs = daily_needs(job.pipeline, job.ds, newest_snapshots(job))
    gated = {name: _gated(job, name, needs.days(name)) for name in job.pipeline.inputs}
    warnings = list(_warnings(job, gated))
    problems = [problem for name in needs.labels for problem in _label_problems(name, needs, gated[name])]
    job.leave("gate_inputs", {"label_problems": problems, "warnings": warnings})
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
    needs = [window_needs(job.pipeline, as_of, newest) for as_of in as_of_dates]
    for name in job.pipeline.inputs:
        try:
            gate_days(job, name, sorted({day for item in needs for day in item.days(name)}))
        except NightshiftError as error:
            log.info("%s is left to the other dates' own runs: %s", name, error.what)


def _gated(job: Job, name: str, days: Sequence[date]) -> Gated:
    """``gate_days``; whatever goes wrong with a source that features do not read is the labels' problem."""
    try:
        return gate_days(job, name, days)
    except NightshiftError as error:
        if name in job.pipeline.feature_inputs:
            raise
        log.warning("%s: %s", name, error)
        return Gated(name, blocked={day.isoformat(): error for day in days})


def newest_snapshots(job: Job) -> Newest:
    """The newest snapshot up to a day, landed or published; each source is looked at once."""

    @cache
    def snapshots(name: str) -> list[date]:
        published = tables.state(job.table(f"inputs/{name}")).partitions
        landed = snapshot_days(job.settings, job.pipeline.inputs[name])
        return sorted({*landed, *map(date.fromisoformat, published)})

    def newest(name: str, ds: date) -> date | None:
        return max((day for day in snapshots(name) if day <= ds), default=None)

    return newest


def _absent(job: Job, name: str, days: Sequence[date]) -> list[str]:
    """The days that have neither landed nor been published; the table is looked at only where files are missing."""
    source = job.pipeline.inputs[name]
    absent = [day.isoformat() for day in days if not partition_files(job.settings, source, day)]
    published = tables.state(job.table(f"inputs/{name}")).partitions if absent else {}
    return [day for day in absent if day not in published]


def _check_presence(job: Job, name: str, days: Sequence[date], absent: Sequence[str]) -> None:
    """Raises InputMissing where more days of a source are absent than its spec allows."""
    source = job.pipeline.inputs[name]
    absent = _unwaived(job, name, absent)
    if source.snapshot and not days:
        raise InputMissing(
            f"source {name} has no snapshot with as_of <= {job.day}",
            where=job.pipeline.name,
            do=f"land one at {place(job.settings, source, '<as_of>')}",
        )
    if len(absent) > source.absent_allowed:
        raise InputMissing(
            f"source {name} lacks {len(absent)} of the {len(days)} days that {job.day} reads: {_some(absent)}",
            where=job.pipeline.name,
            allowed=f"{source.absent_allowed} absent",
            do=f"land {place(job.settings, source, min(absent))}",
        )


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
    if blocked and len(_unwaived(job, name, [*absent, *blocked])) > job.pipeline.inputs[name].absent_allowed:
        raise gated.blocked[max(blocked)]
    _check_presence(job, name, days, absent)


def _label_problems(name: str, needs: Needs, gated: Gated) -> list[str]:
    days = {day.isoformat() for day in needs.labels[name]}
    absent = [f"source {name} has not landed for {day}" for day in gated.absent if day in days]
    blocked = [f"source {name} of {day}: {error.what}" for day, error in gated.blocked.items() if day in days]
    return absent + blocked


def _warnings(job: Job, gated: Mapping[str, Gated]) -> Iterator[str]:
    """What people should know of days that are published: a correction that was refused, a delivery without rows."""
    for name, item in gated.items():
        for day in item.empty:
            words = f"{name} of {day}: the landing files have no row, the day is published as empty"
            spine = name == job.pipeline.features.spine
            yield f"{words}; {name} is the spine, so nothing is scored from it" if spine else words
    for name, item in gated.items():
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
    return Outcome(step, job.day, "done" if published else "up_to_date", message, counts, _links(job, gated))


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
    table = job.table(f"inputs/{gated.source}")
    fingerprint, files = gated.active.get(newest, ("", ()))
    manifest = find_published(table, newest, fingerprint, files) if files else tables.state(table).manifest(newest)
    links = report_link(manifest)
    return {newest: links["gate report"]} if links else {}


def _some(days: Sequence[str]) -> str:
    return ", ".join(days[:5]) + (", …" if len(days) > 5 else "")
