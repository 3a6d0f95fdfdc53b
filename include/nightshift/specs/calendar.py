"""Business dates and the moments at which they are computed."""

from datetime import UTC, date, datetime, time, timedelta

from nightshift.specs.model import Pipeline, Schedule


def cutoff(schedule: Schedule, ds: date) -> datetime:
    """The cutoff of ``ds`` in UTC.

    ``fold=0`` reads a local time that daylight saving skips with the offset before the change, which moves it
    forward, and takes the first of an ambiguous one (PEP 495).
    """
    return _moment(schedule, ds, schedule.cutoff)


def due(schedule: Schedule, ds: date) -> datetime | None:
    """The moment in UTC by which the predictions of ``ds`` are wanted; None where the spec does not say."""
    if schedule.deliver_by is None:
        return None
    later = schedule.deliver_by < schedule.cutoff
    return _moment(schedule, ds + timedelta(days=later), schedule.deliver_by)


def current_ds(schedule: Schedule, moment: datetime) -> date:
    """The greatest ``ds`` whose cutoff is not after ``moment`` (an aware datetime)."""
    ds = moment.astimezone(schedule.zone).date() + timedelta(days=1)
    while cutoff(schedule, ds) > moment:
        ds -= timedelta(days=1)
    return ds


def days(first: date, last: date) -> list[date]:
    """All days from ``first`` to ``last``, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def training_days(pipeline: Pipeline, as_of: date) -> list[date]:
    """The days ``[D-window, D-label.lag]`` of an as-of date D that lie in the spec's range."""
    first = max(_before(as_of, pipeline.training.window), pipeline.schedule.start)
    last = _before(as_of, pipeline.label.lag)
    end = pipeline.schedule.end
    return days(first, min(last, end) if end else last)


def label_day(pipeline: Pipeline, ds: date) -> date:
    """The day whose labels become mature at the cutoff of ``ds``."""
    return _before(ds, pipeline.label.lag)


def last_run(pipeline: Pipeline) -> date | None:
    """The last ``ds`` with a run: label lag days after ``end``, for labels alone."""
    end = pipeline.schedule.end
    return end + timedelta(days=pipeline.label.lag) if end else None


def last_night(pipeline: Pipeline, moment: datetime) -> date:
    """The newest ``ds`` with a run whose cutoff is not after ``moment`` (aware); the first one where none has come."""
    newest = current_ds(pipeline.schedule, moment)
    return max(min(newest, last_run(pipeline) or newest), pipeline.schedule.start)


def _moment(schedule: Schedule, ds: date, clock: str) -> datetime:
    hour, minute = clock.split(":")
    return datetime.combine(ds, time(int(hour), int(minute)), tzinfo=schedule.zone).astimezone(UTC)


def _before(ds: date, count: int) -> date:
    """The day ``count`` days before; the calendar's first one where that would be before it. No spec's range has it."""
    return date.fromordinal(max(ds.toordinal() - count, 1))
