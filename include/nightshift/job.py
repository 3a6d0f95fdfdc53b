"""What a use case is given and what it says when it is done."""

import logging
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.lineage import Manifest, code_version
from nightshift.settings import Settings
from nightshift.specs.load import spec_hash
from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")

Status = Literal["done", "up_to_date", "nothing"]


def new_attempt() -> str:
    """A token that no other attempt has, and that nothing takes for a number (see ``lineage.recipe``)."""
    return f"a{uuid.uuid4().hex[:11]}"


@dataclass(frozen=True)
class Job:
    """One try of one step for one day of one pipeline.

    ``run_id`` names the run whose steps belong together. ``also`` are other days that wait for the same step
    (the rest of a backfill): a step may do their work, too. ``backfill`` says that the run is one of a
    backfill: it gives way to tonight's, and decides in the order of dates. ``actor`` is who asked. ``run_spark`` runs a
    Spark command to its end, for gates of partitions too large for pandas; None where there is no Spark.
    """

    settings: Settings
    pipeline: Pipeline
    ds: date
    run_id: str = "manual"
    attempt: str = field(default_factory=new_attempt)
    also: tuple[date, ...] = ()
    backfill: bool = False
    actor: str = ""
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
            **more,
        )

    def document(self, step: str) -> str:
        """The URI of what a step of this run left for the steps after it."""
        return storage.join(self.table("_runs"), f"ds={self.day}", run_name(self.run_id), f"{step}.json")

    def leave(self, step: str, document: Mapping[str, Any]) -> None:
        """Leaves a document for the steps after ``step``."""
        storage.write_json(self.document(step), document)

    def left(self, step: str) -> dict[str, Any]:
        """What ``step`` left. Raises NightshiftError where it has not run."""
        try:
            return dict(storage.read_json(self.document(step)))
        except FileNotFoundError:
            raise NightshiftError(
                f"step {step} of run {self.run_id} has left nothing for {self.day}",
                where=self.pipeline.name,
                do=f"run `nightshift run {self.pipeline.name} {step} --ds {self.day}` first, or clear that task",
            ) from None


@dataclass(frozen=True)
class Outcome:
    """What a step says when it is done: one line, counts, links for people (label to URI).

    ``counts`` and ``names`` (``champion``: the version that scores) are what a run's summary is made of.
    """

    step: str
    ds: str
    status: Status
    message: str
    counts: dict[str, float] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return asdict(self)


def run_name(run_id: str) -> str:
    """A run's id as the name of a folder, which ``..`` is not."""
    return re.sub(r"^\.+|[^A-Za-z0-9_.-]", "_", run_id)


def table_uri(settings: Settings, pipeline: Pipeline, dataset: str) -> str:
    """Where a dataset's Delta table is; a generation above 1 has a folder of its own."""
    generation = [] if pipeline.generation == 1 else [f"generation={pipeline.generation}"]
    return storage.join(settings.tables, pipeline.name, *generation, dataset)
