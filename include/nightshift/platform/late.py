"""Nights that are late, or will be, and files that have not landed: found without a run, which may never be made."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from nightshift import tables
from nightshift.errors import InputMissing, NightshiftError
from nightshift.inputs.needs import inside
from nightshift.inputs.run import inputs_landed
from nightshift.job import Job, table_uri
from nightshift.notices.lateness import Lateness, a_quarter, lateness, usual
from nightshift.notices.trouble import Trouble, first_line
from nightshift.platform.airflow_client import AirflowClient, Run
from nightshift.run_facts import RunFacts
from nightshift.runs import run_address
from nightshift.settings import Settings
from nightshift.specs.calendar import cutoff, due, last_night
from nightshift.specs.model import Pipeline, seconds

# Of a night that is missing for longer everybody has heard, or nobody wants it.
_LONGEST = timedelta(days=2)
_EARLIER_RUNS = 14
_ASKED_AGAIN = timedelta(hours=1)


@dataclass
class Nights:
    """What one watcher knows of nights from look to look.

    ``airflow`` is None where it does not answer; ``runs`` are those that it has, by DAG and day.
    """

    settings: Settings
    airflow: AirflowClient | None = None
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    _delivered: set[tuple[str, date]] = field(default_factory=set)
    _earlier: dict[str, tuple[datetime, list[float]]] = field(default_factory=dict)

    def troubles(self, pipeline: Pipeline, began: datetime, now: datetime) -> Iterator[Trouble]:
        """The troubles of a pipeline's newest night, and of the one before, whose deadline may come later."""
        newest = last_night(pipeline, now)
        nights = [
            ds
            for ds in (newest - timedelta(days=1), newest)
            if inside(pipeline, ds) and cutoff(pipeline.schedule, ds) <= now
        ]
        # Files last: whether one was waived is in the database, which may be away.
        for ds in nights:
            deadline = due(pipeline.schedule, ds)
            wanted = deadline is not None and max(began, now - _LONGEST) <= deadline
            if deadline is not None and wanted and not self.delivered(pipeline, ds):
                yield from self._late(pipeline, ds, deadline, now)
        for ds in nights:
            yield from self._not_landed(pipeline, ds, now)

    def _not_landed(self, pipeline: Pipeline, ds: date, now: datetime) -> Iterator[Trouble]:
        wait, at = seconds(pipeline.schedule.wait), cutoff(pipeline.schedule, ds)
        until, run = at + timedelta(seconds=wait), self.runs.get((pipeline.name, ds.isoformat()))
        if not a_quarter(at, wait) <= now < until or (run and run.state == "failed") or self.delivered(pipeline, ds):
            return
        if lacks := self.lacks(pipeline, ds):
            lacks += f"; its run gives up at {until:%H:%M} UTC"
            yield self._trouble(pipeline, ds, run, lacks, "has not landed", "")

    def delivered(self, pipeline: Pipeline, ds: date) -> bool:
        """Return whether readers have the predictions of a day."""
        if (pipeline.name, ds) not in self._delivered:
            state = tables.state(table_uri(self.settings, pipeline, "predictions"))
            if ds.isoformat() not in state.partitions:
                return False
            self._delivered.add((pipeline.name, ds))
        return True

    def lacks(self, pipeline: Pipeline, ds: date) -> str:
        """The sentence on what a night lacks of its landing files; empty where nothing is missing."""
        try:
            inputs_landed(Job(self.settings, pipeline, ds))
        except InputMissing as error:
            return first_line(error.what)
        return ""

    def _late(self, pipeline: Pipeline, ds: date, deadline: datetime, now: datetime) -> Iterator[Trouble]:
        run = self.runs.get((pipeline.name, ds.isoformat()))
        begun = datetime.fromisoformat(run.started) if run and run.started else None
        earlier = self._earlier_seconds(pipeline, now)
        found: Lateness = lateness(deadline, now, begun, earlier)
        if not found:
            return
        schedule, takes = pipeline.schedule, usual(earlier)
        at, why = f"{schedule.deliver_by} {schedule.timezone}", self._why(pipeline, run)
        if found == "is late":
            cause = f"predictions are not there, they were due at {at}: {why}"
        else:
            cause = f"predictions will not be there by {at}: {why}, and three of four runs take up to {_minutes(takes)}"
        yield self._trouble(pipeline, ds, run, cause, found, f"deliver_by {at}")

    def _why(self, pipeline: Pipeline, run: Run | None) -> str:
        if self.airflow is None:
            return "Airflow does not answer"
        if run is None:
            return "no run was made, its DAG is paused" if self._paused(pipeline) else "no run was made"
        words = {"queued": "its run is queued", "running": "its run is at work", "failed": "its run failed"}
        return words.get(run.state, "its run ended without them")

    def _trouble(self, pipeline: Pipeline, ds: date, run: Run | None, cause: str, stage: str, alike: str) -> Trouble:
        waits = stage == "has not landed"
        dag_page = f"{self.settings.airflow_address}/dags/{pipeline.name}"
        paused = run is None and self._paused(pipeline)
        return Trouble(
            events=("late",),
            state=RunFacts(airflow=run.state if run else "", paused=paused, waits=waits, published=False).state,
            pipeline=pipeline.name,
            dag=pipeline.name,
            ds=ds.isoformat(),
            cause=cause,
            next=f"nightshift diagnose {pipeline.name} --ds {ds}",
            link=run_address(self.settings, pipeline.name, run.run_id) if run else dag_page,
            night=ds.isoformat(),
            stage=stage,
            owner=pipeline.owner,
            alike=alike,
        )

    def _paused(self, pipeline: Pipeline) -> bool:
        try:
            return bool(self.airflow and self.airflow.is_paused(pipeline.name))
        except NightshiftError:  # Airflow has no such DAG yet
            return False

    def _earlier_seconds(self, pipeline: Pipeline, now: datetime) -> Sequence[float]:
        asked, found = self._earlier.get(pipeline.name, (now - 2 * _ASKED_AGAIN, []))
        if self.airflow and now - asked > _ASKED_AGAIN:
            try:
                found = self.airflow.earlier_seconds(pipeline.name, _EARLIER_RUNS)
            except NightshiftError:  # likewise
                found = []
            self._earlier[pipeline.name] = (now, found)
        return found


def _minutes(takes: timedelta | None) -> str:
    return f"{(takes or timedelta()).total_seconds() / 60:.0f} min"
