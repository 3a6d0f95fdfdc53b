"""The declaration of a pipeline as frozen, strict pydantic models.

Every key of ``include/pipelines/<name>.yaml`` is a field here or in ``sources.py`` and ``contract.py``; an unknown
key is an error. Days are dates of the business calendar, durations are text such as ``15m``, sizes are
text such as ``1Gi``.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from nightshift.specs.contract import (
    RESERVED,
    Column,
    ColumnName,
    ColumnType,
    Days,
    Duration,
    Expectation,
    Fraction,
    Gate,
    Model,
    Name,
    seconds,
    unknown,
)
from nightshift.specs.sources import Input, Missing, Schedule

__all__ = [
    "METRICS", "RESERVED", "Column", "ColumnName", "ColumnType", "Duration", "Expectation", "Features", "Gate", "Input",
    "Label", "Missing", "Model", "Name", "Pipeline", "Promotion", "Schedule", "Scoring", "Training", "seconds",
]  # fmt: skip

METRICS = {"binary": ("log_loss", "average_precision", "roc_auc", "brier"), "regression": ("rmse", "mae")}


class Features(Model):
    """What ``spark_jobs/features/<module>.py`` returns.

    ``spine`` is the source whose rows decide which keys a day has (none: rows are not reconciled with a source);
    ``inputs`` are the sources that features read (default: all).
    """

    spine: Name | None = None
    module: Name | None = None
    inputs: tuple[Name, ...] | None = None
    key: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    columns: Annotated[dict[ColumnName, Column], Field(min_length=1)]
    gate: Gate = Gate()


class Label(Model):
    """What is predicted. ``missing`` is the greatest fraction of a window's feature rows without a label."""

    column: ColumnName
    objective: Literal["binary", "regression"]
    lag: Days
    inputs: Annotated[tuple[Name, ...], Field(min_length=1)]
    min: float | None = None
    max: float | None = None
    missing: Fraction = 0.1
    gate: Gate = Gate()


class Training(Model):
    """How a version is made. Days count back from the as-of date; ``holdout`` days are the newest ones.

    ``max_blocked`` is how many days of the window a gate may have blocked.
    """

    window: Annotated[int, Field(ge=2, le=3660)]
    min_days: Annotated[int, Field(ge=2)]
    holdout: Annotated[int, Field(ge=1)]
    rounds: Annotated[int, Field(ge=1)]
    early_stopping: Annotated[int, Field(ge=1)] = 20
    seed: int = 0
    max_blocked: Annotated[int, Field(ge=0)] = 3
    params: dict[str, str | int | float | bool] = Field(default={})
    gate: Gate = Gate()

    @model_validator(mode="after")
    def _holdout_leaves_days(self) -> Self:
        if self.min_days > self.window:
            raise ValueError(f"min_days {self.min_days} is greater than window {self.window}")
        if self.holdout > self.min_days - 2:
            raise ValueError(f"holdout {self.holdout} leaves fewer than 2 of min_days {self.min_days} to fit on")
        if self.gate.policy == "quarantine":
            raise ValueError("gate.policy quarantine does not go with training: no row leaves a training set")
        return self


class Promotion(Model):
    """The rule. ``skill`` and ``improvement`` are relative: 0.01 asks for a metric 1 % better.

    ``baseline`` names the columns whose combinations give the label's rate (or mean) that a model must beat.
    """

    metric: Literal["log_loss", "average_precision", "roc_auc", "brier", "rmse", "mae"]
    baseline: tuple[ColumnName, ...] = ()
    skill: Annotated[float, Field(ge=0)] = 0.0
    improvement: float = 0.0


class Scoring(Model):
    """How a day is scored: rows of one shard, and what its process may use."""

    rows_per_shard: Annotated[int, Field(ge=1)] = 1_000_000
    cpu: Annotated[float, Field(gt=0)] = 1
    memory: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(Mi|Gi)$")] = "1Gi"
    deadline: Duration = "15m"
    gate: Gate = Gate()


class Pipeline(Model):
    """One model's nightly life. A new ``generation`` gives it a new set of tables."""

    pipeline: Name
    owner: Annotated[str, StringConstraints(min_length=1)]
    description: Annotated[str, StringConstraints(min_length=1)]
    generation: Annotated[int, Field(ge=1)] = 1
    schedule: Schedule
    inputs: Annotated[dict[Name, Input], Field(min_length=1)]
    features: Features
    label: Label
    training: Training
    promotion: Promotion
    scoring: Scoring = Scoring()

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return self.pipeline

    @property
    def module(self) -> str:
        """The name of the feature module."""
        return self.features.module or self.pipeline

    @property
    def feature_inputs(self) -> dict[str, Input]:
        """The sources that features read."""
        names = self.features.inputs if self.features.inputs is not None else tuple(self.inputs)
        return {name: self.inputs[name] for name in names}

    @property
    def label_inputs(self) -> dict[str, Input]:
        """The sources that labels read."""
        return {name: self.inputs[name] for name in self.label.inputs}

    @property
    def key_types(self) -> dict[str, ColumnType]:
        """The key columns of features, labels and predictions, with their types."""
        spine = self.inputs[self.features.spine].columns if self.features.spine else {}
        return {name: (self.features.columns.get(name) or spine[name]).type for name in self.features.key}

    @property
    def key_contract(self) -> dict[str, Column]:
        """The key columns as columns without nulls."""
        return {name: Column(type=kind) for name, kind in self.key_types.items()}

    @property
    def feature_contract(self) -> dict[str, Column]:
        """The columns of the dataset ``features``: the key, then the features."""
        return {**self.key_contract, **self.features.columns}

    @property
    def label_contract(self) -> dict[str, Column]:
        """The columns of the dataset ``labels``: the key, then the label."""
        label = self.label
        column = Column(type="integer", min=0, max=1)
        if label.objective == "regression":
            column = Column(type="number", min=label.min, max=label.max)
        return {**self.key_contract, label.column: column}

    @model_validator(mode="after")
    def _references_hold(self) -> Self:
        problems = [*self._unknown_names(), *self._wrong_features(), *self._wrong_label()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _unknown_names(self) -> Iterator[str]:
        """Names that lead nowhere."""
        features = self.features
        spine = self.inputs[features.spine].columns if features.spine in self.inputs else None
        yield from unknown("features.spine", (features.spine,) if features.spine else (), self.inputs)
        yield from unknown("features.inputs", features.inputs or (), self.inputs)
        yield from unknown("label.inputs", self.label.inputs, self.inputs)
        if features.spine is None:
            yield from unknown("features.key", features.key, features.columns)
        elif spine is not None:
            yield from unknown("features.key (all of it must be in the spine)", features.key, spine)
        yield from unknown("promotion.baseline", self.promotion.baseline, (*features.columns, *features.key))

    def _wrong_features(self) -> Iterator[str]:
        features = self.features
        if features.inputs is not None and features.spine is not None and features.spine not in features.inputs:
            yield f"features.inputs leaves out the spine {features.spine}"
        for name, column in features.columns.items():
            if name in RESERVED or name == self.label.column:
                yield f"features.columns.{name}: the name is reserved"
            if column.type in ("string", "date", "timestamp") and name not in features.key:
                allowed = "a feature is category, integer, number or boolean"
                yield f"features.columns.{name}.type: {allowed}, not {column.type}"

    def _wrong_label(self) -> Iterator[str]:
        label, metric = self.label, self.promotion.metric
        for name in label.inputs:
            source = self.inputs.get(name)
            if source is not None and not source.snapshot and source.lag > label.lag:
                yield f"label.lag {label.lag} is less than the lag {source.lag} of {name}"
        if label.column in RESERVED or label.column in self.features.key:
            yield f"label.column: the name {label.column} is reserved"
        if metric not in METRICS[label.objective]:
            allowed = ", ".join(METRICS[label.objective])
            yield f"promotion.metric {metric} does not go with objective {label.objective}; allowed: {allowed}"
