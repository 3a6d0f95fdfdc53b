"""Days whose labels never came: once the spec's wait is over they are recorded, and no night is red for them any more.

A record lies beside the tables and is kept. Labels that come after all are built and published like any other, and
the record does not count then.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

from nightshift import metrics, storage
from nightshift.job import Job, table_uri
from nightshift.settings import Settings
from nightshift.specs.calendar import current_ds
from nightshift.specs.model import Pipeline
from nightshift.tables import TableState


@dataclass(frozen=True)
class Unlabelled:
    """The day ``ds`` (ISO), what its labels lacked, and which run recorded it when."""

    ds: str
    why: str
    run_id: str
    at: str

    @property
    def words(self) -> str:
        """The record as one line."""
        return f"recorded as unlabelled by {self.run_id} at {self.at}: {self.why}"


def overdue(pipeline: Pipeline, ds: date, now: datetime) -> bool:
    """Return whether labels of a day are overdue: ``label.wait`` days after the cutoff at which they are due."""
    due = ds + timedelta(days=pipeline.label.lag)
    return current_ds(pipeline.schedule, now) - due >= timedelta(days=pipeline.label.wait)


def record(job: Job, ds: date, why: str) -> Unlabelled:
    """The record of a day, made now unless there is one."""
    found = Unlabelled(ds.isoformat(), why, job.run_id, datetime.now(UTC).isoformat(timespec="seconds"))
    if storage.create_json(_uri(job.settings, job.pipeline, found.ds), asdict(found)):
        metrics.count(job.settings, "days_unlabelled", 1, pipeline=job.pipeline.name)
        return found
    return record_of(job.settings, job.pipeline, ds) or found


def record_of(settings: Settings, pipeline: Pipeline, ds: date) -> Unlabelled | None:
    """The record of a day, if there is one."""
    try:
        return Unlabelled(**storage.read_json(_uri(settings, pipeline, ds.isoformat())))
    except FileNotFoundError:
        return None


def unlabelled_days(settings: Settings, pipeline: Pipeline, labels: TableState) -> list[str]:
    """The recorded days (ISO), oldest first, but for those whose labels are published by now."""
    names = (storage.name_of(file.uri) for file in storage.list_files(_folder(settings, pipeline)))
    days = sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))
    return [ds for ds in days if ds not in labels.partitions]


def _uri(settings: Settings, pipeline: Pipeline, ds: str) -> str:
    return storage.join(_folder(settings, pipeline), f"{ds}.json")


def _folder(settings: Settings, pipeline: Pipeline) -> str:
    return table_uri(settings, pipeline, "_unlabelled")
