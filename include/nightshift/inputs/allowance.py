"""How much of a source may be lacking: whether the night of a day can go on with what is there."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from nightshift import tables
from nightshift.errors import InputMissing, NightshiftError
from nightshift.inputs.landing import Delivery, delivery, partition_files, place
from nightshift.job import Job
from nightshift.registry.waivers import waived


def absent_days(job: Job, name: str, days: Sequence[date]) -> list[str]:
    """The days that have neither landed nor been published; the table is looked at only where files are missing."""
    source = job.pipeline.inputs[name]
    absent = [day.isoformat() for day in days if not partition_files(job.settings, source, day)]
    published = tables.state(job.table(f"inputs/{name}")).partitions if absent else {}
    return [day for day in absent if day not in published]


def check_presence(job: Job, name: str, days: Sequence[date], absent: Sequence[str]) -> None:
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
        lacks = f"source {name} lacks {len(absent)} of the {len(days)} days that {job.day} reads: {some(absent)}"
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


def check_gated(
    job: Job, name: str, days: Sequence[date], absent: Sequence[str], blocked: Mapping[str, NightshiftError]
) -> None:
    """Raises the gate's own error, or InputMissing, where too many days of a source cannot be read.

    A dry run asks the same of the days that gates have refused before.
    """
    needed = {day.isoformat() for day in days}
    absent = [day for day in absent if day in needed]
    refused = [day for day in blocked if day in needed]
    if (own := _own_day(job, name)) in refused:
        raise blocked[own]
    if refused and len(_unwaived(job, name, [*absent, *refused])) > job.pipeline.inputs[name].absent_allowed:
        raise blocked[max(refused)]
    check_presence(job, name, days, absent)


def some(days: Sequence[str]) -> str:
    """The days in a few words."""
    return ", ".join(days[:5]) + (", …" if len(days) > 5 else "")
