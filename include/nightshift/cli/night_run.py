"""What Airflow alone knows of a night's run: its state, a paused DAG, what waits, and what people marked by hand."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from nightshift.errors import PlatformError
from nightshift.platform.airflow_client import AirflowClient, Mark, Run, Task, login
from nightshift.run_facts import LOOKS_AGAIN, UNFINISHED
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline, seconds


@dataclass(frozen=True)
class NightRun:
    """The newest run of a day in Airflow; ``words`` says so, or why that is not known.

    ``open`` are tasks that are at work or look again later, ``failed`` those that failed. ``marks`` of people and the
    pause of the DAG are from the audit log, oldest first.
    """

    words: str
    run: Run | None = None
    paused: bool = False
    open: tuple[Task, ...] = ()
    failed: tuple[Task, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def unfinished(self) -> bool:
        """Return whether the run goes on."""
        return self.run is not None and self.run.state in UNFINISHED

    @property
    def waits(self) -> bool:
        """Return whether no task is at work, and one looks again later."""
        return bool(self.open) and all(task.state in LOOKS_AGAIN for task in self.open)

    @property
    def known(self) -> dict[str, Any]:
        """What ``RunFacts`` asks of Airflow."""
        return {"airflow": self.run.state if self.run else "", "paused": self.paused, "waits": self.waits}

    def mark_lines(self) -> tuple[str, ...]:
        """A line for each mark of a person: what, who, when."""
        return tuple(_line(mark) for mark in self.marks)


def ask_airflow(settings: Settings, dag: str, ds: date) -> NightRun:
    """What Airflow knows of the newest run of a day. Raises nothing: where it does not answer, ``words`` says so."""
    try:
        with login(settings) as client:
            return _asked(client, dag, ds)
    except PlatformError as error:
        return NightRun(f"not known ({error.what}); this page is from files alone")


def _asked(client: AirflowClient, dag: str, ds: date) -> NightRun:
    paused = client.has_dag(dag) and client.is_paused(dag)
    pauses = client.marks(dag)[-1:] if paused else []
    runs = client.day_runs(dag, ds)
    if not runs:
        return NightRun("there is no run of this day", None, paused, marks=tuple(pauses))
    run = runs[-1]
    unfinished = run.state in UNFINISHED
    return NightRun(
        f"the run is {run.state}",
        run,
        paused,
        tuple(client.open_tasks(dag, run.run_id) if unfinished else ()),
        tuple(client.failed_tasks(dag, run.run_id)),
        (*client.marks(dag, run.run_id), *(pauses if unfinished else ())),
    )


def waiting_line(pipeline: Pipeline, run: Run) -> str:
    """Since when a run waits for its files, and when it gives up, by the wait of its spec."""
    if not run.started:
        return ""
    since = datetime.fromisoformat(run.started)
    until = since + timedelta(seconds=seconds(pipeline.schedule.wait))
    return f"waiting since {since:%Y-%m-%d %H:%M} UTC, gives up at {until:%Y-%m-%d %H:%M} UTC"


def _line(mark: Mark) -> str:
    what = {"paused": "the DAG was paused", "unpaused": "the DAG was unpaused"}.get(mark.what)
    what = what or f"{mark.task or 'the run'} was {mark.what} by hand"
    return f"{what} by {mark.who or 'somebody'} at {mark.at[:19]}"
