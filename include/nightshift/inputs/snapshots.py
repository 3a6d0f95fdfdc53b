"""The snapshot of a source that a day may use, landed or published."""

from collections.abc import MutableMapping
from datetime import date
from functools import cache

from nightshift import tables
from nightshift.errors import NightshiftError
from nightshift.inputs.landing import snapshot_days
from nightshift.inputs.needs import Newest
from nightshift.job import Job


def newest_snapshots(job: Job, unseen: MutableMapping[str, NightshiftError] | None = None) -> Newest:
    """The newest snapshot that is known at a day, landed or published; each source is looked at once.

    Raises NightshiftError where a source cannot be looked at. One that labels alone read has no snapshot then where
    ``unseen`` is given, which gets the error: what is wrong with it concerns no features.
    """

    @cache
    def snapshots(name: str) -> list[date]:
        try:
            published = tables.state(job.table(f"inputs/{name}")).partitions
            landed = snapshot_days(job.settings, job.pipeline.inputs[name])
        except NightshiftError as error:
            if unseen is None or name in job.pipeline.feature_inputs:
                raise
            unseen[name] = error
            return []
        return sorted({*landed, *map(date.fromisoformat, published)})

    def newest(name: str, ds: date) -> date | None:
        return job.pipeline.inputs[name].newest_snapshot(snapshots(name), ds)

    return newest
