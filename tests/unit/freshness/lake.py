"""A night of parcels of which everything is published, on real tables, landing files and a real ledger."""

from dataclasses import replace
from datetime import date
from pathlib import Path

from nightshift import tables
from nightshift.features.build import plan_features
from nightshift.features.run import gate_features, gate_labels
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job
from nightshift.lineage import Upstream
from nightshift.registry.entry import NewEntry
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.scoring.plan import scoring_code
from nightshift.scoring.planning import predictions_fingerprint
from nightshift.settings import Settings
from tests.conftest import make_pipeline
from tests.postgres import WRITER, Database
from tests.unit.features.lake import home_with_module, stage_plan
from tests.unit.inputs.landed import drop, drop_day

DS = date(2024, 2, 10)
LOOKBACK = ("2024-02-07", "2024-02-08", "2024-02-09")
SHA = "1" * 64


def publish_night(settings: Settings, folder: Path, database: Database) -> Job:
    """The job of the night; version 1 is champion from the day before on."""
    create_ledger(database.owner_url, WRITER)
    settings = replace(home_with_module(settings, folder), database_url=database.writer_url)
    job = Job(settings, make_pipeline(), DS, run_id="night")
    drop_day(settings, "2024-02-10", LOOKBACK)
    drop(settings, "orders/ds=2024-02-10", "0,N,1.5", "1,S,2", "2,N,")  # the keys that stage_plan writes
    drop(settings, "orders/ds=2024-02-09", "x,N,1.5", "y,S,2")
    gate_inputs(job)
    _, command = plan_features(job)
    assert command is not None
    stage_plan(command.plan)
    gate_features(job)
    gate_labels(job)
    Ledger.of(settings).append(
        NewEntry("parcels", "promotion", "tests", "better", date(2024, 2, 8), date(2024, 2, 9), "1", SHA)
    )
    _publish_predictions(job)
    return job


def _publish_predictions(job: Job) -> None:
    table, features = job.table("predictions"), tables.state(job.table("features"))
    read = features.fingerprint(job.day)
    fingerprint = predictions_fingerprint(read, SHA, scoring_code())
    schema = tables.arrow_schema({"parcel_id": "string", "score": "number", "model": "string"})
    files = tables.write_partition(table, job.attempt, job.day, fingerprint, schema, [])
    upstream = {"features": Upstream(features.version, {job.day: read})}
    manifest = job.manifest("predictions", job.day, fingerprint, files=files, upstream=upstream, model_sha256=SHA)
    tables.publish(table, schema, [manifest])
