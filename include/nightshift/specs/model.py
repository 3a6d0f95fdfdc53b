"""The declaration of a pipeline as frozen, strict pydantic models.

Every key of ``include/pipelines/<name>.yaml`` is a field here; an unknown key is an error. Days are dates of the
business calendar, durations are text such as ``15m``, sizes are text such as ``1Gi``.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from nightshift.specs.spelling import nearest

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=60)]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=120)]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[smhd]$")]
Days = Annotated[int, Field(ge=0, le=3660)]
Fraction = Annotated[float, Field(ge=0, le=1)]
ColumnType = Literal["string", "category", "integer", "number", "boolean", "date", "timestamp"]
Expectation = dict[str, dict[str, Any]]

RESERVED = frozenset({"ds", "as_of", "fingerprint", "score", "model"})
METRICS = {"binary": ("log_loss", "average_precision", "roc_auc", "brier"), "regression": ("rmse", "mae")}
_BOUNDS = {"integer": "a number", "number": "a number", "date": "a date", "timestamp": "a timestamp with its offset"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """A duration such as ``15m`` in seconds."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


class Model(BaseModel):
    """Frozen and strict: no unknown key, no silent conversion."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Column(Model):
    """The contract of one column. ``nulls`` is the greatest fraction of nulls, 0 means none."""

    type: ColumnType
    nulls: Fraction = 0.0
    min: float | datetime | date | None = None
    max: float | datetime | date | None = None
    allowed: tuple[str | int, ...] | None = None
    public: bool = False

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        ordered = self.type in ("integer", "number", "date", "timestamp")
        if (self.min is not None or self.max is not None) and not ordered:
            raise ValueError(f"a min or max does not go with type {self.type}")
        for name, bound in (("min", self.min), ("max", self.max)):
            if bound is not None and not _goes_with(self.type, bound):
                raise ValueError(f"{name} of type {self.type} must be {_BOUNDS[self.type]}")
        if self.min is not None and self.max is not None and self.min > self.max:  # type: ignore[operator]
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        if self.allowed is not None:
            if self.type not in ("string", "category", "integer"):
                raise ValueError(f"allowed does not go with type {self.type}")
            if any(isinstance(value, int) != (self.type == "integer") for value in self.allowed):
                kind = "integers" if self.type == "integer" else "text: quote what looks like a number"
                raise ValueError(f"allowed of type {self.type} must be {kind}")
        return self


class Gate(Model):
    """What happens when expectations fail.

    ``limit`` is the greatest fraction of rows that ``quarantine`` may remove; ``rows`` is the greatest number of
    rows audited in pandas, more are audited by Spark; ``expect`` adds Great Expectations' own expectations.
    """

    policy: Literal["block", "quarantine", "warn"] = "block"
    limit: Fraction = 0.0
    rows: Annotated[int, Field(ge=1)] = 2_000_000
    expect: tuple[Expectation, ...] = ()

    @field_validator("expect")
    @classmethod
    def _one_name_each(cls, value: tuple[Expectation, ...]) -> tuple[Expectation, ...]:
        for item in value:
            if len(item) != 1:
                raise ValueError("each item of expect is one expectation: {expect_…: {argument: value}}")
        return value

    @model_validator(mode="after")
    def _limit_needs_quarantine(self) -> Self:
        if self.limit and self.policy != "quarantine":
            raise ValueError(f"limit goes with policy quarantine, not with {self.policy}")
        return self


class Missing(Model):
    """How many absent days of a lookback a source may have."""

    allow: Days


class Input(Model):
    """A source: where upstream drops it, when it is known, and what its columns are."""

    path: str
    format: Literal["csv", "parquet"] | None = None
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    null_values: tuple[str, ...] = ("",)
    snapshot: bool = False
    lag: Days = 0
    lookback: Annotated[int, Field(ge=1, le=3660)] = 1
    missing: Literal["block"] | Missing = "block"
    key: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    gate: Gate = Gate()
    columns: Annotated[dict[ColumnName, Column], Field(min_length=1)]

    @field_validator("path")
    @classmethod
    def _stays_below_landing(cls, value: str) -> str:
        if value.count("{ds}") != 1:
            raise ValueError("a path names {ds} once")
        if value.startswith("/") or "://" in value or ".." in value.split("/"):
            raise ValueError("a path is relative to the landing URI and stays below it")
        folder, _, name = value.rpartition("/")
        if not folder or not name or any(wild in folder for wild in "*?["):
            raise ValueError("a path is folder/…/name; only the last part may hold wildcards")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.snapshot and (self.lag or self.lookback != 1 or self.missing != "block"):
            raise ValueError("a snapshot has no lag, lookback or missing")
        for problem in _unknown("key", self.key, self.columns):
            raise ValueError(problem)
        for name in self.columns:
            if name in RESERVED:
                raise ValueError(f"columns.{name}: the name is reserved")
        if self.format is None and self.file_format is None:
            raise ValueError("format: csv or parquet is needed, since the path's ending does not say it")
        return self

    @property
    def file_format(self) -> Literal["csv", "parquet"] | None:
        """The declared format, or the one that the path's ending says."""
        if self.format is not None:
            return self.format
        endings: dict[str, Literal["csv", "parquet"]] = {".csv": "csv", ".csv.gz": "csv", ".parquet": "parquet"}
        return next((kind for ending, kind in endings.items() if self.path.endswith(ending)), None)

    @property
    def absent_allowed(self) -> int:
        """How many days of the lookback may be absent."""
        return self.missing.allow if isinstance(self.missing, Missing) else 0

    def feature_days(self, ds: date) -> list[date]:
        """The partitions that features of ``ds`` may read: ``[ds-L-W+1, ds-L]``."""
        newest = ds - timedelta(days=self.lag)
        return [newest - timedelta(days=back) for back in reversed(range(self.lookback))]

    def label_days(self, ds: date, label_lag: int) -> list[date]:
        """The partitions that labels of ``ds`` may read: ``[ds, ds + label lag - L]``."""
        return [ds + timedelta(days=ahead) for ahead in range(label_lag - self.lag + 1)]


class Schedule(Model):
    """When features are computed. ``wait`` is how long a run waits for its landing files."""

    cutoff: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    timezone: str
    start: date
    end: date | None = None
    retrain: Literal["nightly", "weekly", "never"] = "nightly"
    wait: Duration = "6h"

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str) -> str:
        if value not in _timezones():
            raise ValueError(f"there is no timezone {value}{nearest(value, _timezones())}")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The timezone of the cutoff."""
        return ZoneInfo(self.timezone)


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
    params: dict[str, str | int | float | bool] = {}
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
        yield from _unknown("features.spine", (features.spine,) if features.spine else (), self.inputs)
        yield from _unknown("features.inputs", features.inputs or (), self.inputs)
        yield from _unknown("label.inputs", self.label.inputs, self.inputs)
        if features.spine is None:
            yield from _unknown("features.key", features.key, features.columns)
        elif spine is not None:
            yield from _unknown("features.key (all of it must be in the spine)", features.key, spine)
        yield from _unknown("promotion.baseline", self.promotion.baseline, (*features.columns, *features.key))

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


def _unknown(what: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    """A sentence for each of ``names`` that is not one of ``known``."""
    allowed = list(dict.fromkeys(known))
    for name in names:
        if name not in allowed:
            yield f"{what}: {name} is not one of {', '.join(allowed)}{nearest(name, allowed)}"


def _goes_with(kind: ColumnType, bound: float | datetime | date) -> bool:
    if kind in ("integer", "number"):
        return isinstance(bound, float)
    if kind == "timestamp":
        return isinstance(bound, datetime) and bound.tzinfo is not None
    return isinstance(bound, date) and not isinstance(bound, datetime)
