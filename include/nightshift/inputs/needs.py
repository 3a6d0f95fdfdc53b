"""Which days of which sources a run needs. Pure but for looking at landing where a source is a snapshot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from nightshift.specs.calendar import label_day, training_days
from nightshift.specs.model import Pipeline

Newest = Callable[[str, date], date | None]


@dataclass(frozen=True)
class Needs:
    """Days by source: those that features read, and those that labels read. A snapshot that is not there has no day."""

    features: dict[str, list[date]] = field(default_factory=dict)
    labels: dict[str, list[date]] = field(default_factory=dict)

    def days(self, source: str) -> list[date]:
        """All days of a source, sorted."""
        return sorted({*self.features.get(source, ()), *self.labels.get(source, ())})


def daily_needs(pipeline: Pipeline, ds: date, newest: Newest) -> Needs:
    """The needs of the run of ``ds``: for the features of ``ds``, and for the labels that become mature at its cutoff.

    ``newest`` gives the newest snapshot of a source up to a day.
    """
    return _needs(pipeline, [ds], [label_day(pipeline, ds)], newest)


def label_needs(pipeline: Pipeline, ds: date, newest: Newest) -> Needs:
    """The needs of the labels of ``ds``."""
    return _needs(pipeline, [], [ds], newest)


def window_needs(pipeline: Pipeline, as_of: date, newest: Newest) -> Needs:
    """The needs of the training window of an as-of date."""
    days = training_days(pipeline, as_of)
    return _needs(pipeline, days, days, newest)


def _needs(pipeline: Pipeline, feature_days: Sequence[date], label_days: Sequence[date], newest: Newest) -> Needs:
    features: dict[str, set[date]] = {name: set() for name in pipeline.feature_inputs}
    labels: dict[str, set[date]] = {name: set() for name in pipeline.label_inputs}
    for ds in (day for day in feature_days if inside(pipeline, day)):
        for name, source in pipeline.feature_inputs.items():
            features[name].update(_known(newest(name, ds)) if source.snapshot else source.feature_days(ds))
    for ds in (day for day in label_days if inside(pipeline, day)):
        for name, source in pipeline.label_inputs.items():
            found = _known(newest(name, ds)) if source.snapshot else source.label_days(ds, pipeline.label.lag)
            labels[name].update(found)
    return Needs(*({name: sorted(days) for name, days in found.items()} for found in (features, labels)))


def inside(pipeline: Pipeline, ds: date) -> bool:
    """Return whether ``ds`` lies in the spec's range."""
    end = pipeline.schedule.end
    return pipeline.schedule.start <= ds and (end is None or ds <= end)


def _known(day: date | None) -> list[date]:
    return [] if day is None else [day]
