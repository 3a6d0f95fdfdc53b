"""Deliveries that their gate refused: each leaves a document beside its source's table, for dry runs and diagnoses.

It is named by what decided: the files' content, the contract and the gate. The same files meet the same gate in the
next run, which judges them itself and comes to the same end: what a dry run expects of them is this document.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from nightshift import storage
from nightshift.errors import GateFailed, InputMissing, NightshiftError, SourceUnseen
from nightshift.inputs.landed_days import LandedDay, input_fingerprint, refuse_unread
from nightshift.job import Job
from nightshift.lineage import recipe
from nightshift.specs.model import Input


@dataclass(frozen=True)
class Refusal:
    """The day ``ds`` (ISO) of a source whose gate refused what landed: why, when first, in which run, the report.

    ``kept``: an earlier delivery of the day stays published; else there is none.
    """

    ds: str
    why: str
    kept: bool
    run_id: str
    at: str
    page: str


def leave_refusal(job: Job, contract: Input, table: str, day: LandedDay, error: NightshiftError) -> None:
    """Leave the refusal of a day's present files, unless they could not be looked at: then nothing was judged."""
    if isinstance(error, SourceUnseen):
        return
    at = datetime.now(UTC).isoformat(timespec="seconds")
    kept = bool(day.active and not day.damage)
    found = Refusal(day.ds, error.what, kept, job.run_id, at, error.links.get("gate report", ""))
    with suppress(InputMissing):  # such as files that were taken away meanwhile
        storage.create_json(_uri(table, day.ds, _judged(job, contract, table, day)), asdict(found))


def find_refusal(job: Job, contract: Input, table: str, day: LandedDay) -> Refusal | None:
    """The refusal of the files of a day as they lie in landing, by its contract and gate as they are now."""
    if not storage.list_files(_folder(table, day.ds)):
        return None
    try:
        return Refusal(**storage.read_json(_uri(table, day.ds, _judged(job, contract, table, day))))
    except (FileNotFoundError, InputMissing):
        return None


def refusal_before(table: str, ds: str, moment: str) -> Refusal | None:
    """The newest refusal of a day up to a moment (ISO), whatever lies in landing now."""
    found = [Refusal(**storage.read_json(file.uri)) for file in storage.list_files(_folder(table, ds))]
    return max((item for item in found if item.at <= moment), key=lambda refusal: refusal.at, default=None)


def _judged(job: Job, contract: Input, table: str, day: LandedDay) -> str:
    """The name of what a gate judges. Files that may not be read are known by size and time."""
    by = {
        "gate": contract.gate.model_dump(mode="json"),
        "limits": contract.limits.model_dump(mode="json"),
        "columns": {name: column.model_dump(mode="json") for name, column in contract.columns.items()},
    }
    try:
        refuse_unread(job, contract, day.files)
    except GateFailed:
        return recipe(files=[[file.uri, file.size, file.mtime_ns] for file in day.files], **by)
    landed = day.landed(table, verify=job.verify_landing)
    return recipe(content=input_fingerprint(landed, contract, job.pipeline.schedule.timezone), **by)


def _folder(table: str, ds: str) -> str:
    return storage.join(table, "_refused", f"ds={ds}")


def _uri(table: str, ds: str, name: str) -> str:
    return storage.join(_folder(table, ds), f"{name}.json")
