"""The declaration of a pipeline as frozen, strict pydantic models.

Every key of ``include/pipelines/<name>.yaml`` is a field here or in ``sources.py``, ``spark.py``,
``scoring.py`` and ``contract.py``; an unknown key is an error. Days are dates of the business calendar, durations are
text such as ``15m``, sizes are text such as ``1Gi``.
"""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from nightshift.specs.contract import (
    RESERVED,
    Bound,
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
    ProjectFile,
    repeated,
    reserved,
    same_but_for_case,
    seconds,
    unknown,
)
from nightshift.specs.notify import Routes
from nightshift.specs.scoring import Scoring
from nightshift.specs.sources import Input, Missing, Schedule
from nightshift.specs.spark import Spark

__all__ = [
    "METRICS", "RESERVED", "Column", "ColumnName", "ColumnType", "Duration", "Expectation", "Features", "Gate", "Input",
    "Label", "Missing", "Model", "Name", "Pipeline", "Promotion", "Schedule", "Scoring", "Spark", "Training", "seconds",
]  # fmt: skip

METRICS = {"binary": ("log_loss", "average_precision", "roc_auc", "brier"), "regression": ("rmse", "mae")}


class Features(Model):
    """What ``spark_jobs/features/<module>.py`` returns."""

    spine: Name | None = None
    """The source whose rows decide which keys a day has; without one rows are not reconciled with a source."""
    module: Name | None = None
    """The name of the feature module, where it is not the pipeline's."""
    inputs: tuple[Name, ...] | None = None
    """The sources that features read; all of them where this is not given."""
    key: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    """The columns that identify a row within a day: of features, labels and predictions."""
    columns: Annotated[dict[ColumnName, Column], Field(min_length=1)]
    """The features by name, each with its contract: `category`, `integer`, `number` or `boolean`."""
    reads: tuple[ProjectFile, ...] = ()
    """The files below `spark_jobs` that the feature module reads; what they hold is part of the recipe."""
    gate: Gate = Gate()
    """What else is audited before the features of a day are published, and what follows."""
    spark: Spark = Spark()
    """What the job that builds them asks of a cluster, where Spark runs in pods."""


class Label(Model):
    """What is predicted."""

    column: ColumnName
    """The label's column."""
    objective: Literal["binary", "regression"]
    """`binary` for 0 and 1, `regression` for a number."""
    lag: Days
    """How many days later the labels of a day are known; they read `[ds, ds + label.lag - lag]` of their sources."""
    wait: Days = 7
    """How many days longer labels are waited for; then the day is recorded as unlabelled, and its night may succeed."""
    inputs: Annotated[tuple[Name, ...], Field(min_length=1)]
    """The sources that labels read."""
    min: Bound | None = None
    """The least label of a regression."""
    max: Bound | None = None
    """The greatest label of a regression."""
    missing: Fraction = 0.1
    """The greatest fraction of a window's rows without a label, unlabelled days aside; at least what gates remove."""
    gate: Gate = Gate()
    """What else is audited before the labels of a day are published, and what follows."""

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        for name, bound, own in (("min", self.min, 0), ("max", self.max, 1)):
            if self.objective == "binary" and bound not in (None, own):
                raise ValueError(f"{name} {bound:g} does not go with objective binary, whose labels are 0 and 1")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is greater than max {self.max:g}")
        return self


class Training(Model):
    """How a version is made."""

    window: Annotated[int, Field(ge=2, le=3660)]
    """Training as of a day D uses the days `[D - window, D - label.lag]` that are in the schedule's range."""
    min_days: Annotated[int, Field(ge=2)]
    """With fewer days a challenger is refused."""
    holdout: Annotated[int, Field(ge=1)]
    """How many of the newest days all comparisons are made on; the model that is compared has not seen them."""
    rounds: Annotated[int, Field(ge=1)]
    """The greatest number of rounds of boosting."""
    early_stopping: Annotated[int, Field(ge=1)] = 20
    """Boosting ends after that many rounds without a gain."""
    seed: int = 0
    """The seed of the booster's chance: the same rows, parameters and seed give the same bytes."""
    max_blocked: Annotated[int, Field(ge=0)] = 3
    """How many days of the window may be blocked by a gate, or not be built; unlabelled days are not counted."""
    params: dict[str, str | int | float | bool] = Field(default={})
    """XGBoost's parameters, such as `max_depth` and `eta`."""
    gate: Gate = Gate()
    """What is audited of a training set; no row leaves it: `block` or `warn`."""

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
    """The rule by which a challenger becomes champion."""

    metric: Literal["log_loss", "average_precision", "roc_auc", "brier", "rmse", "mae"]
    """What is compared: one of the first four for `binary`, `rmse` or `mae` for `regression`."""
    baseline: tuple[ColumnName, ...] = ()
    """The columns whose combinations give the label's rate, or mean, that a model must beat."""
    skill: Annotated[float, Field(ge=0)] = 0.0
    """By how much a model must beat the baseline, relative: 0.01 asks for a metric 1 % better."""
    improvement: float = 0.0
    """By how much a challenger must beat the champion, likewise."""
    approval: Literal["required", "none"] = "none"
    """With `required` a person decides what the rule would promote: no run promotes live without one."""
    approve_within: Duration = "3d"
    """How long a proposal waits for that person; then it has expired, and nothing was promoted."""

    @property
    def needs_person(self) -> bool:
        """True where what the rule would promote is a person's to decide."""
        return self.approval == "required"


class Pipeline(Model):
    """One model's nightly life."""

    pipeline: Name
    """The pipeline's name, which is the file's: lower-case words joined by single underscores."""
    owner: Annotated[str, StringConstraints(min_length=1)]
    """Who is called when a night fails."""
    description: Annotated[str, StringConstraints(min_length=1)]
    """The question that the model answers, for people."""
    generation: Annotated[int, Field(ge=1)] = 1
    """A new number gives the pipeline a new set of tables, for columns that changed."""
    schedule: Schedule
    """When features are computed."""
    inputs: Annotated[dict[Name, Input], Field(min_length=1)]
    """The sources by name."""
    features: Features
    """What the feature module's `build` returns."""
    label: Label
    """What is predicted: what the feature module's `label` returns."""
    training: Training
    """How a version is made."""
    promotion: Promotion
    """The rule by which a challenger becomes champion."""
    scoring: Scoring = Scoring()
    """How a day is scored."""
    notify: Routes = Field(default={})
    """Which channels hear of which events of this pipeline: of its failed nights, of late ones and so on."""

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

    def spine_day(self, ds: date) -> date | None:
        """The day of the spine whose rows are the keys of ``ds``: it is never among those that may be absent.

        None where there is no spine, or a snapshot is it.
        """
        spine = self.inputs[self.features.spine] if self.features.spine else None
        return spine.feature_days(ds)[-1] if spine and not spine.snapshot else None

    @property
    def key_types(self) -> dict[str, ColumnType]:
        """The key columns of features, labels and predictions, with their types."""
        spine = self.inputs[self.features.spine].columns if self.features.spine else {}
        return {name: (self.features.columns.get(name) or spine[name]).type for name in self.features.key}

    @property
    def column_names(self) -> frozenset[str]:
        """The names of columns that the spec has, of whatever dataset."""
        landed = {name for source in self.inputs.values() for name in source.columns}
        return frozenset({*landed, *self.features.key, *self.features.columns, self.label.column})

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
        names = (*self._unknown_names(), *self._repeated_names(), *self._colliding_names())
        problems = [*names, *self._wrong_features(), *self._wrong_label()]
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

    def _repeated_names(self) -> Iterator[str]:
        yield from repeated("features.key", self.features.key)
        yield from repeated("features.inputs", self.features.inputs or ())
        yield from repeated("features.reads", self.features.reads)
        yield from repeated("label.inputs", self.label.inputs)
        yield from repeated("promotion.baseline", self.promotion.baseline)

    def _colliding_names(self) -> Iterator[str]:
        """Names of one table that Spark and Delta take for one: Nightshift's own, and those that differ by case."""
        key, features, label = self.features.key, self.features.columns, self.label.column
        yield from reserved("features.key", (name for name in key if name not in features))
        yield from reserved("features.columns", features)
        yield from same_but_for_case("features.columns", (*key, *features))
        if label.lower() in {*RESERVED, *map(str.lower, key)}:
            yield f"label.column: the name {label} is reserved, whatever its case"
        elif taken := [name for name in features if name.lower() == label.lower()]:
            yield f"features.columns.{taken[0]}: the name is reserved: it is the label's"

    def _wrong_features(self) -> Iterator[str]:
        features = self.features
        if features.inputs is not None and features.spine is not None and features.spine not in features.inputs:
            yield f"features.inputs leaves out the spine {features.spine}"
        for name, column in features.columns.items():
            if column.type in ("string", "date", "timestamp") and name not in features.key:
                allowed = "a feature is category, integer, number or boolean"
                yield f"features.columns.{name}.type: {allowed}, not {column.type}"

    def _wrong_label(self) -> Iterator[str]:
        label, metric = self.label, self.promotion.metric
        for name in label.inputs:
            source = self.inputs.get(name)
            if source is not None and not source.snapshot and source.lag > label.lag:
                yield f"label.lag {label.lag} is less than the lag {source.lag} of {name}"
        if metric not in METRICS[label.objective]:
            allowed = ", ".join(METRICS[label.objective])
            yield f"promotion.metric {metric} does not go with objective {label.objective}; allowed: {allowed}"
