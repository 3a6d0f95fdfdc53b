"""What a use case is given and what it says when it is done."""

import logging
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.lineage import Manifest, code_version, libraries, sha256
from nightshift.settings import Settings
from nightshift.specs.load import spec_hash
from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")

Status = Literal["done", "up_to_date", "nothing"]

# With the digest behind it, a run's name still is one of a file system.
_LONGEST = 200
_NAMED = re.compile(r"-[0-9a-f]{24}$")


def new_attempt() -> str:
    """A token that no other attempt has, and that nothing takes for a number (see ``lineage.recipe``)."""
    return f"a{uuid.uuid4().hex[:11]}"


@dataclass(frozen=True)
class Job:
    """One try of one step for one day of one pipeline.

    ``run_id`` names the run whose steps belong together. ``also`` are other days that wait for the same step
    (the rest of a backfill): a step may do their work, too. ``backfill`` says that the run is one of a
    backfill: it gives way to tonight's, and decides in the order of dates. ``actor`` is who asked; ``reason`` says why,
    if anybody did, and ``rebuild`` that the day is to be built again. ``run_spark`` runs a Spark command to its end,
    for gates of partitions too large for pandas; None where there is no Spark. ``verify_landing``: landing files are
    read again, whatever their size and time say. ``last_try``: nobody tries the step again if it fails now.
    ``ordered_by`` is for a run that can wait for a person: who ordered it, empty where the schedule did; None for one
    that cannot wait, as of a backfill or in a shell.
    """

    settings: Settings
    pipeline: Pipeline
    ds: date
    run_id: str = "manual"
    attempt: str = field(default_factory=new_attempt)
    also: tuple[date, ...] = ()
    backfill: bool = False
    actor: str = ""
    reason: str = ""
    rebuild: bool = False
    verify_landing: bool = False
    last_try: bool = True
    ordered_by: str | None = None
    run_spark: Callable[[Settings, Any], None] | None = field(default=None, repr=False, compare=False)

    @property
    def day(self) -> str:
        """``ds`` as text."""
        return self.ds.isoformat()

    def table(self, dataset: str) -> str:
        """The URI of one of the pipeline's tables, for example ``inputs/weather`` or ``features``."""
        return table_uri(self.settings, self.pipeline, dataset)

    def manifest(self, dataset: str, ds: str, fingerprint: str, **more: Any) -> Manifest:
        """The manifest of this attempt at a day of a dataset; ``more`` are the fields that say what was done."""
        return Manifest(
            pipeline=self.pipeline.name,
            dataset=dataset,
            ds=ds,
            fingerprint=fingerprint,
            attempt=self.attempt,
            run_id=self.run_id,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            code_version=code_version(self.settings.home),
            spec_hash=spec_hash(self.pipeline),
            **{"libraries": libraries(), **more},
        )

    def document(self, step: str) -> str:
        """The URI of what a step of this run left for the steps after it."""
        return self._document(run_name(self.run_id), step)

    def leave(self, step: str, document: Mapping[str, Any]) -> None:
        """Leaves a document for the steps after ``step``."""
        storage.write_json(self.document(step), document)

    def left(self, step: str) -> dict[str, Any]:
        """The document that ``step`` left. Raises NightshiftError where it has not run.

        A run that an earlier version began goes on: what it left lies under the name of then.
        """
        earlier = earlier_run_name(self.run_id)
        # A person may name a run as the folder of another is called: that is no name of then.
        for name in (run_name(self.run_id), *([] if _NAMED.search(earlier) else [earlier])):
            with suppress(FileNotFoundError):
                return dict(storage.read_json(self._document(name, step)))
        raise NightshiftError(
            f"step {step} of run {self.run_id} has left nothing for {self.day}",
            where=self.pipeline.name,
            do=f"run `nightshift run {self.pipeline.name} {step} --ds {self.day}` first, or clear that task",
        )

    def _document(self, run: str, step: str) -> str:
        return storage.join(self.table("_runs"), f"ds={self.day}", run, f"{step}.json")


@dataclass(frozen=True)
class Outcome:
    """What a step says when it is done: one line, counts, links for people (label to URI).

    ``counts`` and ``names`` (``champion``: the version that scores) are what a run's summary is made of. ``warnings``
    are lines on what the step did less of, or other than, its name says; ``counts["warnings"]`` is their number.
    """

    step: str
    ds: str
    status: Status
    message: str
    counts: dict[str, float] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return {**asdict(self), "warnings": list(self.warnings)}


def run_name(run_id: str) -> str:
    """A run's id as the name of a folder that no other id has, whatever a person who names a run thinks of."""
    return f"{earlier_run_name(run_id)[:_LONGEST]}-{sha256(run_id)[:24]}"


def earlier_run_name(run_id: str) -> str:
    """A run's id as folders were called before: readable, and the same for ids that differ in punctuation."""
    return re.sub(r"^\.+|[^A-Za-z0-9_.-]", "_", run_id)


def table_uri(settings: Settings, pipeline: Pipeline, dataset: str) -> str:
    """Where a dataset's Delta table is; a generation above 1 has a folder of its own."""
    generation = [] if pipeline.generation == 1 else [f"generation={pipeline.generation}"]
    return storage.join(settings.tables, pipeline.name, *generation, dataset)
