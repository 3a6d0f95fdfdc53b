"""Where data come from and when: a source, and the schedule of its pipeline."""

from collections.abc import Iterable
from datetime import date, timedelta
from functools import cache
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, StringConstraints, field_validator, model_validator

from nightshift.specs.contract import (
    RESERVED_IN_SNAPSHOTS,
    RESERVED_IN_SOURCES,
    Column,
    ColumnName,
    Days,
    Duration,
    Gate,
    Model,
    Quiet,
    repeated,
    reserved,
    same_but_for_case,
    unknown,
)
from nightshift.specs.spelling import nearest

# Lags and lookbacks count from days in this range: they never leave the calendar.
_FIRST, _LAST = date(1900, 1, 1), date(2999, 12, 31)


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


class Missing(Model):
    """How many absent days of a lookback a source may have."""

    allow: Days
    """The greatest number of absent days."""


class Limits(Model):
    """How much a day of a source may be, so that a broken or hostile delivery does not take the machine."""

    bytes: Annotated[int, Field(ge=1)] = 16 << 30
    """The greatest size of a day's files, as they lie there and unpacked."""
    rows: Annotated[int, Field(ge=1)] = 100_000_000
    """The greatest number of rows of a day."""
    files: Annotated[int, Field(ge=1)] = 10_000
    """The greatest number of files of a day."""
    cell: Annotated[int, Field(ge=1)] = 1 << 20
    """The greatest number of bytes of one text."""


class Input(Model):
    """A source: where upstream drops it, when it is known, and what its columns are."""

    path: str
    """Its files below the landing URI, `{ds}` for the day; the last part may hold wildcards."""
    format: Literal["csv", "parquet"] | None = None
    """The files' format, where the path's ending (`.csv`, `.csv.gz`, `.parquet`) does not say it."""
    delimiter: Annotated[str, StringConstraints(pattern=r"^[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x7f]$")] = ","
    """What separates the cells of a CSV file: one ASCII character."""
    null_values: tuple[str, ...] = ("",)
    """The texts that mean null in a CSV file."""
    snapshot: bool = False
    """Reference data without days: features of `ds` use the newest snapshot that is not after `ds - lag`."""
    lag: Days = 0
    """How many days later the rows of a day, or a snapshot, are known; 0: at the cutoff of the day itself."""
    max_age: Days | None = None
    """How many days old a snapshot may be at `ds`; an older one counts as missing. Without it any age will do."""
    lookback: Annotated[int, Field(ge=1, le=3660)] = 1
    """How many days features may read: `[ds - lag - lookback + 1, ds - lag]`."""
    missing: Literal["block"] | Missing = "block"
    """What absent days of the lookback do: `block`, or `{allow: N}` for up to N of them."""
    marker: Annotated[str, StringConstraints(pattern=r"^[^/*?\[\]]+$")] | None = None
    """The name of a file beside a day's files, such as `_SUCCESS`, without which they have not landed."""
    quiet: Quiet = "0s"
    """For how long nothing in a day's files may have changed before they have landed."""
    limits: Limits = Limits()
    """How much a day may be; a day that is more is blocked before it is read."""
    key: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    """The columns that identify a row within a day; of duplicates all rows leave."""
    gate: Gate = Gate()
    """What else is audited before a day is published, and what follows."""
    columns: Annotated[dict[ColumnName, Column], Field(min_length=1)]
    """The columns that are read, by name, each with its contract."""
    columns_policy: Literal["lenient", "strict"] = "lenient"
    """`lenient` ignores other columns, has nulls where a file lacks one that may be; `strict` refuses such files."""

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
        if name.startswith((".", "_")):
            raise ValueError("a path's last part does not begin with . or _: such files are never read")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.snapshot and (self.lookback != 1 or self.missing != "block"):
            raise ValueError("a snapshot has no lookback or missing")
        if self.max_age is not None and not self.snapshot:
            raise ValueError("max_age goes with a snapshot")
        if self.max_age is not None and self.max_age < self.lag:
            raise ValueError(f"max_age {self.max_age} is less than lag {self.lag}: no snapshot would ever do")
        taken = RESERVED_IN_SNAPSHOTS if self.snapshot else RESERVED_IN_SOURCES
        wrong_names = (*reserved("columns", self.columns, taken), *same_but_for_case("columns", self.columns))
        for problem in (*unknown("key", self.key, self.columns), *repeated("key", self.key), *wrong_names):
            raise ValueError(problem)
        if self.marker is not None and "{ds}" not in f"{self.path.rpartition('/')[0]}/{self.marker}":
            raise ValueError("marker names {ds} where the folder of path does not: each day has its own")
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
        """The number of days of the lookback that may be absent."""
        return self.missing.allow if isinstance(self.missing, Missing) else 0

    def feature_days(self, ds: date) -> list[date]:
        """The partitions that features of ``ds`` may read: ``[ds-L-W+1, ds-L]``."""
        newest = ds - timedelta(days=self.lag)
        return [newest - timedelta(days=back) for back in reversed(range(self.lookback))]

    def newest_snapshot(self, days: Iterable[date], ds: date) -> date | None:
        """Of these days the newest whose snapshot is known at ``ds``, however old it is; None where there is none."""
        return max((day for day in days if day <= ds - timedelta(days=self.lag)), default=None)

    def too_old(self, snapshot: date, ds: date) -> bool:
        """Return whether a snapshot is older at ``ds`` than ``max_age`` allows."""
        return self.max_age is not None and (ds - snapshot).days > self.max_age

    def label_days(self, ds: date, label_lag: int) -> list[date]:
        """The partitions that labels of ``ds`` may read: ``[ds, ds + label lag - L]``."""
        return [ds + timedelta(days=ahead) for ahead in range(label_lag - self.lag + 1)]


class Schedule(Model):
    """When features are computed."""

    cutoff: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    """The time of day on `ds` at which features are computed, `"HH:MM"` in quotes; nothing later may be used."""
    timezone: str
    """The timezone of the cutoff, such as `Europe/Berlin`."""
    start: date
    """The first day with features."""
    end: date | None = None
    """The last day with features; runs go on for `label.lag` days, for labels alone."""
    retrain: Literal["nightly", "weekly", "never"] = "nightly"
    """How often a challenger is trained; `weekly`: as of Mondays."""
    wait: Duration = "6h"
    """How long a run waits for its landing files."""
    deliver_by: Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = None
    """The time of day by which a day's predictions are there, the first such time after its cutoff."""

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str) -> str:
        if value not in _timezones():
            raise ValueError(f"there is no timezone {value}{nearest(value, _timezones())}")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.deliver_by == self.cutoff:
            raise ValueError(f"deliver_by {self.deliver_by} is the cutoff itself: nothing is there at once")
        if self.start < _FIRST:
            raise ValueError(f"start {self.start} is before {_FIRST}")
        if self.end is not None and self.end > _LAST:
            raise ValueError(f"end {self.end} is after {_LAST}; leave it out where there is no end")
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} is before start {self.start}")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The timezone of the cutoff."""
        return ZoneInfo(self.timezone)
