"""What a day did not score of what landed for it. It stops nothing and is never plainly green: see ADR 34."""

from collections.abc import Iterator, Mapping

from nightshift import tables
from nightshift.gates.keys import LOST
from nightshift.gates.results import CheckResult
from nightshift.job import Job
from nightshift.lineage import Manifest, kept_manifests

UNSCORED = "unscored"
"""The count in a manifest of predictions: rows of the spine that are not scored."""

_BY_MODULE = "lost by the feature module"
_LOST = (
    "Look at the rows in quarantine, or at the feature module; correct the cause and repair the day with a backfill."
)
_NONE = (
    "If the day has nothing to score, this is right. If not, correct the delivery and repair the day with a backfill."
)


def unscored(job: Job, features: Manifest | None) -> dict[str, int]:
    """The number of rows that were lost on their way from the spine to the features of the day, by where they were."""
    if features is None:
        return {}
    found = {_in_quarantine("features"): features.counts.get("quarantined", 0)}
    found[_BY_MODULE] = features.counts.get(LOST, 0)
    spine = job.pipeline.features.spine
    read = features.upstream.get(f"inputs/{spine}") if spine else None
    if read is not None:
        own = str(job.pipeline.spine_day(job.ds) or max(read.days, default=""))
        kept = kept_manifests(job.table(f"inputs/{spine}"), own, read.days.get(own, ""))
        found[_in_quarantine(f"inputs/{spine}")] = max((item.counts.get("quarantined", 0) for item in kept), default=0)
    return {where: rows for where, rows in found.items() if rows}


def counts_of(lost: Mapping[str, int]) -> dict[str, int]:
    """The counts of ``unscored`` for a manifest of predictions."""
    return {UNSCORED: sum(lost.values()), LOST: lost.get(_BY_MODULE, 0)}


def coverage(ds: str, rows: int, lost: Mapping[str, int], predictions: tables.TableState) -> Iterator[CheckResult]:
    """Check that every row of the spine is scored, and any at all where an earlier day had some. Both only warn."""
    left, landed = sum(lost.values()), rows + sum(lost.values())
    name = "every row that landed is scored"
    yield CheckResult(name, None, {}, not left, dict(lost), left, landed, only_warns=True, do=_LOST)
    earlier = max((day for day, item in predictions.partitions.items() if day < ds and item.rows), default="")
    observed = {"rows": rows, f"rows of {earlier}": predictions.partitions[earlier].rows} if earlier else {"rows": rows}
    success = bool(rows or not earlier)
    yield CheckResult("something is scored, as before", None, {}, success, observed, only_warns=True, do=_NONE)


def shortfall(rows: int, counts: Mapping[str, int]) -> str:
    """The rows that published predictions lack, by the counts of their manifest; empty where they lack none."""
    lost, by_module = counts.get(UNSCORED, 0), counts.get(LOST, 0)
    places = [f"{lost - by_module:,} rows are in quarantine"] if lost > by_module else []
    places += [f"{by_module:,} were {_BY_MODULE}"] if by_module else []
    if not rows:
        return ", ".join(["nothing is scored", *places])
    return f"{lost:,} of {rows + lost:,} rows that landed are not scored: {', '.join(places)}" if lost else ""


def _in_quarantine(dataset: str) -> str:
    return f"in quarantine of {dataset}"
