"""The words that every part of a spec is made of: names, durations, the contract of a column, the policy of a gate."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from nightshift.specs.spelling import nearest

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=60)]
ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=120)]
ProjectFile = Annotated[str, StringConstraints(pattern=r"^spark_jobs(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$", max_length=200)]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*[smhd]$")]
Quiet = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]*)[smhd]$")]
Days = Annotated[int, Field(ge=0, le=3660)]
Fraction = Annotated[float, Field(ge=0, le=1)]
ColumnType = Literal["string", "category", "integer", "number", "boolean", "date", "timestamp"]
Expectation = dict[str, dict[str, Any]]

RESERVED = frozenset({"ds", "as_of", "fingerprint", "score", "model"})
"""What no feature, key or label is named: each meets a column of Nightshift's own, in Spark or in a table."""
RESERVED_IN_SOURCES = frozenset({"ds"})
RESERVED_IN_SNAPSHOTS = frozenset({"ds", "as_of", "until"})
_BOUNDS = {"integer": "a number", "number": "a number", "date": "a date", "timestamp": "a timestamp with its offset"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """A duration such as ``15m`` in seconds."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def is_rounded(number: int) -> bool:
    """Return whether a 64-bit float does not hold an integer."""
    return int(float(number)) != number


def _not_rounded(value: Any) -> Any:
    if isinstance(value, int) and is_rounded(value):
        raise ValueError(f"{value} would be rounded to {float(value):.0f}: a bound is a 64-bit float")
    return value


Bound = Annotated[float, BeforeValidator(_not_rounded)]


class Model(BaseModel):
    """Frozen and strict: no unknown key, no silent conversion. ``reference.py`` reads the docstrings of fields."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Column(Model):
    """The contract of one column."""

    type: ColumnType
    """What its values are; a timestamp has its timezone, a category is a text that a model learns from."""
    nulls: Fraction = 0.0
    """The greatest fraction of nulls; 0 means none."""
    min: Bound | datetime | date | None = None
    """The least value, for numbers, dates and timestamps."""
    max: Bound | datetime | date | None = None
    """The greatest value, likewise."""
    allowed: tuple[str | int, ...] | None = None
    """The values that may occur, for texts, categories and integers."""
    public: bool = False
    """Whether reports may show its values. Of all other columns they show counts, fractions and means alone."""

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
            if not self.allowed:
                raise ValueError("allowed is empty: no value would do")
            if any(isinstance(value, int) != (self.type == "integer") for value in self.allowed):
                kind = "integers" if self.type == "integer" else "text: quote what looks like a number"
                raise ValueError(f"allowed of type {self.type} must be {kind}")
        return self


class Gate(Model):
    """What is audited before a dataset is published, beside its column contracts, and what follows when that fails."""

    policy: Literal["block", "quarantine", "warn"] = "block"
    """`block` stops the dataset, `quarantine` takes failing rows out, `warn` marks it."""
    limit: Fraction = 0.0
    """The greatest fraction of rows that `quarantine` may take out; above it the dataset is blocked."""
    rows: Annotated[int, Field(ge=1)] = 2_000_000
    """The greatest number of rows audited in pandas; more are audited by Spark."""
    expect: tuple[Expectation, ...] = ()
    """Great Expectations' own expectations: `{expect_…: {argument: value}}`, one an item."""

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


def repeated(what: str, names: Sequence[str]) -> Iterator[str]:
    """A sentence for each of ``names`` that is there more than once."""
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"{what}: {name} is there {'twice' if names.count(name) == 2 else f'{names.count(name)} times'}"


def reserved(what: str, names: Iterable[str], taken: Collection[str] = RESERVED) -> Iterator[str]:
    """A sentence for each of ``names`` that is one of ``taken`` (lower case). Spark and Delta do not look at case."""
    for name in names:
        if name.lower() in taken:
            same = "" if name in taken else f": it differs from {name.lower()} by case alone"
            yield f"{what}.{name}: the name is reserved{same}"


def same_but_for_case(what: str, names: Iterable[str]) -> Iterator[str]:
    """A sentence for each of ``names`` that differs from one before it by case alone."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(name.lower(), name)
        if other != name:
            yield f"{what}.{name}: the name differs from {other} by case alone, and Spark and Delta take them for one"


def unknown(what: str, names: Iterable[str], known: Iterable[str]) -> Iterator[str]:
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
