"""The use cases of inputs: is everything there, and landing files to typed, audited, published tables."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from nightshift import tables
from nightshift.errors import NightshiftError
from nightshift.inputs.allowance import absent_days, check_gated, check_presence, some
from nightshift.inputs.columns import sentences
from nightshift.inputs.days import gate_days
from nightshift.inputs.for_labels import gate_source, label_sources
from nightshift.inputs.gated import Gated
from nightshift.inputs.lacks import Lack, lack_lines, lacks
from nightshift.inputs.looked_again import changed_since
from nightshift.inputs.needs import Needs, daily_needs, inside, window_needs
from nightshift.inputs.snapshots import newest_snapshots
from nightshift.job import Job, Outcome, Status
from nightshift.lineage import find_published, report_link

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
        absent = absent_days(job, name, needs.features[name])
        check_presence(job, name, needs.features[name], absent)
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
    without = lacks(job, needs.features, gated) if inside(job.pipeline, job.ds) else []
    warnings = [*_warnings(job, gated, without), *changed_since(job, gated)]
    labels = label_sources(needs, gated, errors)
    left = {"label_problems": labels.problems, "label_unknown": labels.unseen, "warnings": warnings}
    job.leave("gate_inputs", left)
    if inside(job.pipeline, job.ds):
        for name in job.pipeline.feature_inputs:
            check_gated(job, name, needs.features[name], gated[name].absent, gated[name].blocked)
    return _outcome(job, "gate_inputs", list(gated.values()), warnings, without)


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


def _warnings(job: Job, gated: Mapping[str, Gated], without: Sequence[Lack] = ()) -> Iterator[str]:
    """What people should know: a delivery without rows, a correction that was refused, what the night does without."""
    named = {(lack.source, lack.day) for lack in without}
    for name, item in gated.items():
        for day in item.empty:
            words = f"{name} of {day}: the landing files have no row, the day is published as empty"
            spine = name == job.pipeline.features.spine
            yield f"{words}; {name} is the spine, so nothing is scored from it" if spine else words
    for name, item in gated.items():
        yield from sentences(name, item.new_differences)
        waiting = {day: waits for day, waits in item.waiting.items() if (name, day) not in named}
        yield from (f"{name} of {day} has not landed: {waits}" for day, waits in waiting.items())
        yield from (f"{name} of {day}: {error}" for day, error in item.kept.items())
        for day, damage in item.restored.items():
            yield f"{name} of {day}: another program changed the table ({damage}); published again from landing"
    yield from lack_lines(without)


def _outcome(
    job: Job, step: str, gated: Sequence[Gated], warnings: Sequence[str], without: Sequence[Lack] = ()
) -> Outcome:
    published, up_to_date = (sum(len(getattr(item, name)) for item in gated) for name in ("published", "up_to_date"))
    rows = ("rows_landed", "rows_published", "rows_quarantined")
    counts = {name: float(sum(item.rows[name] for item in gated)) for name in rows}
    counts |= {"partitions_published": float(published), "partitions_up_to_date": float(up_to_date)}
    for name in ("absent", "blocked"):
        counts[f"partitions_{name}"] = float(sum(len(getattr(item, name)) for item in gated))
    counts["corrections_refused"] = float(sum(len(item.refused_corrections) for item in gated))
    counts |= {"warnings": float(len(warnings) + sum(item.warned for item in gated))}
    message = (
        f"{published} partitions published ({counts['rows_published']:.0f} rows, {counts['rows_quarantined']:.0f} "
        f"quarantined), {up_to_date} up to date"
    )
    message += f"; {len(warnings)} warnings, the first: {warnings[0].splitlines()[0]}" if warnings else ""
    for name in ("absent", "blocked"):
        found = [f"{item.source} {day}" for item in gated for day in getattr(item, name)]
        message += f"; {name}: {some(found)}" if found else ""
    marked = (f"{item.source}: {item.warned} expectations failed that only warn" for item in gated if item.warned)
    status: Status = "done" if published else "up_to_date"
    refused = [f"{item.source} {day}" for item in gated for day in (*item.blocked, *item.refused_corrections)]
    named = {"without": [lack.words for lack in without], "refused": refused}
    names = {name: some(found) for name, found in named.items() if found}
    return Outcome(step, job.day, status, message, counts, _links(job, gated), names, (*warnings, *marked))


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
