"""Whether features are made of what had landed at their cutoff, or of files that came later: corrections, late days."""

from collections.abc import Mapping
from datetime import date
from functools import cache

from nightshift.job import Job
from nightshift.lineage import Upstream, kept_manifests
from nightshift.specs.calendar import cutoff

CUTOFF, LATER = "cutoff", "later"
_SECOND = 1_000_000_000


class Knowledge:
    """Asks each input partition once when its files landed, as its manifest has it."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._landed = cache(self._newest_file)

    def of(self, reads: Mapping[str, Upstream], ds: date) -> str:
        """``cutoff`` where every file that was read had landed at the cutoff of ``ds``, else ``later``.

        Empty where the manifests do not say it.
        """
        found = [self._landed(name, day, fp) for name, read in reads.items() for day, fp in read.days.items()]
        if not found or None in found:
            return ""
        limit = cutoff(self._job.pipeline.schedule, ds).timestamp() * _SECOND
        return CUTOFF if all(moment is not None and moment <= limit for moment in found) else LATER

    def _newest_file(self, source: str, day: str, fingerprint: str) -> int | None:
        """When the last of the files landed, in nanoseconds; of equal publications the first counts."""
        kept = kept_manifests(self._job.table(f"inputs/{source}"), day, fingerprint)
        return min((max(file.mtime_ns for file in item.landing) for item in kept if item.landing), default=None)
