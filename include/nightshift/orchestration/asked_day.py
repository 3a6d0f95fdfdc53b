"""The business date of a run, and whether a run by hand may have it."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from nightshift.orchestration.orders import Order, refusal
from nightshift.orchestration.timetable import begun_day, business_day
from nightshift.plan import RETRAIN_SUFFIX, SchedulePlan, make_plan, run_days
from nightshift.run_day import MADE_FOR_A_DAY
from nightshift.specs.calendar import current_ds, cutoff
from nightshift.specs.model import Pipeline

_WEEK = timedelta(days=7)


def ds_of(run: Any, pipeline: Pipeline, order: Order, now: datetime | None = None) -> date:
    """The business date of a run: the one ordered, else that of its logical date, else the newest one that is over.

    Raises ConfRefused for a run by hand whose day has no run by the spec, is not over yet, or is not the one that its
    logical date names: such a run would score nothing, too little, or another day than was meant.
    """
    day = order.day or _named(run, pipeline)
    if run.run_type in MADE_FOR_A_DAY:
        return day
    meant = None if run.logical_date is None else begun_day(run.logical_date, pipeline.schedule.zone)
    if meant is not None and meant != day:
        raise refusal(
            run,
            f"its business date is {day}, and its logical date is the beginning of {meant}",
            allowed="the business date alone, or both of one day",
            do="trigger a run again, with any other logical date or none",
        )
    _refuse_other_days(run, pipeline, day, now or datetime.now(UTC))
    return day


def _named(run: Any, pipeline: Pipeline) -> date:
    if run.logical_date is not None:
        return business_day(run.logical_date, pipeline.schedule.zone)
    current = current_ds(pipeline.schedule, run.run_after)
    return current - timedelta(days=current.weekday()) if _schedule(run, pipeline).every == "week" else current


def _refuse_other_days(run: Any, pipeline: Pipeline, day: date, now: datetime) -> None:
    schedule = _schedule(run, pipeline)
    over = current_ds(pipeline.schedule, now)
    last = min(over, schedule.last or over)
    what = ""
    if day < schedule.first:
        what = f"{day} is before the pipeline's first business date"
    elif schedule.last is not None and day > schedule.last:
        what = f"{day} is after the pipeline's last business date"
    elif day > over:
        what = f"{day} is not over: its cutoff comes at {cutoff(pipeline.schedule, day):%Y-%m-%dT%H:%MZ}"
    elif not run_days(schedule, day, day):
        what = f"{day} is no scheduled day{_nearest(schedule, day, last)}"
    if what:
        mondays = ", Mondays only" if schedule.every == "week" else ""
        none = f"none before the cutoff of {schedule.first}"
        raise refusal(
            run,
            what,
            allowed=f"business dates from {schedule.first} to {last}{mondays}" if last >= schedule.first else none,
            do="trigger a run again, with such a business date",
        )


def _nearest(schedule: SchedulePlan, day: date, last: date) -> str:
    before = run_days(schedule, day - _WEEK, day)[-1:]
    near = " and ".join(map(str, [*before, *run_days(schedule, day, min(day + _WEEK, last))[:1]]))
    return f"; the nearest: {near}" if near else ""


def _schedule(run: Any, pipeline: Pipeline) -> SchedulePlan:
    plan = make_plan(pipeline)
    return plan.retrain.schedule if run.dag_id.endswith(RETRAIN_SUFFIX) else plan.daily.schedule
