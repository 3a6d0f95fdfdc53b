"""Which partitions a day of features or labels reads, and the fingerprint that follows. No I/O but reading code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from nightshift.earlier_scheme import EarlierScheme
from nightshift.errors import InputMissing, NightshiftError, PartitionDamaged, SourceUnseen
from nightshift.features.rebuilds import Rebuild, newest
from nightshift.lineage import Upstream, recipe, recipe_of
from nightshift.parts import version
from nightshift.registry.waivers import Waived, nothing_waived
from nightshift.source_code import feature_code
from nightshift.specs.model import Input, Pipeline
from nightshift.tables import TableState

Dataset = Literal["features", "labels"]


@dataclass(frozen=True)
class Recipes:
    """The recipes of a pipeline on one state of its sources and code.

    ``earlier`` knows the names that days were published under before. ``waived`` days of a source may be absent beside
    those that the spec allows, for features alone. ``unseen`` are sources whose tables cannot be looked at, and why.
    """

    pipeline: Pipeline
    sources: Mapping[str, TableState]
    code: Mapping[Dataset, str]
    waived: Waived = nothing_waived
    rebuilds: tuple[Rebuild, ...] = ()
    earlier: EarlierScheme | None = None
    unseen: Mapping[str, NightshiftError] = field(default_factory=dict)

    def reads(self, dataset: Dataset, ds: date) -> dict[str, Upstream]:
        """The partitions that a day reads of each source. Raises InputMissing where too many are absent."""
        inputs = self.pipeline.feature_inputs if dataset == "features" else self.pipeline.label_inputs
        return {name: self._read(dataset, name, source, ds) for name, source in inputs.items()}

    def rebuild(self, dataset: Dataset, ds: date) -> Rebuild | None:
        """The newest order for the run that builds a day: its own, and for labels the one in which they mature."""
        lag = 0 if dataset == "features" else self.pipeline.label.lag
        return newest(self.rebuilds, ds + timedelta(days=lag))

    def fingerprint(self, dataset: Dataset, reads: Mapping[str, Upstream], rebuild: str, published: str = "") -> str:
        """The recipe of a day that reads these partitions, built for the order ``rebuild`` (empty: for none).

        A day that is ``published`` under the earlier scheme's name of the same recipe keeps that name.
        """
        spec = feature_spec(self.pipeline) if dataset == "features" else label_spec(self.pipeline)
        days = {name: upstream.days for name, upstream in reads.items()}
        ordered = {"rebuild": rebuild} if rebuild else {}
        library = version("building")
        name = recipe(dataset=dataset, inputs=days, code=self.code[dataset], library=library, spec=spec, **ordered)
        if self.earlier is None or not published or recipe_of(published) == name:
            return name
        earlier = self.earlier.name(dataset, days, rebuild)
        return earlier if earlier == recipe_of(published) else name

    def wanted(self, dataset: Dataset, ds: date, published: str = "") -> str:
        """The fingerprint that a day should have now, empty where its sources do not allow one."""
        try:
            return self.fingerprint(dataset, self.reads(dataset, ds), order_id(self.rebuild(dataset, ds)), published)
        except InputMissing:
            return ""

    def _read(self, dataset: Dataset, name: str, source: Input, ds: date) -> Upstream:
        if error := self.unseen.get(name):
            raise SourceUnseen(f"source {name}: {error.what}", where=error.where, allowed=error.allowed, do=error.do)
        state = self.sources[name]
        if source.snapshot:
            newest = source.newest_snapshot(map(date.fromisoformat, state.partitions), ds)
            if newest is None or source.too_old(newest, ds):
                limit = ds - timedelta(days=source.lag)
                raise InputMissing(
                    f"source {name} has no snapshot with as_of <= {limit}"
                    + (
                        f" that is at most {source.max_age} days old at {ds}, the newest is of {newest}"
                        if newest
                        else ""
                    ),
                    where=self.pipeline.name,
                    do=f"land one at {source.path}, then clear gate_inputs",
                )
            day = newest.isoformat()
            self._refuse_damaged(dataset, name, ds, [day])
            return Upstream(state.version, {day: state.fingerprint(day)})
        label_lag = self.pipeline.label.lag
        days = source.feature_days(ds) if dataset == "features" else source.label_days(ds, label_lag)
        names = [day.isoformat() for day in days]
        absent = [day for day in names if day not in state.partitions]
        allowed = source.absent_allowed if dataset == "features" else 0
        if dataset == "features" and len(absent) > allowed:
            absent = [day for day in absent if day not in self.waived(name)]
        if len(absent) > allowed:
            raise InputMissing(
                f"{dataset} of {ds} need {len(names)} days of source {name}, and {len(absent)} are not published: "
                f"{', '.join(absent[:5])}{', …' if len(absent) > 5 else ''}",
                where=self.pipeline.name,
                allowed=f"{allowed} absent",
                do=f"land the files at {source.path}, then clear gate_inputs",
            )
        own = self.pipeline.spine_day(ds) if (dataset, name) == ("features", self.pipeline.features.spine) else None
        if own and own.isoformat() not in state.partitions:
            raise InputMissing(
                f"features of {ds} have the keys of {own} of source {name}, the spine, and that day is not published",
                where=self.pipeline.name,
                do=f"land the files at {source.path}, then clear gate_inputs",
            )
        self._refuse_damaged(dataset, name, ds, names)
        return Upstream(state.version, {day: state.fingerprint(day) for day in names if day in state.partitions})

    def _refuse_damaged(self, dataset: Dataset, name: str, ds: date, days: Sequence[str]) -> None:
        """Raises InputMissing where another program changed one of the days that are read."""
        for day in days:
            if damage := self.sources[name].damage(day):
                raise InputMissing(
                    f"{dataset} of {ds} need {day} of source {name}, whose partition another program changed: {damage}",
                    where=self.sources[name].uri,
                    do=PartitionDamaged.REPAIR,
                )


def order_id(rebuild: Rebuild | None) -> str:
    """The order as recipes and manifests name it."""
    return rebuild.id if rebuild else ""


def code_of(home: Path, pipeline: Pipeline) -> dict[Dataset, str]:
    """The hashes of the code that builds features and labels."""
    return {
        "features": feature_code(home, pipeline.module, "build", pipeline.features.reads),
        "labels": feature_code(home, pipeline.module, "label", pipeline.features.reads),
    }


def feature_spec(pipeline: Pipeline) -> str:
    """The hash of what the spec says about features; gates and ranges are not in it."""
    return recipe(
        key=list(pipeline.key_types.items()),
        columns={name: column.type for name, column in pipeline.features.columns.items()},
        inputs={name: [item.snapshot, item.lag, item.lookback] for name, item in pipeline.feature_inputs.items()},
        timezone=pipeline.schedule.timezone,
        generation=pipeline.generation,
    )


def label_spec(pipeline: Pipeline) -> str:
    """The hash of what the spec says about labels; gates and ranges are not in it."""
    label = pipeline.label
    return recipe(
        key=list(pipeline.key_types.items()),
        column=[label.column, label.objective, label.lag],
        inputs={name: [item.snapshot, item.lag] for name, item in pipeline.label_inputs.items()},
        timezone=pipeline.schedule.timezone,
        generation=pipeline.generation,
    )
