from pathlib import Path

import pytest

from nightshift.job import Job
from nightshift.settings import Settings
from nightshift.specs.calendar import training_days
from nightshift.specs.model import Pipeline
from tests.unit.features.lake import home_with_module
from tests.unit.training.lake import D


@pytest.fixture
def job(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> Job:
    """A retrain as of D on an empty lake, after a window gate that left out nothing."""
    job = Job(home_with_module(settings, tmp_path / "home"), pipeline, D, run_id="retrain")
    job.leave("gate_window", {"blocked": [], "missing": []})
    return job


def window(job: Job) -> list[str]:
    """The days of the job's window."""
    return [day.isoformat() for day in training_days(job.pipeline, job.ds)]
