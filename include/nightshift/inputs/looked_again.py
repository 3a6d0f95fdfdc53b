"""Days that a night read as soon as they were known, looked at once more in the nights that follow.

A file may have been read while its upstream still wrote it, or a delivery may have come in part. Whoever finds it
changed afterwards warns and names the repair: what was scored and acted on is not scored again by itself.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from nightshift.errors import NightshiftError
from nightshift.inputs.days import landing_changes
from nightshift.inputs.gated import Gated
from nightshift.inputs.landed_days import CORRECTED
from nightshift.inputs.needs import inside
from nightshift.job import Job
from nightshift.specs.model import Pipeline

_NIGHTS = 7


def changed_since(job: Job, gated: Mapping[str, Gated]) -> Iterator[str]:
    """A warning for each day before ``ds`` of a source with lag 0 that has changed since nights read it.

    Days that this night gated are known from ``gated``; the others are compared with what is published.
    """
    tonight = job.ds.toordinal()
    before = map(date.fromordinal, range(max(tonight - _NIGHTS, 1), tonight))
    days = [day for day in before if day not in job.also and inside(job.pipeline, day)]
    for name, source in job.pipeline.inputs.items():
        if source.lag:
            continue
        here = gated[name]
        seen = {*here.published, *here.up_to_date, *here.absent, *here.kept, *here.blocked}
        others = [day for day in days if day.isoformat() not in seen]
        try:
            found = {day for day, why in landing_changes(job, name, others).items() if why == CORRECTED}
        except NightshiftError:
            if name in job.pipeline.feature_inputs:
                raise
            continue  # the labels' problem, which this night's own look has noted
        for day in days:
            if day.isoformat() in found or day.isoformat() in here.corrected:
                last = min(_last_reader(job.pipeline, name, day), job.ds - timedelta(days=1))
                yield (
                    f"{name} of {day} has changed since nights read it: "
                    f"`nightshift backfill {job.pipeline.name} {day} {last}`"
                )


def _last_reader(pipeline: Pipeline, name: str, day: date) -> date:
    """The last day whose features read a day of a source, or at whose cutoff labels do."""
    source, reach = pipeline.inputs[name], [0]
    if source.snapshot:
        return date.max
    if name in pipeline.feature_inputs:
        reach.append(source.lookback - 1)
    if name in pipeline.label_inputs:
        reach.append(pipeline.label.lag)
    return day + timedelta(days=max(reach))
