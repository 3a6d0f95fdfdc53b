"""One look at everything that people are told of: runs that ended, nights that are late, specs, the ledger."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from nightshift import tables
from nightshift.database import lock_unless_held
from nightshift.errors import LedgerCorrupt, NightshiftError, SpecError, foreseen
from nightshift.inputs.needs import inside
from nightshift.job import table_uri
from nightshift.notices.asked import waiting
from nightshift.notices.channels import Channels
from nightshift.notices.ended import EndedRun, trouble_of
from nightshift.notices.record import OPEN, Record
from nightshift.notices.tell import tell
from nightshift.notices.trouble import Trouble, first_line
from nightshift.plan import pipeline_of
from nightshift.platform.airflow_client import AirflowClient, Run, login
from nightshift.platform.alerts import firing
from nightshift.platform.late import Nights
from nightshift.registry.ledger import Ledger
from nightshift.run_facts import UNFINISHED
from nightshift.run_state import RunState
from nightshift.runs import pipeline_path, read_run, run_address
from nightshift.settings import Settings
from nightshift.specs.load import load_all, spec_files
from nightshift.specs.model import Pipeline

# What a first look reads again, for runs that go on; of what it finds ended people were told, or are told once.
_BACK = timedelta(days=2)
# Airflow writes down a change a moment before others see it.
_OVERLAP = timedelta(minutes=2)
_VERIFIED_AGAIN = timedelta(minutes=10)


@dataclass
class Watch:
    """What one watcher knows from look to look."""

    settings: Settings
    _client: AirflowClient | None = None
    _nights: Nights = field(init=False)
    _seen: datetime | None = None
    # The newest word on a run of a day: its trouble, None where it is well, and whether it has ended.
    _latest: dict[tuple[str, str], tuple[Trouble | None, bool]] = field(default_factory=dict)
    _loaded: tuple[tuple[tuple[Path, int], ...], tuple[list[Pipeline], list[SpecError]]] | None = None
    _verified: datetime | None = None
    _ledger: Trouble | None = None
    _away: bool = False

    def __post_init__(self) -> None:
        self._nights = Nights(self.settings)

    def look(self, channels: Channels, now: datetime | None = None) -> list[str]:
        """Look at everything, and tell; return what could not be seen or said. Raises NightshiftError alone."""
        now = now or datetime.now(UTC)
        with foreseen("watcher"), _alone(self.settings) as alone:
            if not alone:  # another one looks, and tells
                return []
            record = Record(self.settings)
            began = record.began()
            specs, broken = self._specs()
            pipelines = {spec.name: spec for spec in specs}
            problems = list(self._sign_in())
            problems += self._see_runs(pipelines, began, now)
            self._forget(now - OPEN)
            troubles = [trouble for trouble, _ in self._latest.values() if trouble]
            invalid = {_name(error): _invalid(error) for error in broken}
            troubles += invalid.values()
            for pipeline in specs:
                if channels.hear(("late",), pipeline):
                    troubles += self._see_nights(pipeline, began, now, problems)
                if pipeline.promotion.needs_person and channels.hear(("approval",), pipeline):
                    troubles += self._see_proposal(pipeline, now, problems)
            self._see_ledger(now)
            troubles += [self._ledger] if self._ledger else []
            alerts, unseen = self._see_alerts()
            troubles, problems = troubles + alerts, problems + unseen

            def is_over(trouble: Trouble) -> bool:
                if "alert" in trouble.events:
                    return not unseen
                if "ledger trouble" not in trouble.events and (trouble.pipeline or trouble.dag) in invalid:
                    return False
                try:
                    return self._is_over(trouble, pipelines.get(trouble.pipeline))
                except NightshiftError as error:  # not known, so not over
                    problems.append(str(error))
                    return False

            return problems + tell(record, channels, pipelines, troubles, is_over)

    def _specs(self) -> tuple[list[Pipeline], list[SpecError]]:
        """The specs, read again once one of their files has changed: many of them take seconds."""
        files = [*spec_files(self.settings), *sorted(self.settings.feature_modules.glob("*.py"))]
        found = tuple((path, path.stat().st_mtime_ns) for path in files)
        if self._loaded is None or self._loaded[0] != found:
            self._loaded = found, load_all(self.settings)
        return self._loaded[1]

    def _sign_in(self) -> Iterator[str]:
        try:
            self._client = self._client or login(self.settings, patient=False)
        except NightshiftError as error:
            yield str(error)
        self._nights.airflow = self._client

    def _see_runs(self, pipelines: Mapping[str, Pipeline], began: datetime, now: datetime) -> Iterator[str]:
        """Take in what has changed of runs since the last look."""
        if self._client is None:
            return
        since = now - _BACK if self._seen is None else self._seen - _OVERLAP
        try:
            for run in self._client.changed_runs(since):
                if pipeline := pipelines.get(pipeline_of(run.dag_id)):
                    self._see_run(self._client, pipeline, run, began)
            self._seen = now
        except NightshiftError as error:
            self._client = self._nights.airflow = None
            yield str(error)

    def _forget(self, before: datetime) -> None:
        """Let go of runs that ended long ago: what is open of them is closed, and not to be told again."""
        for key, run in list(self._nights.runs.items()):
            if run.ended and datetime.fromisoformat(run.ended) < before:
                del self._nights.runs[key]
                self._latest.pop(key, None)

    def _see_run(self, client: AirflowClient, pipeline: Pipeline, run: Run, began: datetime) -> None:
        if run.state in UNFINISHED or not run.ended:
            self._nights.runs[run.dag_id, run.ds] = run
            self._latest[run.dag_id, run.ds] = (None, False)
            return
        said = read_run(self.settings, run.dag_id, run.run_id)
        ds = run.ds if _day(run.ds) else str(next((step["ds"] for step in said), ""))
        self._nights.runs[run.dag_id, ds] = run
        trouble = None
        if datetime.fromisoformat(run.ended) >= began:
            trouble = trouble_of(pipeline, self._ended(client, pipeline, run, ds, said))
        self._latest[run.dag_id, ds] = (trouble, True)

    def _ended(
        self, client: AirflowClient, pipeline: Pipeline, run: Run, ds: str, said: list[dict[str, object]]
    ) -> EndedRun:
        tasks = client.failed_tasks(run.dag_id, run.run_id) if run.state == "failed" else []
        day, published, damage = _day(ds), None, ""
        outside = day is not None and not inside(pipeline, day)
        if run.dag_id == pipeline.name and day is not None and not outside:
            state = tables.state(table_uri(self.settings, pipeline, "predictions"))
            published, damage = ds in state.partitions, state.damage(ds)
        return EndedRun(
            dag=run.dag_id,
            ds=ds,
            airflow=run.state,
            by_schedule=run.run_type == "scheduled",
            said=said,
            tasks=list(dict.fromkeys(task.task for task in sorted(tasks, key=lambda item: item.ended))),
            published=published,
            damaged=bool(damage),
            outside=outside and run.dag_id == pipeline.name,
            link=run_address(self.settings, run.dag_id, run.run_id),
        )

    def _see_nights(self, pipeline: Pipeline, began: datetime, now: datetime, problems: list[str]) -> Iterator[Trouble]:
        try:
            with foreseen(pipeline.name):
                yield from self._nights.troubles(pipeline, began, now)
        except NightshiftError as error:
            problems.append(str(error))

    def _see_proposal(self, pipeline: Pipeline, now: datetime, problems: list[str]) -> Iterator[Trouble]:
        try:
            with foreseen(pipeline.name):
                if trouble := self._waiting(pipeline, now):
                    yield trouble
        except NightshiftError as error:
            problems.append(str(error))

    def _waiting(self, pipeline: Pipeline, now: datetime) -> Trouble | None:
        entries = Ledger.of(self.settings).entries(pipeline.name)
        return waiting(pipeline, entries, now, self.settings.airflow_address + pipeline_path(pipeline.name))

    def _see_alerts(self) -> tuple[list[Trouble], list[str]]:
        try:
            return firing(self.settings), []
        except NightshiftError as error:
            return [], [str(error)]

    def _see_ledger(self, now: datetime) -> None:
        """Ask the ledger at every look, and verify it now and then; that it is away counts from the second time."""
        ledger = (
            Ledger.of(self.settings) if self.settings.database_file.exists() or self.settings.database_url else None
        )
        if ledger is None:
            return
        try:
            ledger.head()
            self._away = False
            if self._verified and now - self._verified < _VERIFIED_AGAIN:
                return
            ledger.verify()
            self._verified = now
            future = ledger.of_the_future()
            words = f"{len(future)} entries of the ledger are of the future" if future else ""
            self._ledger = _of_ledger(words, "nightshift ledger verify") if words else None
        except LedgerCorrupt as error:
            self._ledger = _of_ledger(str(error), "nightshift ledger verify")
        except NightshiftError as error:
            self._ledger = _of_ledger(str(error), "nightshift status") if self._away else self._ledger
            self._away, self._verified = True, None

    def _is_over(self, trouble: Trouble, pipeline: Pipeline | None) -> bool:
        if "ledger trouble" in trouble.events:
            return self._ledger is None and not self._away
        if pipeline is None:
            return True
        if "approval" in trouble.events:
            found = self._waiting(pipeline, datetime.now(UTC))
            return found is None or found.fault != trouble.fault
        if "late" in trouble.events:
            ds = date.fromisoformat(trouble.ds)
            landed = trouble.stage == "has not landed" and not self._nights.lacks(pipeline, ds)
            return landed or self._nights.delivered(pipeline, ds)
        if (trouble.dag, trouble.ds) not in self._latest:
            self._ask_again(trouble, pipeline)
        found, ended = self._latest.get((trouble.dag, trouble.ds), (None, False))
        # A failure is over, too, where the night then ended with warnings.
        return ended and (found is None or found.state != trouble.state == RunState.FAILED)

    def _ask_again(self, trouble: Trouble, pipeline: Pipeline) -> None:
        """Take in a run that has not changed for long."""
        if self._client and (ds := _day(trouble.ds)):
            for run in self._client.day_runs(trouble.dag, ds)[-1:]:
                self._see_run(self._client, pipeline, run, datetime.min.replace(tzinfo=UTC))


@contextmanager
def _alone(settings: Settings) -> Iterator[bool]:
    """Hold the lock of who tells; without a database there is none, and what was said is kept in files."""
    with ExitStack() as held:
        try:
            alone = held.enter_context(lock_unless_held(settings, "notices"))
        except NightshiftError:
            alone = True
        yield alone


def _of_ledger(cause: str, command: str) -> Trouble:
    return Trouble(
        ("ledger trouble",), RunState.FAILED, "", "", "", first_line(cause), command, alike=f"ledger: {command}"
    )


def _invalid(error: NightshiftError) -> Trouble:
    cause = f"a spec is not valid, its pipeline has no DAGs: {error.where}"
    return Trouble(("FAILED",), RunState.FAILED, "", _name(error), "", cause, "nightshift check", alike=error.where)


def _name(error: NightshiftError) -> str:
    return error.where.rpartition("/")[2].partition(".")[0]


def _day(ds: str) -> date | None:
    try:
        return date.fromisoformat(ds)
    except ValueError:
        return None
