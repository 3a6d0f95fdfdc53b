"""The training set: which days of which table versions, pinned; never a copy of the rows."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightshift import tables
from nightshift.lineage import DataFile, recipe
from nightshift.model_manifest import FeatureColumn
from nightshift.specs.model import Pipeline
from nightshift.tables import TableState

_FEATURE_TYPES = ("category", "integer", "number", "boolean")
_ROW = "__row"


@dataclass(frozen=True)
class TrainingDay:
    """A day: the fingerprints of its features and labels, and their files, relative to their tables."""

    ds: str
    features: str
    labels: str
    feature_files: tuple[DataFile, ...]
    label_files: tuple[DataFile, ...]

    @property
    def rows(self) -> int:
        """The feature rows of the day."""
        return sum(file.rows for file in self.feature_files)


@dataclass(frozen=True)
class TrainingSet:
    """The days that a version learns from, ascending. ``left_out`` names the other days of the window, and why.

    ``feature_code`` and ``feature_spec`` are the hashes of what made the features.
    """

    pipeline: str
    as_of: str
    features_table: str
    features_version: int
    labels_table: str
    labels_version: int
    feature_code: str
    feature_spec: str
    days: tuple[TrainingDay, ...]
    left_out: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """The recipe: the content of the days. Versions and places are not in it: other days change them, too."""
        return recipe(days=[[day.ds, day.features, day.labels] for day in self.days])

    @property
    def rows(self) -> int:
        """The feature rows of all days."""
        return sum(day.rows for day in self.days)

    def document(self) -> dict[str, Any]:
        """The training set as plain data, with its fingerprint."""
        return {**asdict(self), "fingerprint": self.fingerprint}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "TrainingSet":
        """The training set that ``document()`` made."""
        days = tuple(
            TrainingDay(
                **{
                    **day,
                    "feature_files": tuple(DataFile(**file) for file in day["feature_files"]),
                    "label_files": tuple(DataFile(**file) for file in day["label_files"]),
                }
            )
            for day in document["days"]
        )
        return cls(**{name: document[name] for name in cls.__dataclass_fields__ if name != "days"}, days=days)


def select(
    window: Iterable[str], features: TableState, labels: TableState, left_out: Mapping[str, str]
) -> tuple[tuple[TrainingDay, ...], dict[str, str]]:
    """The days of a window that have rows of features and of labels, and why each other day is left out."""
    days, without = [], {}
    for ds in sorted(window):
        damaged = [name for name, there in (("features", features), ("labels", labels)) if there.damage(ds)]
        if damaged or ds in left_out:
            without[ds] = f"{' and '.join(damaged)} changed by another program" if damaged else left_out[ds]
            continue
        day = TrainingDay(ds, features.fingerprint(ds), labels.fingerprint(ds), features.files(ds), labels.files(ds))
        if not day.features or not day.labels:
            absent = [name for name, there in (("features", day.features), ("labels", day.labels)) if not there]
            without[ds] = f"no {' and no '.join(absent)} published"
        elif not day.rows or not sum(file.rows for file in day.label_files):
            without[ds] = "no rows"
        else:
            days.append(day)
    return tuple(days), without


def refusal(pipeline: Pipeline, days: Sequence[TrainingDay], blocked: Collection[str], unbuilt: Collection[str]) -> str:
    """Why there is no training on these days; empty where there is."""
    training = pipeline.training
    if len({*blocked, *unbuilt}) > training.max_blocked:
        words = [f"gates blocked {len(blocked)} days of the window"] if blocked else []
        words += [f"{len(unbuilt)} days of the window cannot be built: {', '.join(sorted(unbuilt))}"] if unbuilt else []
        return f"{'; '.join(words)}, training.max_blocked is {training.max_blocked}"
    if len(days) < training.min_days:
        return f"{len(days)} days of the window have features and labels, training.min_days is {training.min_days}"
    return ""


def model_columns(pipeline: Pipeline) -> tuple[FeatureColumn, ...]:
    """A model's columns by name: their order decides between equal splits, and that in a spec decides nothing.

    What only identifies a row is a string, date or timestamp.
    """
    contract = sorted(pipeline.features.columns.items())
    return tuple(FeatureColumn(name, column.type) for name, column in contract if column.type in _FEATURE_TYPES)


def joined(pipeline: Pipeline, rows: TrainingSet, day: TrainingDay, columns: Sequence[str]) -> pa.Table:
    """The feature rows of a day in their order, with ``columns`` and the label, null where there is none."""
    key, label = list(pipeline.features.key), pipeline.label.column
    features = tables.read(
        rows.features_table,
        day.feature_files,
        [*key, *(name for name in columns if name not in key)],
        _schema(pipeline),
    )
    contract = tables.arrow_schema({name: column.type for name, column in pipeline.label_contract.items()})
    labels = tables.read(rows.labels_table, day.label_files, [*key, label], contract)
    numbered = features.append_column(_ROW, pa.array(range(features.num_rows), pa.int64()))
    found = numbered.join(labels, keys=key, join_type="left outer", use_threads=False)
    return found.sort_by(_ROW).select([*dict.fromkeys(columns), label])


def labelled(pipeline: Pipeline, rows: TrainingSet, day: TrainingDay, columns: Sequence[str]) -> pa.Table:
    """The rows of a day that have a label."""
    table = joined(pipeline, rows, day, columns)
    return table.filter(pc.is_valid(table[pipeline.label.column]))


def categories(pipeline: Pipeline, rows: TrainingSet) -> dict[str, tuple[str, ...]]:
    """The sorted distinct values of each category column over all days."""
    names = [column.name for column in model_columns(pipeline) if column.type == "category"]
    found: dict[str, set[str]] = {name: set() for name in names}
    for batch in _batches(pipeline, rows, names) if names else ():
        for name in names:
            found[name].update(value for value in pc.unique(batch.column(name)).to_pylist() if value is not None)
    return {name: tuple(sorted(values)) for name, values in found.items()}


def _batches(pipeline: Pipeline, rows: TrainingSet, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for day in rows.days:
        yield from tables.read_batches(rows.features_table, day.feature_files, columns, _schema(pipeline))


def _schema(pipeline: Pipeline) -> pa.Schema:
    """The features' present columns: what an older file does not have is null there."""
    return tables.arrow_schema({name: column.type for name, column in pipeline.feature_contract.items()})
