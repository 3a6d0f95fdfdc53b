"""A night without a delivery, or with the one before a refused correction: named everywhere, never plainly OK.

What a dry run says of such a night is what its run then does.
"""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightshift import runs
from nightshift.cli.diagnose import page
from nightshift.cli.diagnosis import diagnose
from nightshift.errors import GateFailed
from nightshift.features.build import plan_features
from nightshift.features.run import gate_features
from nightshift.freshness.nights import Night, look
from nightshift.freshness.scored import ScoredDays
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job, Outcome, new_attempt
from nightshift.platform.airflow_client import Run
from nightshift.platform.nights import nights_of, table
from nightshift.run_state import RunState
from nightshift.settings import Settings
from tests.conftest import make_pipeline, spec_document
from tests.postgres import Database
from tests.unit.features.lake import stage_plan
from tests.unit.freshness.lake import DS, KEYS, publish_night, publish_predictions
from tests.unit.inputs.landed import DELIVERIES, drop

NEXT = date(2024, 2, 11)
BAD = ("x,N,abc", "x,S,2", "x,S,3")


@pytest.fixture
def job(settings: Settings, tmp_path: Path, database: Database) -> Job:
    return publish_night(settings, tmp_path / "project", database)


@pytest.fixture
def night(job: Job) -> Job:
    """The next night, of which everything has landed but the deliveries of the day before."""
    drop(job.settings, "orders/ds=2024-02-11", *(f"{key},N,1.5" for key in KEYS))
    return replace(job, ds=NEXT, run_id="next", attempt=new_attempt())


def score(night: Job) -> Outcome:
    """Every step of the night in this process; what the gate of its inputs said."""
    gated = gate_inputs(night)
    _, command = plan_features(night)
    assert command is not None
    stage_plan(command.plan)
    for outcome in (gated, gate_features(night), Outcome("monitor", night.day, "done", "seen")):
        runs.keep(night.settings, "parcels", night.run_id, outcome, outcome.status, 1.0)
    publish_predictions(night)
    return gated


def again(night: Job) -> Job:
    return replace(night, attempt=new_attempt())


def dry_run(night: Job) -> Night:
    return look(night.settings, night.pipeline, [night.ds])[0]


def test_a_delivery_that_its_gate_blocked_is_counted_and_named_like_an_absent_one(night: Job) -> None:
    drop(night.settings, "deliveries/ds=2024-02-10", *BAD, header=DELIVERIES)
    gated = score(night)
    lack = "deliveries 2024-02-10: its gate blocked"
    assert gated.counts["partitions_blocked"] == gated.counts["warnings"] == 1
    assert gated.message.endswith("; blocked: deliveries 2024-02-10")
    assert gated.warnings == (f"without {lack}",)
    said = runs.read_run(night.settings, "parcels", "next")
    assert f"without {lack}" in runs.summary(said)
    assert "1 warning" in runs.summary(said)
    found = diagnose(night.settings, night.pipeline, NEXT)
    assert (found.state, found.well) == ("OK with warnings", True)
    text = page(found)
    assert text.startswith("parcels 2024-02-11: OK with warnings, 1 warning. ")
    assert text.count(f"scored without {lack}") == text.count("its gate blocked") == 1
    assert found.document()["state"] == "OK with warnings"


def test_the_table_of_a_backfill_has_the_state_of_each_day_and_what_it_lacks(night: Job) -> None:
    drop(night.settings, "deliveries/ds=2024-02-10", *BAD, header=DELIVERIES)
    score(night)
    run = Run(night.day, "next", "success", "backfill", 9.0)
    [found] = nights_of(night.settings, night.pipeline, [NEXT], {night.day: run})
    assert found.state == RunState.OK_WITH_WARNINGS
    assert found.without == ("without deliveries 2024-02-10: its gate blocked",)
    assert "OK with warnings" in table(night.pipeline, [found])


def test_a_dry_run_and_the_run_agree_on_a_blocked_delivery(night: Job) -> None:
    file = drop(night.settings, "deliveries/ds=2024-02-10", *BAD, header=DELIVERIES)
    assert dry_run(night).inputs.state == "stale", "no gate has seen it"
    score(night)
    said = dry_run(night)
    assert (said.inputs.state, said.features.state, said.predictions.state) == ("refused", "up_to_date", "up_to_date")
    assert said.labels.state == "waits"
    [why] = said.inputs.changes
    assert why.startswith("deliveries 2024-02-10 new in landing, refused: the gate blocked 3 rows: ")
    assert gate_inputs(again(night)).status == "up_to_date"
    assert plan_features(again(night))[1] is None
    file.write_text(f"{DELIVERIES}\nx,N,1.0\n")
    assert dry_run(night).inputs.changes == ("deliveries 2024-02-10 new in landing",)
    assert dry_run(night).features.state == "stale"
    assert gate_inputs(again(night)).counts["partitions_published"] == 1
    assert plan_features(again(night))[1] is not None


def test_another_gate_judges_a_refused_delivery_anew(night: Job) -> None:
    drop(night.settings, "deliveries/ds=2024-02-10", *BAD, header=DELIVERIES)
    score(night)
    inputs = spec_document()["inputs"]
    inputs["deliveries"]["gate"] = {"policy": "quarantine", "limit": 1.0}
    other = replace(night, pipeline=make_pipeline(inputs=inputs))
    assert dry_run(other).inputs.state == "stale"
    assert gate_inputs(again(other)).counts["partitions_blocked"] == 0


def test_a_delivery_that_is_absent_is_no_plain_ok_and_is_named_when_it_has_come_since(night: Job) -> None:
    gated = score(night)
    assert gated.warnings == ("without deliveries 2024-02-10: it has not landed",)
    [lack] = ScoredDays(night.settings, night.pipeline)[NEXT].without
    assert lack.why == "it has not landed"
    assert diagnose(night.settings, night.pipeline, NEXT).state == RunState.OK_WITH_WARNINGS
    drop(night.settings, "deliveries/ds=2024-02-10", "x,N,1.0", header=DELIVERIES)
    gate_inputs(again(night))
    found = diagnose(night.settings, night.pipeline, NEXT)
    assert "scored without deliveries 2024-02-10: it has not landed; it is published since" in found.warnings


def test_a_correction_that_is_refused_is_counted_and_a_dry_run_expects_it(job: Job) -> None:
    drop(job.settings, "deliveries/ds=2024-02-08", *BAD, header=DELIVERIES)
    assert dry_run(job).features.state == "stale", "no gate has seen it"
    gated = gate_inputs(again(job))
    assert (gated.status, gated.counts["corrections_refused"]) == ("up_to_date", 1)
    said = dry_run(job)
    assert said.up_to_date
    assert (said.inputs.state, said.features.state) == ("refused", "up_to_date")
    assert plan_features(again(job))[1] is None
    document = {**gated.document(), "status": gated.status}
    assert ScoredDays(job.settings, job.pipeline)[DS].facts([document]).state == RunState.OK_WITH_WARNINGS
    assert runs.refused_corrections([document]) == 1


@pytest.mark.parametrize(
    ("ds", "state"), [("2024-03-31", "WAITING"), ("2024-04-01", "WAITING"), ("2024-04-02", "SKIPPED")]
)
def test_a_day_that_no_run_has_begun_waits_unless_it_has_none(job: Job, ds: str, state: str) -> None:
    """The spec ends with March: the labels of its last day are due the day after."""
    scored = ScoredDays(job.settings, job.pipeline)[date.fromisoformat(ds)]
    assert scored.facts([]).state == state
    done = [{"step": "gate_features", "status": "nothing"}, {"step": "monitor", "status": "done"}]
    if ds == "2024-04-01":
        assert scored.facts(done, airflow="success").state == "SKIPPED"
        assert scored.facts([], airflow="success").state == "OK", "what it said is gone"


def test_a_dry_run_expects_the_end_of_a_night_whose_spine_is_refused(night: Job) -> None:
    drop(night.settings, "orders/ds=2024-02-11", "a,N,abc", "a,N,2", "a,N,3")
    with pytest.raises(GateFailed):
        gate_inputs(night)
    said = dry_run(night)
    assert (said.inputs.state, said.features.state) == ("refused", "waits")
    assert "orders of 2024-02-11: the gate blocked 3 rows" in said.features.changes[0]
    assert not said.up_to_date


def test_a_dry_run_expects_the_end_of_a_night_whose_newest_snapshot_is_refused(night: Job) -> None:
    drop(night.settings, "depots/as_of=2024-02-11", "N,3", "N,4", header="depot,doors")
    with pytest.raises(GateFailed):
        gate_inputs(night)
    assert dry_run(night).features.state == "waits", "an older snapshot is published, and the run does not take it"
