"""The published past under the gates of today: real tables, real Great Expectations."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightshift import tables
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job
from nightshift.past import audit_past
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline, spec_document
from tests.unit.inputs.landed import drop_day

DS = date(2024, 2, 10)


@pytest.fixture
def job(settings: Settings, database_url: str) -> Job:
    job = Job(replace(settings, database_url=database_url), make_pipeline(), DS)
    drop_day(job.settings, job.day, ("2024-02-07", "2024-02-08", "2024-02-09"))
    gate_inputs(job)
    return job


def stricter(limit: float) -> Pipeline:
    """Orders may weigh no more than 1.5: one of three does."""
    inputs = spec_document()["inputs"]
    inputs["orders"]["columns"]["weight"]["max"] = 1.5
    inputs["orders"]["gate"] = {"policy": "quarantine", "limit": limit}
    return make_pipeline(inputs=inputs)


def test_what_was_published_passes_the_gate_that_published_it(job: Job) -> None:
    found = {(report.dataset, report.ds): report for report, _ in audit_past(job.settings, job.pipeline, [DS])}
    assert {key: (report.status, report.rows) for key, report in found.items()} == {
        ("inputs/orders", "2024-02-10"): ("passed", 3)
    }


@pytest.mark.parametrize(("limit", "status", "removed"), [(0.5, "quarantined", 1), (0.1, "blocked", 0)])
def test_a_stricter_gate_is_reported_and_changes_nothing(job: Job, limit: float, status: str, removed: int) -> None:
    before = tables.state(job.table("inputs/orders"))
    [(report, page)] = audit_past(job.settings, stricter(limit), [DS])
    assert (report.status, report.removed, len(report.failed)) == (status, removed, 1)
    assert report.failed[0].name == "expect_column_values_to_be_between"
    assert Path(page).is_file()
    assert tables.state(job.table("inputs/orders")) == before
    assert not Path(job.table("quarantine/inputs/orders")).exists()
