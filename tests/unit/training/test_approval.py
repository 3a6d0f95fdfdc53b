"""Retrains whose promotion a person decides: real Postgres, real MLflow server; the window is stood in for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from nightshift.errors import NightshiftError, PlatformError
from nightshift.job import Job, Outcome
from nightshift.registry import mlflow
from nightshift.registry.alias import DECISION
from nightshift.registry.conclusion import approve, refuse
from nightshift.registry.entry import NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.registry.proposals import Answer
from nightshift.run_facts import WINDOW
from nightshift.specs.calendar import current_ds
from nightshift.specs.calendar import days as days_between
from nightshift.training import run
from nightshift.training.approval import leave_answer, waiting_for
from nightshift.training.evidence import Evidence
from nightshift.training.run import promote
from tests.conftest import spec_document
from tests.unit.training.lake import publish, with_spec
from tests.unit.training.test_run import STEPS, again, ledger, retrain

__all__ = ["retrain"]  # a fixture

YES = Answer("approve", "ada", "ada", "ticket 4711")


@pytest.fixture
def asking(retrain: Job) -> Job:
    """A scheduled retrain as of the current day, of a spec that wants approval, with all days published."""
    today = current_ds(retrain.pipeline.schedule, datetime.now(UTC))
    start = (today - timedelta(days=20)).isoformat()
    changes = {
        "schedule": {**spec_document()["schedule"], "start": start, "end": None},
        "promotion": {**spec_document()["promotion"], "approval": "required"},
    }
    job = again(with_spec(replace(retrain, ds=today), **changes), ordered_by="", actor="airflow")
    publish(job, [day.isoformat() for day in days_between(today - timedelta(days=20), today)])
    return job


def until_decided(job: Job) -> Outcome:
    for step in STEPS[:-1]:
        outcome = step(job)
    return outcome


def answer(job: Job, given: Answer = YES) -> Outcome:
    """What the API server records of an approval is recorded here, by the same use case."""
    found = waiting_for(job)
    assert found is not None
    leave_answer(job, found[0].seq, given)
    if given.choice == "approve":
        approve(Ledger.of_people(job.settings), job.pipeline, found[0].seq, given)
    return promote(job)


def kinds(job: Job) -> list[str]:
    return [entry.kind for entry in ledger(job)]


def test_what_the_rule_would_promote_is_proposed_and_an_approval_promotes_it(asking: Job) -> None:
    said = until_decided(asking)
    [proposal] = ledger(asking)
    assert (proposal.kind, proposal.effective_from, proposal.version) == ("proposal", None, "1")
    assert "is proposed in entry 1 of the ledger" in said.message
    assert proposal.details["holdout"]["challenger"]
    with mlflow._talking(asking.settings) as client:
        tags = client.get_model_version(mlflow.registered_name(asking.settings, "parcels"), "1").tags
    assert tags[DECISION] == "proposal"

    said = answer(asking)

    entry = ledger(asking)[1]
    assert (entry.kind, entry.actor, entry.effective_from) == ("approval", "ada", asking.ds + timedelta(days=1))
    assert said.message.startswith("entry 2 of the ledger stands: version 1 is champion from")
    assert promote(asking).status == "up_to_date"
    assert kinds(asking) == ["proposal", "approval"]


def test_clearing_asks_about_the_same_proposal(asking: Job) -> None:
    until_decided(asking)
    run.decide(asking)
    assert kinds(asking) == ["proposal"]
    answer(asking, Answer("reject", "ada", "ada", "a strike"))
    run.decide(asking)
    assert waiting_for(asking) is None
    promote(asking)
    assert kinds(asking) == ["proposal", "refusal", "rerun"]


def test_a_window_that_somebody_marked_as_done_promotes_nothing(asking: Job) -> None:
    until_decided(asking)
    with pytest.raises(NightshiftError, match="step approval of run"):
        promote(asking)
    leave_answer(asking, 99, YES)
    with pytest.raises(NightshiftError, match="the answer that is there is to proposal 99, not to 1"):
        promote(asking)
    assert kinds(asking) == ["proposal"]


def test_an_approval_that_a_task_made_up_promotes_nothing(asking: Job) -> None:
    """A feature module can leave any answer, and reach the ledger as the tasks' role."""
    until_decided(asking)
    leave_answer(asking, 1, YES)
    asking = replace(asking, settings=replace(asking.settings, airflow_url="http://127.0.0.1:9"))
    with pytest.raises(PlatformError, match="did not record the approval"):
        promote(asking)
    assert refuse(Ledger.of(asking.settings), asking.pipeline, 1, YES) is None
    forged = NewEntry("parcels", "approval", "ada", "yes", asking.ds, asking.ds + timedelta(days=1), "1", "5" * 64)
    with pytest.raises(PlatformError, match="of people"):
        Ledger.of(asking.settings).append(forged)
    assert kinds(asking) == ["proposal"]


@pytest.mark.parametrize("changes", [{"backfill": True, "ordered_by": None}, {"ordered_by": None}])
def test_a_run_that_cannot_ask_promotes_nothing_live(asking: Job, changes: dict[str, object]) -> None:
    job = again(asking, **changes)
    until_decided(job)
    assert waiting_for(job) is None
    promote(job)
    [entry] = ledger(job)
    assert entry.kind == "refusal"
    assert entry.reason.startswith("a person must approve, whom no backfill")


def test_history_of_a_backfill_goes_by_the_rule(asking: Job) -> None:
    job = again(asking, days=-2, backfill=True, ordered_by=None)
    until_decided(job)
    promote(job)
    assert kinds(job) == ["promotion"]


def test_a_frozen_pipeline_asks_nobody(asking: Job) -> None:
    Ledger.of_people(asking.settings).append(NewEntry("parcels", "freeze", "ann", "audit"))
    until_decided(asking)
    assert waiting_for(asking) is None
    promote(asking)
    assert kinds(asking) == ["freeze", "refusal"]
    assert ledger(asking)[1].reason.startswith("frozen by ann")


def test_a_newer_proposal_supersedes_only_what_the_rule_does_not_prefer(asking: Job) -> None:
    """The older one learnt from less; what learnt as much and is no better stays a refusal."""
    asking = with_spec(
        asking,
        schedule=asking.pipeline.schedule.model_dump(mode="json"),
        promotion={**spec_document()["promotion"], "approval": "required", "improvement": 0.0},
        training={**spec_document()["training"], "rounds": 2},
    )
    first = again(asking, days=-1)
    until_decided(first)
    better = again(with_spec(
        asking,
        schedule=asking.pipeline.schedule.model_dump(mode="json"),
        promotion={**spec_document()["promotion"], "approval": "required"},
        training={**spec_document()["training"], "rounds": 40},
    ))  # fmt: skip
    until_decided(better)
    assert kinds(first) == ["proposal", "proposal"]
    assert ledger(first)[1].details["supersedes"] == 1

    worse = again(asking, ordered_by="ben")
    said = until_decided(worse)
    assert "proposal 2 of version 2 waits, and the rule does not prefer this one" in said.message
    assert kinds(first) == ["proposal", "proposal"]

    answer(first)
    assert ledger(first)[2].reason.startswith("superseded: the rule prefers version 2, proposal 2; ada had approved it")
    answer(better)
    assert ledger(first)[3].kind == "approval"


def test_a_champion_that_changes_between_comparison_and_proposal_is_compared_again(
    asking: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in STEPS[:-2]:
        step(asking)
    compared = run.gather
    day = asking.ds + timedelta(days=1)
    news = iter([NewEntry("parcels", "override", "ann", "", None, day, "7", "7" * 64)])

    def and_then_another(*arguments: object) -> Evidence:
        found = compared(*arguments)  # type: ignore[arg-type]
        if new := next(news, None):
            Ledger.of_people(asking.settings).append(new)
        return found

    monkeypatch.setattr(run, "gather", and_then_another)
    run.decide(asking)
    assert kinds(asking) == ["override", "proposal"]
    assert ledger(asking)[1].details["champion_sha256"] == "7" * 64


def test_the_answers_document_is_the_steps(asking: Job) -> None:
    until_decided(asking)
    leave_answer(asking, 1, YES)
    assert asking.left(WINDOW) == {"proposal": 1, "answer": YES.document()}
