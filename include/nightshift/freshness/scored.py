"""What readers have of days: whether they are scored, and what they were scored without."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

from nightshift import tables
from nightshift.inputs.lacks import ABSENT, BLOCKED, Lack, lack_lines
from nightshift.inputs.needs import inside
from nightshift.inputs.refusals import refusal_before
from nightshift.job import Job
from nightshift.lineage import Manifest, kept_manifests
from nightshift.run_facts import RunFacts
from nightshift.scoring.coverage import shortfall
from nightshift.settings import Settings
from nightshift.specs.calendar import label_day
from nightshift.specs.load import spec_hash
from nightshift.specs.model import Pipeline


@dataclass(frozen=True)
class Scored:
    """What readers have of the day ``ds`` (ISO).

    ``rows`` is None where no predictions are published. ``shortfall`` says what is not scored of what landed,
    ``without`` which deliveries the features lack. ``warnings`` counts expectations of predictions that failed and only
    warn. ``damage`` is what another program did to features, labels or predictions. ``labels_alone``: the day is after
    the spec's end, and a run of it makes labels; ``outside``: it has no run at all. ``run_id`` published them.
    """

    ds: str
    rows: int | None = None
    shortfall: str = ""
    without: tuple[Lack, ...] = ()
    warnings: int = 0
    damage: str = ""
    labels_alone: bool = False
    outside: bool = False
    run_id: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each way in which less is scored than the night's name says."""
        return (*filter(None, (self.shortfall,)), *(f"scored {line}" for line in lack_lines(self.without)))

    def facts(self, said: Sequence[Mapping[str, Any]], **airflow: Any) -> RunFacts:
        """What is known of the day's run, with what its steps said and what Airflow knows (see ``RunFacts``)."""
        return RunFacts.of(
            said,
            warned=bool(self.lines or self.warnings),
            outside=self.outside,
            published=None if self.labels_alone and self.rows is None else self.rows is not None,
            damaged=bool(self.damage),
            **airflow,
        )


@dataclass
class ScoredDays:
    """The days of a pipeline; each table is read once."""

    settings: Settings
    pipeline: Pipeline
    _sources: dict[str, tables.TableState] = field(default_factory=dict)

    def __getitem__(self, ds: date) -> Scored:
        """What readers have of a day."""
        day, labels = ds.isoformat(), inside(self.pipeline, label_day(self.pipeline, ds))
        scores = inside(self.pipeline, ds)
        empty = Scored(day, labels_alone=labels and not scores, outside=not (labels or scores))
        damage = "; ".join(filter(None, (tables.damage_of(state, day) for state in self._states.values())))
        partition = self._states["predictions"].partitions.get(day)
        if partition is None or damage:
            return replace(empty, rows=partition.rows if partition else None, damage=damage)
        manifest = self._states["predictions"].manifest(day)
        if manifest is None:
            return replace(empty, rows=partition.rows, shortfall=shortfall(partition.rows, {}))
        return replace(
            empty,
            rows=partition.rows,
            shortfall=shortfall(partition.rows, manifest.counts),
            without=tuple(self._without(ds, manifest)),
            warnings=manifest.warnings,
            run_id=manifest.run_id,
        )

    @cached_property
    def _states(self) -> dict[str, tables.TableState]:
        job = Job(self.settings, self.pipeline, self.pipeline.schedule.start)
        return {name: tables.state(job.table(name)) for name in ("features", "labels", "predictions")}

    def _without(self, ds: date, predictions: Manifest) -> Iterator[Lack]:
        """The days that the scored features have not read, of those that their recipe names."""
        features = self._features(ds.isoformat(), predictions)
        for name, source in self.pipeline.feature_inputs.items():
            upstream = features.upstream.get(f"inputs/{name}") if features else None
            if features is None or upstream is None or source.snapshot:
                continue
            # Of a spec that has changed since, only the days between those that were read are known to be wanted.
            first = min(upstream.days, default="") if features.spec_hash != spec_hash(self.pipeline) else ""
            for day in map(str, source.feature_days(ds)):
                if day not in upstream.days and day >= first:
                    yield Lack(name, day, self._why(ds, name, day, features.created_at))

    def _features(self, day: str, predictions: Manifest) -> Manifest | None:
        """The manifest of the features that were scored, which may have been published anew since."""
        state, read = self._states["features"], predictions.upstream.get("features")
        fingerprint = read.days.get(day, "") if read else ""
        if state.fingerprint(day) == fingerprint:
            return state.manifest(day)
        return next(iter(kept_manifests(state.uri, day, fingerprint)), None) if fingerprint else None

    def _why(self, ds: date, source: str, day: str, moment: str) -> str:
        """Why features that were made at a moment lack a day of a source."""
        if source not in self._sources:
            self._sources[source] = tables.state(Job(self.settings, self.pipeline, ds).table(f"inputs/{source}"))
        state = self._sources[source]
        why = BLOCKED if refusal_before(state.uri, day, moment) else ABSENT
        return f"{why}; it is published since" if day in state.partitions else why
