"""Days whose features are not those that were scored any more: a model would learn from other rows than it served."""

from nightshift import tables
from nightshift.job import Job
from nightshift.specs.calendar import training_days


def differing_days(job: Job, predictions: tables.TableState, features: tables.TableState) -> list[str]:
    """The days of the training window as of the job's date whose published features are not the scored ones."""
    days = [str(ds) for ds in training_days(job.pipeline, job.ds)]
    return [ds for ds in days if ds in features.partitions and _differs(ds, predictions, features)]


def _differs(ds: str, predictions: tables.TableState, features: tables.TableState) -> bool:
    manifest = predictions.manifest(ds) if ds in predictions.partitions else None
    scored = manifest.upstream.get("features") if manifest else None
    return scored is not None and scored.days.get(ds) != features.fingerprint(ds)
