"""A small real model of the pipeline `parcels`, features for it, and a plan to score them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb

from nightshift import storage, tables
from nightshift.features.recipes import Recipes, code_of
from nightshift.job import Job
from nightshift.lineage import Manifest, Upstream, sha256
from nightshift.model_manifest import FeatureColumn, ModelManifest, encode, manifest_uri, model_uri
from nightshift.scoring.plan import ScoringPlan, scoring_code
from nightshift.scoring.shards import divide

DAY = "2024-02-10"
COLUMNS = (
    FeatureColumn("depot", "category"),
    FeatureColumn("weight", "number"),
    FeatureColumn("doors", "integer"),
    FeatureColumn("late_3d", "number"),
)
CATEGORIES = {"depot": ("N", "S")}
SCHEMA = pa.schema(
    [
        ("parcel_id", pa.string()),
        ("depot", pa.string()),
        ("weight", pa.float64()),
        ("doors", pa.int64()),
        ("late_3d", pa.float64()),
    ]
)


def features(rows: int, seed: int = 0) -> pa.Table:
    """Features with nulls, and a depot that the model does not know."""
    random = np.random.default_rng(seed)
    some = random.random(rows) < 0.1
    columns = {
        "parcel_id": pa.array([f"p{number:08d}" for number in range(rows)]),
        "depot": pa.array(random.choice(["N", "S", "new"], rows)),
        "weight": pa.array(random.uniform(0, 100, rows), mask=some),
        "doors": pa.array(random.integers(1, 30, rows)),
        "late_3d": pa.array(random.exponential(2, rows)),
    }
    return pa.table(columns, schema=SCHEMA)


def train(objective: str = "regression", seed: int = 0) -> bytes:
    """A booster as UBJSON."""
    rows = features(2_000, seed=seed + 1)
    matrix = encode(rows, COLUMNS, CATEGORIES)
    late = np.nan_to_num(matrix[:, 1]) / 10 + matrix[:, 3]
    label = late > 6 if objective == "binary" else late
    names = [column.name for column in COLUMNS]
    data = xgb.DMatrix(matrix, label=label.astype(float), feature_names=names)
    kind = {"binary": "binary:logistic", "regression": "reg:squarederror"}[objective]
    params = {"objective": kind, "max_depth": 3, "nthread": 1, "seed": seed}
    return bytes(xgb.train(params, data, num_boost_round=20).save_raw("ubj"))


def register(models: str, content: bytes, objective: str = "regression", **changes: str) -> ModelManifest:
    """The model and its manifest where scoring looks for them."""
    digest = sha256(content)
    manifest = ModelManifest(
        pipeline="parcels",
        as_of="2024-02-08",
        objective=objective,
        label="hours",
        sha256=digest,
        evaluated_sha256=digest,
        columns=COLUMNS,
        categories=CATEGORIES,
        rounds=20,
        fingerprint="f" * 16,
        training_set="t" * 16,
        feature_code=changes.get("feature_code", "c" * 16),
        feature_spec=changes.get("feature_spec", "s" * 16),
        code_version="test",
    )
    storage.write_bytes(model_uri(models, digest), content)
    storage.write_json(manifest_uri(models, digest), manifest.document())
    return manifest


def write_features(folder: Path | str, sizes: list[int], row_group: int = 1_000) -> list[tuple[str, int]]:
    """Feature files of these numbers of rows, below a path or a URI: (URI, rows)."""
    whole, start, files = features(sum(sizes)), 0, []
    for number, rows in enumerate(sizes):
        uri, content = storage.join(str(folder), f"part-{number:05d}.parquet"), pa.BufferOutputStream()
        pq.write_table(whole.slice(start, rows), content, row_group_size=row_group)
        storage.write_bytes(uri, content.getvalue().to_pybytes())
        files.append((uri, rows))
        start += rows
    return files


def make_plan(
    root: Path | str, sizes: list[int], rows_per_shard: int = 1_000_000, objective: str = "regression"
) -> ScoringPlan:
    """A plan below ``root``, a path or a URI, written, with its model and its features."""
    models = storage.join(str(root), "models")
    manifest = register(models, train(objective), objective)
    files = write_features(storage.join(str(root), "features"), sizes)
    return write_plan(
        ScoringPlan(
            pipeline="parcels",
            ds=DAY,
            table=storage.join(str(root), "predictions"),
            fingerprint="0123456789abcdef",
            features="fedcba9876543210",
            model=model_uri(models, manifest.sha256),
            model_sha256=manifest.sha256,
            objective=objective,
            columns=COLUMNS,
            categories=CATEGORIES,
            feature_code=manifest.feature_code,
            scoring_code=scoring_code(),
            key={"parcel_id": "string"},
            threads=1,
            shards=divide(files, rows_per_shard),
        )
    )


def write_plan(plan: ScoringPlan, **changes: object) -> ScoringPlan:
    """The plan with changes, written."""
    changed = replace(plan, **changes)  # type: ignore[arg-type]
    storage.create_json(changed.uri, changed.document())
    return changed


CODE = """
def build(inputs, days):
    return inputs["orders"].select("parcel_id")


def label(inputs, days):
    return inputs["deliveries"].select("parcel_id", "hours_late")
"""


def make_home(folder: Path) -> Path:
    """A project's home with the feature module of `parcels`."""
    module = folder / "spark_jobs" / "features" / "parcels.py"
    module.parent.mkdir(parents=True)
    module.write_text(CODE)
    return folder


def publish_features(job: Job, rows: pa.Table, orders: str = "o1", rows_per_file: int = 1_000) -> str:
    """Features of the job's day, published as the build of these orders; their fingerprint."""
    recipes = Recipes(job.pipeline, {}, code_of(job.settings.home, job.pipeline))
    reads = {"orders": Upstream(0, {job.day: orders})}
    fingerprint = recipes.fingerprint("features", reads, "")
    table = job.table("features")
    files = tables.write_partition(
        table, f"features-{orders}", job.day, fingerprint, SCHEMA, rows.to_batches(), rows_per_file
    )
    manifest = Manifest(
        pipeline=job.pipeline.name,
        dataset="features",
        ds=job.day,
        fingerprint=fingerprint,
        attempt=f"features-{orders}",
        run_id="test",
        created_at="2024-02-10T00:00:00+00:00",
        code_version="test",
        spec_hash="test",
        files=files,
        replaces=tables.state(table).fingerprint(job.day),
        upstream={f"inputs/{name}": upstream for name, upstream in reads.items()},
    )
    tables.publish(table, SCHEMA, [manifest])
    return fingerprint
