"""The window on a proposal as the task runner calls it; the ledger and Airflow's record are stood in for."""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import yaml
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput
from fastapi import FastAPI, HTTPException
from sqlalchemy import create_engine, insert
from sqlalchemy.orm import Session

from nightshift import runs
from nightshift.actor import SERVICE
from nightshift.errors import PlatformError
from nightshift.orchestration import approval_endpoint
from nightshift.orchestration.context import job_of
from nightshift.orchestration.dag import build_dag
from nightshift.plan import make_plan
from nightshift.registry.entry import Entry, NewEntry, chained
from nightshift.registry.proposals import ENDS, Answer, Fate, proposals
from nightshift.settings import Settings
from tests.conftest import make_pipeline, spec_document
from tests.dags.conftest import context, execute

import_all_models()  # here, since croniter asks the machine by a process when it is imported

ASKS = {**spec_document()["promotion"], "approval": "required"}
RUN = "scheduled__2024-02-05"
EVENT = {
    "chosen_options": ["Approve"],
    "params_input": {"reason": "ticket 4711", "proposal": 1},
    "responded_at": datetime(2024, 2, 5, tzinfo=UTC),
    "responded_by_user": {"id": "ada", "name": "ada"},
    "timedout": False,
}


class Window:
    """What the ledger knows, what was asked of Airflow, and what was left for ``promote``."""

    def __init__(self, ordered_by: str = "") -> None:
        expires_at = datetime.now(UTC) + timedelta(days=1)
        details = {
            "champion_sha256": "", "history": False, "run_id": RUN, "ordered_by": ordered_by, "supersedes": None,
            "expires_at": expires_at.isoformat(),
        }  # fmt: skip
        new = NewEntry(
            "parcels", "proposal", "airflow", "rmse 2 is better", date(2024, 2, 5), None, "3", "abc", details
        )
        self.proposal = proposals([chained(new, "local", datetime.now(UTC), None)])[0]
        self.fate: Fate | None = Fate("open")
        self.asked: list[dict[str, Any]] = []
        self.left: list[tuple[int, Answer]] = []

    def waiting_for(self, job: Any) -> Any:
        return None if self.fate is None else (self.proposal, self.fate)


@pytest.fixture
def window(home: Path, monkeypatch: pytest.MonkeyPatch) -> Window:
    (home / "include" / "pipelines" / "parcels.yaml").write_text(yaml.safe_dump(spec_document(promotion=ASKS)))
    found = Window()
    monkeypatch.setattr("nightshift.training.approval.waiting_for", found.waiting_for)
    monkeypatch.setattr(
        "nightshift.training.approval.leave_answer", lambda _, seq, answer: found.left.append((seq, answer))
    )
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **asked: found.asked.append(asked)
    )
    monkeypatch.setattr("nightshift.tonight.waiting", lambda *_: None)
    return found


def task(name: str = "approval") -> Any:
    plan = make_plan(make_pipeline(promotion=ASKS))
    return build_dag(plan.retrain, Settings.from_env()).get_task(name).prepare_for_execution()


def given(run_type: str = "scheduled") -> Any:
    found = context(dag_id="parcels__retrain", run_id=RUN, run_type=run_type)
    found["ti"].id = "ti"
    found["task_instance"] = found["ti"]
    return found


def resumed(operator: Any, event: dict[str, Any]) -> Any:
    from airflow.sdk.bases.operator import ExecutorSafeguard

    token = ExecutorSafeguard.tracker.set(operator)
    try:
        return operator.execute_complete(given(), event)
    finally:
        ExecutorSafeguard.tracker.reset(token)


def test_where_nothing_is_proposed_the_window_is_skipped_and_the_decision_recorded(window: Window) -> None:
    window.fate = None
    with pytest.raises(AirflowSkipException, match="there is no proposal"):
        execute(task(), given("backfill"))
    assert window.asked == []
    assert task("promote").trigger_rule == "none_failed"


def test_the_window_shows_the_proposal_and_waits_until_it_expires(window: Window) -> None:
    with pytest.raises(TaskAwaitingInput) as parked:
        execute(task(), given())
    [asked] = window.asked
    assert "version 3 of parcels waits for approval" in asked["subject"]
    assert "nightshift approve parcels --proposal 1" in asked["subject"]
    assert "rmse 2 is better" in asked["body"]
    assert asked["options"] == ["Approve", "Reject"]
    assert asked["defaults"] is None
    assert asked["params"]["proposal"]["value"] == 1
    left = window.proposal.expires_at - datetime.now(UTC)
    assert left < parked.value.timeout < left + timedelta(minutes=1)
    assert window.left == []


@pytest.mark.parametrize("state", ["approved", "refused", "expired", "superseded"])
def test_what_is_over_is_not_asked(window: Window, state: Any) -> None:
    window.fate = Fate(state, "it is over")
    execute(task(), given())
    assert window.asked == []
    assert window.left == [(1, Answer("expire"))]
    assert runs.read_run(Settings.from_env(), "parcels__retrain", RUN)[-1]["message"] == "it is over"


def test_an_answer_is_left_for_promote(window: Window) -> None:
    resumed(task(), EVENT)
    [(seq, answer)] = window.left
    assert (seq, answer.choice, answer.by, answer.reason) == (1, "approve", "ada", "ticket 4711")
    assert (answer.dag_id, answer.run_id, answer.task_id) == ("parcels__retrain", RUN, "approval")


def test_nobodys_answer_is_an_expiry(window: Window) -> None:
    resumed(task(), {"error": "late", "error_type": "timeout"})
    assert [(answer.choice, answer.by) for _, answer in window.left] == [("expire", "")]


@pytest.mark.parametrize(
    ("ordered_by", "changes", "words"),
    [
        ("ada", {}, "ada ordered its run, and another person must approve it"),
        ("", {"responded_by_user": None}, "nobody had signed in who answered"),
        ("", {"params_input": {"reason": "", "proposal": 1}}, "ada gave no reason"),
        ("", {"params_input": {"reason": "why", "proposal": 9}}, "ada answered to another proposal than 1"),
    ],
)
def test_an_answer_that_cannot_count_is_told_and_the_window_opens_again(
    window: Window, ordered_by: str, changes: dict[str, Any], words: str
) -> None:
    window.proposal = Window(ordered_by).proposal
    with pytest.raises(TaskAwaitingInput):
        resumed(task(), {**EVENT, **changes})
    assert (window.left, len(window.asked)) == ([], 1)
    [said] = runs.read_run(Settings.from_env(), "parcels__retrain", RUN)
    assert words in said["warnings"][0]


def test_what_is_approved_under_a_freeze_waits_for_its_end(window: Window) -> None:
    window.fate = Fate("held", "promotions are frozen by ann in entry 2 (audit)")
    with pytest.raises(TaskAwaitingInput):
        resumed(task(), EVENT)
    assert (window.left, len(window.asked)) == ([], 1)
    [said] = runs.read_run(Settings.from_env(), "parcels__retrain", RUN)
    assert "frozen by ann in entry 2 (audit); ada may approve it once they are not" in said["warnings"][0]
    resumed(task(), {**EVENT, "chosen_options": ["Reject"]})
    assert window.left[0][1].choice == "reject"


def test_who_ordered_it_may_reject_it(window: Window) -> None:
    window.proposal = Window("ada").proposal
    resumed(task(), {**EVENT, "chosen_options": ["Reject"]})
    assert window.left[0][1].choice == "reject"


def test_only_a_run_of_the_schedule_or_by_hand_can_ask(window: Window) -> None:
    assert job_of(given(), "parcels").ordered_by == ""
    by_hand = given("manual")
    by_hand["dag_run"].conf = {"business_date": "2024-02-05"}
    assert job_of(by_hand, "parcels").ordered_by == "ada"
    by_hand["dag_run"].triggering_user_name = None
    assert job_of(by_hand, "parcels").ordered_by == "airflow", "which nobody can be another person than"
    assert job_of(given("backfill"), "parcels").ordered_by is None


# ---- the API server's part

DAG = "parcels__retrain"


class Server:
    """The ledger as the API server sees it, and the approvals that it was asked to record."""

    def __init__(self, proposal: Entry) -> None:
        self.entries = [proposal]
        self.approved: list[tuple[int, str]] = []

    def approve(self, _ledger: Any, _spec: Any, seq: int, answer: Answer) -> Entry:
        self.approved.append((seq, answer.by))
        return self.entries[0]


@pytest.fixture
def server(window: Window, monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server(window.proposal.entry)
    ledger = SimpleNamespace(of=lambda _: SimpleNamespace(entries=lambda _: found.entries), of_people=lambda _: None)
    monkeypatch.setattr(approval_endpoint, "Ledger", ledger)
    monkeypatch.setattr(approval_endpoint, "approve", found.approve)
    monkeypatch.setattr("nightshift.tonight.update", lambda *_: None)
    return found


def nobody(_: Collection[str]) -> set[str]:
    """Both runs are of the schedule."""
    return set()


@pytest.mark.parametrize("run", [RUN, "manual__2024-02-06"])
def test_a_person_approves_in_the_window_of_any_run_that_waits_for_the_proposal(server: Server, run: str) -> None:
    """A run that comes to the model of another one's proposal has none of its own, and waits for that."""
    assert approval_endpoint.recorded(Settings.from_env(), DAG, run, EVENT, nobody) is not None
    assert server.approved == [(1, "ada")]


@pytest.mark.parametrize(
    ("dag", "changes"),
    [
        ("parcels", {}),
        ("letters__retrain", {}),
        (DAG, {"responded_by_user": None}),
        (DAG, {"chosen_options": ["Reject"]}),
        (DAG, {"params_input": {"reason": "why", "proposal": 9}}),
        (DAG, {"params_input": {"reason": "why", "proposal": True}}),
        (DAG, {"params_input": {"proposal": 1}}),
    ],
)
def test_what_approves_nothing_is_not_taken_to_the_ledger(server: Server, dag: str, changes: dict[str, Any]) -> None:
    assert approval_endpoint.recorded(Settings.from_env(), dag, RUN, {**EVENT, **changes}, nobody) is None
    assert server.approved == []


def test_of_a_proposal_that_is_ended_nobody_waits_for_the_ledgers_lock(server: Server) -> None:
    """The address asks for no login: whoever calls it again and again must not hold up the appends of others."""
    end = NewEntry("parcels", "refusal", "ben", "rejected by ben: no", date(2024, 2, 5), details={ENDS: 1})
    server.entries.append(chained(end, "local", datetime.now(UTC), server.entries[0]))
    assert approval_endpoint.recorded(Settings.from_env(), DAG, RUN, EVENT, nobody) is None
    assert server.approved == []


def test_the_servers_log_says_why_an_approval_is_not_recorded(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any) -> None:
        raise PlatformError("the database went away", where="ledger")

    monkeypatch.setattr(approval_endpoint, "record_of", lambda *_: EVENT)
    monkeypatch.setattr(approval_endpoint, "orderers", lambda *_: set())
    monkeypatch.setattr(approval_endpoint, "approve", away)
    app = FastAPI()
    approval_endpoint.add_approvals(app, Settings.from_env())
    [route] = [route for route in app.routes if "/approvals/" in getattr(route, "path", "")]
    with pytest.raises(HTTPException, match="the log says why"):
        route.endpoint(DAG, RUN, None)  # type: ignore[attr-defined]
    assert "the database went away" in caplog.text
    assert RUN in caplog.text


@pytest.mark.parametrize(("state", "counts"), [("success", True), (None, False), ("running", False)])
def test_an_answer_counts_once_the_task_has_taken_it(state: str | None, counts: bool) -> None:
    """Airflow keeps the answer of a window that was cleared: somebody wanted it to be asked again."""
    engine, id_ = create_engine("sqlite://"), uuid4()
    Base.metadata.create_all(engine)
    task = {"task_id": "approval", "dag_id": DAG, "run_id": RUN, "map_index": -1, "state": state, "id": id_}
    rest = {"pool": "default_pool", "pool_slots": 1, "try_number": 1, "max_tries": 1}
    asked = {"ti_id": id_, "options": ["Approve"], "subject": "version 3", "params": {}}
    asked |= {name: EVENT[name] for name in ("chosen_options", "params_input", "responded_at")}
    with Session(engine) as session:
        session.execute(insert(TaskInstance.__table__).values(**task, **rest))
        session.execute(insert(HITLDetail.__table__).values(**asked, responded_by=EVENT["responded_by_user"]))
        found = approval_endpoint.record_of(session, DAG, RUN)
        assert (found or {}).get("responded_by_user") == (EVENT["responded_by_user"] if counts else None)
        assert approval_endpoint.record_of(session, DAG, "another") is None


def test_who_ordered_by_airflows_record_does_not_approve(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The proposal says that the schedule did, and the tasks' role wrote that."""
    for login, why in (("Ada", "another person must approve it"), (SERVICE, "it is not known who ordered its run")):
        assert approval_endpoint.recorded(Settings.from_env(), DAG, RUN, EVENT, lambda _, by=login: {by}) is None
        assert why in caplog.text
    assert server.approved == []


@pytest.mark.parametrize(
    ("run_type", "way", "login", "wanted"),
    [
        ("scheduled", "TIMETABLE", None, set()),
        ("manual", "UI", "ada", {"ada"}),
        ("manual", "REST_API", "ada", {"ada"}),
        ("manual", "CLI", "eve", {SERVICE}),
        ("manual", "UI", None, {SERVICE}),
        ("backfill", "BACKFILL", "ada", {SERVICE}),
    ],
)
def test_who_ordered_a_run_is_known_where_somebody_signed_in(
    run_type: str, way: str, login: str | None, wanted: set[str]
) -> None:
    """By Airflow's own tables: a shell's `airflow dags trigger` writes whatever name its environment has."""
    engine, now = create_engine("sqlite://"), datetime(2024, 2, 5, tzinfo=UTC)
    Base.metadata.create_all(engine)
    rest = {"run_after": now, "state": "running", "clear_number": 0, "queued_at": now}
    with Session(engine) as session:
        row = {"dag_id": DAG, "run_id": RUN, "run_type": run_type, "triggered_by": way, "triggering_user_name": login}
        session.execute(insert(DagRun.__table__).values(**row, **rest))
        assert approval_endpoint.orderers(session, DAG, {RUN}) == wanted
        assert approval_endpoint.orderers(session, DAG, {RUN, "gone"}) == {*wanted, SERVICE}
