"""Days that are scored and have no labels: they wait, never got them, or have some that are not built."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from nightshift import tables
from nightshift.errors import InputMissing, PartitionDamaged
from nightshift.features.recipes import Recipes
from nightshift.features.unbuilt import Unbuilt, any_unbuilt
from nightshift.features.unlabelled import overdue, record, unlabelled_days
from nightshift.inputs.for_labels import look_for_labels
from nightshift.job import Job
from nightshift.specs.calendar import label_day


@dataclass
class Late:
    """Days (ISO), oldest first. ``recorded`` are those of ``unlabelled`` that were recorded now.

    Of ``unseen`` days a source could not be looked at: they wait, whatever their wait is. ``failed`` says why labels
    cannot be built that were tried; ``unbuilt`` have come and were not tried.
    """

    waiting: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    unbuilt: list[str] = field(default_factory=list)
    unseen: dict[str, str] = field(default_factory=dict)
    failed: dict[str, Unbuilt] = field(default_factory=dict)


def without_labels(job: Job, predictions: tables.TableState, labels: tables.TableState) -> Late:
    """The scored days without labels; those whose wait is over and whose deliveries are not there are recorded.

    A day whose labels are due in a later night than this one waits, however long ago that was: a backfill comes to it.
    """
    late, now = Late(unlabelled=unlabelled_days(job.settings, job.pipeline, labels)), datetime.now(UTC)
    days = [ds for ds in predictions.partitions if ds not in labels.partitions and ds not in late.unlabelled]
    due = label_day(job.pipeline, job.ds).isoformat()
    found = {ds: any_unbuilt(labels.uri, ds) for ds in days if ds <= due}
    late.failed = {ds: item for ds, item in found.items() if item is not None}
    for ds in (ds for ds in days if ds not in late.failed):
        if ds > due or not overdue(job.pipeline, date.fromisoformat(ds), now):
            late.waiting.append(ds)
        else:
            _decide(job, ds, late)
    late.unlabelled = sorted([*late.unlabelled, *late.recorded])
    return late


def _decide(job: Job, ds: str, late: Late) -> None:
    """Note what became of the labels of a day whose wait is over: they are given up where a look found none."""
    day = date.fromisoformat(ds)
    if (error := _lacking(job, day)) is None:
        late.unbuilt.append(ds)
        return
    if error.do == PartitionDamaged.REPAIR:
        late.waiting.append(ds)
        return
    looked = look_for_labels(job, day)
    if looked.unseen:
        late.waiting.append(ds)
        late.unseen[ds] = "; ".join(looked.problems)
    elif _lacking(job, day) is None:  # they came after their night had looked
        late.unbuilt.append(ds)
    else:
        record(job, day, error.what)
        late.recorded.append(ds)


def _lacking(job: Job, ds: date) -> InputMissing | None:
    """The error of what labels of a day lack of the published deliveries; None where nothing."""
    sources: Mapping[str, tables.TableState] = {
        name: tables.state(job.table(f"inputs/{name}")) for name in job.pipeline.label_inputs
    }
    try:
        Recipes(job.pipeline, sources, {}).reads("labels", ds)
    except InputMissing as error:
        return error
    return None
