"""What a trial takes of the published days of sources."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
from deltalake import write_deltalake

from nightshift import tables
from nightshift.cli import trial
from nightshift.errors import SpecError
from nightshift.features.unbuilt import Unbuilt, leave_unbuilt
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job
from nightshift.registry.ledger import create_ledger
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.postgres import WRITER, Database
from tests.unit.inputs.landed import drop_day


def test_a_day_that_another_program_changed_is_gated_from_its_landing_files(
    settings: Settings, pipeline: Pipeline, database: Database
) -> None:
    create_ledger(database.owner_url, WRITER)
    settings = replace(settings, database_url=database.writer_url)
    drop_day(settings, "2024-02-10", ("2024-02-07", "2024-02-08", "2024-02-09"))
    there = Job(settings, pipeline, date(2024, 2, 10))
    gate_inputs(there)
    ghost = pa.table({"parcel_id": ["ghost"], "ds": ["2024-02-08"]})
    write_deltalake(there.table("inputs/deliveries"), ghost, mode="append", schema_mode="merge")
    here = replace(there, settings=replace(settings, lake=f"{settings.lake}-trial", private=True))

    trial._take(here, settings)

    taken = tables.state(here.table("inputs/deliveries"))
    assert list(taken.partitions) == ["2024-02-07", "2024-02-09"]
    gate_inputs(here)
    assert list(tables.state(here.table("inputs/deliveries")).partitions) == ["2024-02-07", "2024-02-08", "2024-02-09"]
    assert tables.damaged(tables.state(here.table("inputs/deliveries"))) == {}


def test_labels_that_cannot_be_built_are_told_beside_the_features(settings: Settings, pipeline: Pipeline) -> None:
    job = Job(settings, pipeline, date(2024, 2, 10))
    job.leave("build_features", {"features": {}, "labels": {"2024-02-09": {"status": "staged", "fingerprint": "f"}}})
    assert list(trial._unbuilt_labels(job)) == []
    error = SpecError("line 9: ValueError was raised", where="spark_jobs/features/parcels.py label")
    leave_unbuilt(job.table("labels"), Unbuilt.of(job.manifest("labels", "2024-02-09", "f"), error))
    assert list(trial._unbuilt_labels(job)) == [
        "labels of 2024-02-09 cannot be built: spark_jobs/features/parcels.py label: line 9: ValueError was raised"
    ]
