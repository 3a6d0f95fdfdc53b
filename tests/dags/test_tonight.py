"""The page Tonight, and the notes of runs, on Airflow's own tables."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, insert
from sqlalchemy.orm import Session

from nightshift import storage, tonight
from nightshift.orchestration import notes, pages
from nightshift.orchestration.notes import LONGEST, MARK, noted
from nightshift.orchestration.tonight import Live, line, look
from nightshift.run_facts import RunFacts
from nightshift.run_state import RunState
from nightshift.settings import Settings
from nightshift.tonight import News, Summary

NOW = datetime(2024, 2, 10, 9, tzinfo=UTC)
WAITING = "the file parcels/orders/ds=2024-02-10 has not landed <yet>"


def news(run_id: str = "a", waits_for: str = "", headline: str = "977 rows scored", **facts: Any) -> News:
    return News("2024-02-10", run_id, "", headline, RunFacts(**facts), waits_for, "2024-02-10T07:00:00+00:00")


def told(live: Live, night: News | None = None, **more: Any) -> Any:
    summary = Summary("parcels", "2024-02-10T08:00:00+00:00", night, published="2024-02-09", **more)
    return line("parcels", {"parcels": live}, summary, NOW)


class TestLine:
    run = Live("logistics", run_id="a", day="2024-02-10", since=datetime(2024, 2, 10, 7, tzinfo=UTC))

    def test_a_night_that_went_well(self) -> None:
        found = told(
            replace(self.run, state="success"), news(ended=True, published=True), reigns=(("2024-02-01", "3"),)
        )
        assert (found.state, found.what, found.next) == (RunState.OK, ("977 rows scored",), "")
        assert (found.readers, found.champion, found.owner, found.told) == ("2024-02-09", "3", "logistics", "1 h ago")

    def test_one_that_waits_says_for_what_since_when(self) -> None:
        found = told(replace(self.run, state="running", waits=True), news(waits_for=WAITING))
        assert (found.state, found.what) == (RunState.WAITING, (f"{WAITING} (since 2024-02-10 07:00 UTC)",))
        assert found.next == "nightshift diagnose parcels --ds 2024-02-10"

    def test_what_airflow_knows_is_newer_than_the_summary(self) -> None:
        """A run that began, or died, without a word since."""
        assert told(replace(self.run, state="running"), news(waits_for=WAITING)).state == RunState.RUNNING
        assert told(replace(self.run, state="failed"), news(ended=True, published=True)).state == RunState.FAILED
        other = told(replace(self.run, run_id="b", state="success"), news(ended=True, published=True))
        assert (other.state, other.what) == (RunState.OK_WITH_WARNINGS, ("its run has left no summary",))

    def test_paused_is_said_of_a_night_that_went_well_and_a_failure_is_not_hidden(self) -> None:
        paused = replace(self.run, paused=True, state="success")
        found = told(paused, news(ended=True, published=True))
        assert (found.state, found.next) == (RunState.PAUSED, "airflow dags unpause parcels")
        assert told(replace(paused, state="failed"), news()).state == RunState.FAILED

    def test_one_without_a_run(self) -> None:
        found = line("parcels", {"parcels": Live("logistics")}, None, NOW)
        assert (found.state, found.what, found.told) == (RunState.WAITING, ("for its first run",), "no summary")

    def test_who_scores_later_is_named(self) -> None:
        found = told(self.run, None, reigns=(("2024-02-01", "3"), ("2024-02-11", "4")))
        assert found.champion == "3, 4 from 2024-02-11"

    def test_a_failed_retrain_and_failures_of_the_past_are_named(self) -> None:
        live = {
            "parcels": replace(self.run, state="success", failed_lately=2),
            "parcels__retrain": Live(run_id="r", day="2024-02-09", state="failed"),
        }
        found = line("parcels", live, None, NOW)
        assert found.what[1:] == (
            "2 runs of other days failed in the last 24 hours: see their notes",
            "the retrain as of 2024-02-09 failed: nightshift diagnose parcels --ds 2024-02-09 --retrain",
        )


@pytest.fixture
def session() -> Iterator[Session]:
    """Airflow's tables, empty, in memory."""
    import_all_models()
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as opened:
        yield opened


def add(session: Session, dag: str, day: int, state: str) -> None:
    """A DAG, if it is new, and a run of it."""
    if not session.get(DagModel, dag):
        session.add(DagModel(dag_id=dag, owners="logistics", is_paused=False, is_stale=False, bundle_name="d"))
    at = datetime(2024, 2, day, tzinfo=UTC)
    run = {"dag_id": dag, "run_id": f"run-{day}", "logical_date": at, "run_after": at, "state": state, "end_date": NOW}
    more = {"run_type": "scheduled", "start_date": at, "conf": {}, "clear_number": 0, "log_template_id": 1}
    session.execute(insert(DagRun).values(**run, **more))


def add_by_hand(session: Session, moment: datetime, state: str, business_date: str = "") -> None:
    """A run of parcels that a person triggered at a moment; the form puts it into the logical date."""
    run = {"dag_id": "parcels", "run_id": f"manual-{moment}", "logical_date": moment, "run_after": moment}
    conf = {"business_date": business_date} if business_date else {}
    rest = {"state": state, "conf": conf, "queued_at": moment, "clear_number": 0, "log_template_id": 1}
    session.execute(insert(DagRun).values(**run, run_type="manual", **rest))


@pytest.mark.parametrize(
    ("ordered", "day", "state"),
    [("2024-02-09", "2024-02-09", "success"), ("2024-02-03", "2024-02-09", "failed"), ("", "2024-02-09", "failed")],
)
def test_a_run_by_hand_is_of_the_day_that_was_ordered(session: Session, ordered: str, day: str, state: str) -> None:
    """Not of its logical date: one of last week would hide tonight, one that repaired tonight would be unseen."""
    add(session, "parcels", 8, "success")
    add(session, "parcels", 9, "failed")
    add_by_hand(session, NOW, "success", ordered)
    found = look(session, ["parcels"], NOW + timedelta(hours=1))["parcels"]
    assert (found.day, found.state) == (day, state)


def add_task(session: Session, task: str, day: int, state: str, minutes: int = 0) -> None:
    """A task of a run of parcels that ended so many minutes after ``NOW``."""
    values = {"task_id": task, "dag_id": "parcels", "run_id": f"run-{day}", "map_index": -1, "state": state}
    rest = {"id": uuid4(), "pool": "default_pool", "pool_slots": 1, "try_number": 1, "max_tries": 1}
    ended = NOW + timedelta(minutes=minutes)
    session.execute(insert(TaskInstance.__table__).values(**values, **rest, end_date=ended))


def test_it_is_as_many_questions_for_five_hundred_pipelines_as_for_one(
    session: Session, settings: Settings, tmp_path: Any
) -> None:
    home = replace(settings, home=tmp_path)
    home.pipelines.mkdir(parents=True)
    asked: list[str] = []
    event.listen(session.bind, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    add(session, "p000", 10, "success")
    (home.pipelines / "p000.yaml").touch()
    asked.clear()
    pages.render_tonight(home, {"p000"}, session)
    one = len(asked)
    for number in range(1, 500):
        (home.pipelines / f"p{number:03}.yaml").touch()
        add(session, f"p{number:03}", 10, "failed" if number == 7 else "success")
    asked.clear()
    page = pages.render_tonight(home, {f"p{number:03}" for number in range(500)}, session)
    assert len(asked) == one == 4
    assert page.count("<tr><td>") == 500
    assert page.index("p007") < page.index("p000")  # who needs somebody comes first


def test_only_what_the_reader_may_see_is_shown_and_nothing_is_markup(
    session: Session, settings: Settings, tmp_path: Any
) -> None:
    home = replace(settings, home=tmp_path)
    home.pipelines.mkdir(parents=True)
    for name in ("parcels", "letters"):
        (home.pipelines / f"{name}.yaml").touch()
        add(session, name, 9, "failed")
        add(session, name, 10, "running")
    add(session, "parcels__retrain", 9, "failed")
    add_task(session, "inputs_landed", 10, "up_for_reschedule")
    add_task(session, "inputs_landed", 9, "running")
    document = Summary("parcels", "2024-02-10T08:00:00+00:00", news("run-10", WAITING)).document()
    storage.write_json(f"{home.reports}/_tonight/parcels.json", {**document, "digest": tonight._digest(document)})

    live = look(session, ["parcels"], NOW)["parcels"]
    assert (live.run_id, live.state, live.waits, live.failed_lately) == ("run-10", "running", True, 1)
    page = pages.render_tonight(home, {"parcels"}, session)
    assert "has not landed &lt;yet&gt; (since 2024-02-10 07:00 UTC)" in page
    assert 'class="state waiting">WAITING' in page
    assert '<a href="/nightshift/runs/parcels/run-10">parcels</a>' in page
    assert '<a href="/nightshift/pipelines/parcels">nobody</a>' in page
    assert "letters" not in page
    assert "retrain" not in page
    assert "the retrain as of 2024-02-09 failed" in pages.render_tonight(home, {"parcels", "parcels__retrain"}, session)
    assert "no pipeline to show" in pages.render_tonight(home, set(), session)


class TestNotes:
    @given(st.text(max_size=LONGEST), st.text(), st.text(min_size=1))
    def test_what_a_person_wrote_stays(self, note: str, first: str, second: str) -> None:
        once = noted(note, first)
        own = [item for item in note.splitlines() if not item.startswith(MARK)]
        assert once.splitlines()[: len(own)] == own
        assert len(once) <= max(LONGEST, len(note))
        assert noted(once, second) == noted(note, second)  # what was said before is not kept
        assert "\0" not in noted("", second)

    def test_it_is_one_line_after_that(self) -> None:
        assert noted(None, "OK:  977 rows\nscored") == "Nightshift: OK: 977 rows scored"
        assert noted("vendor asked\nNightshift: FAILED", "OK") == "vendor asked\nNightshift: OK"

    def test_a_run_that_failed_names_the_first_task_and_the_command(
        self, session: Session, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "include" / "pipelines").mkdir(parents=True)
        (tmp_path / "include" / "pipelines" / "parcels.yaml").touch()
        monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
        add(session, "parcels", 10, "failed")
        add(session, "others", 10, "failed")
        add_task(session, "gate_labels", 10, "failed", 9)
        add_task(session, "gate_features", 10, "failed", 5)
        for run in session.query(DagRun):
            notes.on_dag_run_failed(run, "task_failure")
        session.commit()
        session.expire_all()
        said = {run.dag_id: run.note for run in session.query(DagRun)}
        assert said == {
            "parcels": "Nightshift: FAILED in gate_features, gate_labels; nightshift diagnose parcels --ds 2024-02-10",
            "others": None,
        }
