"""How long labels are waited for, and what is kept of days that never got them."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.features.unlabelled import overdue, record, record_of, unlabelled_days
from nightshift.job import Job
from nightshift.lineage import DataFile
from nightshift.settings import Settings
from nightshift.specs.calendar import cutoff
from nightshift.tables import Partition, TableState
from tests.conftest import make_pipeline, spec_document

DS = date(2024, 2, 10)


@given(lag=st.integers(0, 9), wait=st.integers(0, 400), ds=st.dates(date(2024, 1, 1), date(2025, 12, 31)))
def test_the_wait_ends_with_a_cutoff_so_many_days_after_the_labels_are_due(lag: int, wait: int, ds: date) -> None:
    pipeline = make_pipeline(label={**spec_document()["label"], "lag": max(lag, 1), "wait": wait})
    last = cutoff(pipeline.schedule, ds + timedelta(days=max(lag, 1) + wait))
    assert overdue(pipeline, ds, last)
    assert not overdue(pipeline, ds, last - timedelta(seconds=1))


def test_by_default_labels_are_waited_for_a_week(settings: Settings) -> None:
    pipeline = make_pipeline()
    assert pipeline.label.wait == 7
    assert not overdue(pipeline, DS, datetime(2024, 2, 18, 6, 59, tzinfo=UTC))
    assert overdue(pipeline, DS, datetime(2024, 2, 18, 7, 0, tzinfo=UTC))


def test_the_first_record_of_a_day_stays_and_published_labels_end_it(settings: Settings) -> None:
    job = Job(settings, make_pipeline(), DS, run_id="one")
    none = TableState("labels", -1, {})
    assert record_of(settings, job.pipeline, DS) is None
    assert unlabelled_days(settings, job.pipeline, none) == []
    first = record(job, DS, "not landed")
    assert first.words == f"recorded as unlabelled by one at {first.at}: not landed"
    assert record(Job(settings, make_pipeline(), DS, run_id="two"), DS, "blocked") == first
    record(job, date(2024, 2, 8), "not landed")
    assert record_of(settings, job.pipeline, DS) == first
    assert unlabelled_days(settings, job.pipeline, none) == ["2024-02-08", "2024-02-10"]
    came = TableState("labels", 1, {"2024-02-08": Partition("2024-02-08", "f", (DataFile("x", 1, 1),))})
    assert unlabelled_days(settings, job.pipeline, came) == ["2024-02-10"]
    assert unlabelled_days(settings, make_pipeline(generation=2), none) == []


@pytest.mark.parametrize("wait", [-1, 3661, "7d"])
def test_a_wait_is_a_number_of_days(wait: object) -> None:
    with pytest.raises(ValueError, match="wait"):
        make_pipeline(label={**spec_document()["label"], "wait": wait})
