"""A night of parcels of which everything is published, on real tables, landing files and a real ledger."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa

from nightshift import storage, tables
from nightshift.features.build import plan_features
from nightshift.features.recipes import code_of, feature_spec
from nightshift.features.run import gate_features, gate_labels
from nightshift.inputs.run import gate_inputs
from nightshift.job import Job
from nightshift.lineage import Upstream
from nightshift.model_manifest import FeatureColumn, ModelManifest, manifest_uri, model_uri
from nightshift.registry.entry import NewEntry
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.scoring.plan import scoring_code
from nightshift.scoring.planning import predictions_fingerprint
from nightshift.settings import Settings
from tests.conftest import make_pipeline
from tests.postgres import WRITER, Database, admit_people
from tests.unit.features.lake import home_with_module, stage_plan
from tests.unit.inputs.landed import drop, drop_day

DS = date(2024, 2, 10)
LOOKBACK = ("2024-02-07", "2024-02-08", "2024-02-09")
SHA = "1" * 64
KEYS = ("0", "1", "2")


def publish_night(settings: Settings, folder: Path, database: Database) -> Job:
    """The job of the night; version 1 is champion from the day before on."""
    create_ledger(database.owner_url, WRITER)
    settings = replace(home_with_module(settings, folder), database_url=database.writer_url)
    admit_people(settings, database)
    job = Job(settings, make_pipeline(), DS, run_id="night")
    drop_day(settings, "2024-02-10", LOOKBACK)
    drop(settings, "orders/ds=2024-02-10", *(f"{key},N,1.5" for key in KEYS))  # the keys that stage_plan writes
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
    register_model(job, SHA)
    publish_predictions(job)
    return job


def register_model(job: Job, digest: str) -> None:
    """A model file and a manifest that says that it was trained on the features as they are built now."""
    manifest = ModelManifest(
        pipeline="parcels",
        as_of="2024-02-08",
        objective="regression",
        label="hours",
        sha256=digest,
        evaluated_sha256=digest,
        columns=tuple(FeatureColumn(name, item.type) for name, item in job.pipeline.features.columns.items()),
        categories={},
        rounds=1,
        fingerprint="f" * 16,
        training_set="t" * 16,
        feature_code=code_of(job.settings.home, job.pipeline)["features"],
        feature_spec=feature_spec(job.pipeline),
        code_version="test",
    )
    storage.write_bytes(model_uri(job.settings.models, digest), b"")
    storage.write_json(manifest_uri(job.settings.models, digest), manifest.document())


def publish_predictions(job: Job, keys: Sequence[str] = KEYS, code: str = "", **counts: int) -> None:
    """Predictions of these keys by the model of ``SHA`` and the scoring code of now, or another."""
    table, features = job.table("predictions"), tables.state(job.table("features"))
    replaces = tables.state(table).fingerprint(job.day)
    read = features.fingerprint(job.day)
    fingerprint = predictions_fingerprint(read, SHA, code or scoring_code())
    schema = tables.arrow_schema({"parcel_id": "string", "score": "number", "model": "string"})
    rows = pa.record_batch([list(keys), [1.0] * len(keys), [SHA[:16]] * len(keys)], schema=schema)
    files = tables.write_partition(table, job.attempt, job.day, fingerprint, schema, [rows] if keys else [])
    upstream = {"features": Upstream(features.version, {job.day: read})}
    manifest = job.manifest(
        "predictions", job.day, fingerprint,
        files=files, upstream=upstream, model_sha256=SHA, counts=counts, replaces=replaces,
    )  # fmt: skip
    tables.publish(table, schema, [manifest])
