"""Which partitions a day of features or labels reads, and the fingerprint that follows. No I/O but reading code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

from nightshift.errors import InputMissing, PartitionDamaged
from nightshift.features.rebuilds import Rebuild, newest
from nightshift.lineage import Upstream, recipe
from nightshift.registry.waivers import Waived, nothing_waived
from nightshift.source_code import feature_code
from nightshift.specs.model import Input, Pipeline
from nightshift.tables import TableState

Dataset = Literal["features", "labels"]


@dataclass(frozen=True)
class Recipes:
    """The recipes of a pipeline on one state of its sources and code.

    ``waived`` days of a source may be absent beside those that the spec allows, for features alone.
    """

    pipeline: Pipeline
    sources: Mapping[str, TableState]
    code: Mapping[Dataset, str]
    waived: Waived = nothing_waived
    rebuilds: tuple[Rebuild, ...] = ()

    def reads(self, dataset: Dataset, ds: date) -> dict[str, Upstream]:
        """What a day reads of each source. Raises InputMissing where the spec does not allow what is absent."""
        inputs = self.pipeline.feature_inputs if dataset == "features" else self.pipeline.label_inputs
        return {name: self._read(dataset, name, source, ds) for name, source in inputs.items()}

    def rebuild(self, dataset: Dataset, ds: date) -> Rebuild | None:
        """The newest order for the run that builds a day: its own, and for labels the one in which they mature."""
        lag = 0 if dataset == "features" else self.pipeline.label.lag
        return newest(self.rebuilds, ds + timedelta(days=lag))

    def fingerprint(self, dataset: Dataset, reads: Mapping[str, Upstream], rebuild: str) -> str:
        """The recipe of a day that reads these partitions, built for the order ``rebuild`` (empty: for none)."""
        spec = feature_spec(self.pipeline) if dataset == "features" else label_spec(self.pipeline)
        days = {name: upstream.days for name, upstream in reads.items()}
        ordered = {"rebuild": rebuild} if rebuild else {}
        return recipe(dataset=dataset, inputs=days, code=self.code[dataset], spec=spec, **ordered)

    def wanted(self, dataset: Dataset, ds: date) -> str:
        """The fingerprint that a day should have now, empty where its sources do not allow one."""
        try:
            return self.fingerprint(dataset, self.reads(dataset, ds), order_id(self.rebuild(dataset, ds)))
        except InputMissing:
            return ""

    def _read(self, dataset: Dataset, name: str, source: Input, ds: date) -> Upstream:
        state = self.sources[name]
        if source.snapshot:
            known = [day for day in state.partitions if day <= ds.isoformat()]
            if not known:
                raise InputMissing(
                    f"source {name} has no snapshot with as_of <= {ds}",
                    where=self.pipeline.name,
                    do=f"land one at {source.path}, then clear gate_inputs",
                )
            self._refuse_damaged(dataset, name, ds, [max(known)])
            return Upstream(state.version, {max(known): state.fingerprint(max(known))})
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
        "features": feature_code(home, pipeline.module, "build"),
        "labels": feature_code(home, pipeline.module, "label"),
    }


def feature_spec(pipeline: Pipeline) -> str:
    """The hash of what the spec says about features; gates and ranges are not in it."""
    return recipe(
        key=pipeline.key_types,
        columns={name: column.type for name, column in pipeline.features.columns.items()},
        inputs={name: [item.snapshot, item.lag, item.lookback] for name, item in pipeline.feature_inputs.items()},
        timezone=pipeline.schedule.timezone,
        generation=pipeline.generation,
    )


def label_spec(pipeline: Pipeline) -> str:
    """The hash of what the spec says about labels; gates and ranges are not in it."""
    label = pipeline.label
    return recipe(
        key=pipeline.key_types,
        column=[label.column, label.objective, label.lag],
        inputs={name: [item.snapshot, item.lag] for name, item in pipeline.label_inputs.items()},
        timezone=pipeline.schedule.timezone,
        generation=pipeline.generation,
    )
