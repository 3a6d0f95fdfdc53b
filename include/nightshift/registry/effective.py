"""From which ``ds`` a decision counts: never for a night that is over."""

from datetime import date, datetime, timedelta

from nightshift.specs.calendar import current_ds
from nightshift.specs.model import Schedule

_DAY = timedelta(days=1)


def effective_from(schedule: Schedule, as_of: date, recorded_at: datetime, *, history: bool) -> date:
    """The first ``ds`` that a decision about as-of date ``as_of`` concerns.

    While history is rebuilt it is the day after ``as_of``, whenever the decision is recorded. A live decision counts
    from the later of that and the first ``ds`` whose cutoff lies after ``recorded_at`` (an aware datetime).
    """
    if history:
        return as_of + _DAY
    return max(as_of + _DAY, next_ds(schedule, recorded_at))


def next_ds(schedule: Schedule, moment: datetime) -> date:
    """The first ``ds`` whose cutoff lies after ``moment``: from when on a rollback of that moment can count."""
    return current_ds(schedule, moment) + _DAY
