"""The timetable of every DAG: the logical date is midnight UTC of ``ds``, the run comes after the cutoff of ``ds``.

So ``ds`` and both ends of a backfill mean what they say in every timezone. See ``docs/adr`` for why Airflow's own
cron timetables do not.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, cast

from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction, Timetable
from pendulum import DateTime, instance

from nightshift.plan import Every, SchedulePlan
from nightshift.specs.calendar import current_ds, cutoff
from nightshift.specs.model import Schedule

DAY = timedelta(days=1)
FIRST_RUN_GRACE = timedelta(hours=1)
_WORDS = {"day": "Every day", "week": "Every Monday", "never": "By hand or by backfill"}


class CutoffTimetable(Timetable):
    """Runs for each ``ds`` of a schedule, see SchedulePlan; made from one and serialised as one."""

    def __init__(self, plan: SchedulePlan) -> None:
        self.plan = plan
        self._schedule = Schedule(cutoff=plan.cutoff, timezone=plan.timezone, start=plan.first)
        self.description = f"{_WORDS[plan.every]} at the cutoff {plan.cutoff} {plan.timezone}, {_range(plan)}"

    @property
    def summary(self) -> str:
        """The text in the list of DAGs."""
        return f"{self.plan.cutoff} {self.plan.timezone}" if self.plan.every != "never" else "by hand or by backfill"

    def serialize(self) -> dict[str, Any]:
        """The schedule as JSON; ``deserialize`` reads it."""
        plan = self.plan
        last = plan.last.isoformat() if plan.last else None
        days = {"first": plan.first.isoformat(), "last": last, "every": plan.every}
        return {"cutoff": plan.cutoff, "timezone": plan.timezone, **days}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "CutoffTimetable":
        """The timetable that ``serialize`` wrote."""
        last = date.fromisoformat(data["last"]) if data["last"] else None
        first, every = date.fromisoformat(data["first"]), cast(Every, data["every"])
        return cls(SchedulePlan(data["cutoff"], data["timezone"], first, last, every))

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The run after the last one.

        A backfill asks with ``catchup`` and its two ends, both included. The scheduler asks without: nights that were
        missed stay missed, but for the newest; a new DAG begins with the next cutoff (or one just gone by).
        """
        last = last_automated_data_interval.start.date() if last_automated_data_interval else None
        ds = max(self.plan.first, last + DAY) if last else self.plan.first
        if restriction.earliest is not None:
            ds = max(ds, business_day(restriction.earliest, self._schedule.zone, up=True))
        if not restriction.catchup:
            if self.plan.every == "never":
                return None
            ds = max(ds, self._current(is_new=last is None))
        if self.plan.every == "week":
            ds += -ds.weekday() % 7 * DAY
        latest = restriction.latest and business_day(restriction.latest, self._schedule.zone)
        if any(bound is not None and ds > bound for bound in (latest, self.plan.last)):
            return None
        return DagRunInfo(run_after=instance(cutoff(self._schedule, ds)), data_interval=_interval(ds))

    def infer_manual_data_interval(self, *, run_after: DateTime) -> DataInterval:
        """The business date of a manual run: that of its logical date, which Airflow hands in as ``run_after``."""
        return _interval(business_day(run_after, self._schedule.zone))

    def _current(self, *, is_new: bool) -> date:
        now = datetime.now(UTC)
        if is_new:
            # Airflow asks again at every parse: without grace, one just after the cutoff would lose the night.
            return current_ds(self._schedule, now - FIRST_RUN_GRACE) + DAY
        current = current_ds(self._schedule, now)
        return current - current.weekday() * DAY if self.plan.every == "week" else current


def business_day(moment: datetime, zone: tzinfo, *, up: bool = False) -> date:
    """The ``ds`` that somebody means by a moment.

    That is the day that begins with it (see ``begun_day``); any other moment means its day in UTC, or the day after
    with ``up``.
    """
    return begun_day(moment, zone) or moment.astimezone(UTC).date() + (DAY if up else timedelta(0))


def begun_day(moment: datetime, zone: tzinfo) -> date | None:
    """The day that begins with a moment in UTC, in the pipeline's timezone or in Airflow's; None where none does.

    The command line and the UI make such moments of plain dates.
    """
    from airflow.settings import TIMEZONE

    for each in (UTC, zone, TIMEZONE):
        day = moment.astimezone(each).date()
        # Where daylight saving skips midnight, PEP 495 makes this the first moment of the day, too.
        if datetime.combine(day, time.min, tzinfo=each).astimezone(UTC) == moment:
            return day
    return None


def _interval(ds: date) -> DataInterval:
    return DataInterval.exact(DateTime(ds.year, ds.month, ds.day, tzinfo=UTC))


def _range(plan: SchedulePlan) -> str:
    return f"business dates {plan.first} to {plan.last}" if plan.last else f"business dates from {plan.first}"
