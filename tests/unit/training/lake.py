"""Published features and labels of `parcels`, with a signal that a model finds or with none."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from nightshift import tables
from nightshift.job import Job
from nightshift.lineage import Manifest
from tests.conftest import make_pipeline

BINARY: dict[str, Any] = {
    "label": {"column": "late", "objective": "binary", "lag": 1, "inputs": ["deliveries"]},
    "promotion": {"metric": "log_loss", "baseline": ["depot"]},
}
D = date(2024, 2, 21)
DATASETS = ("features", "labels")


def day_of_rows(job: Job, ds: str, rows: int, signal: float = 1.0, missing: float = 0.0) -> tuple[pa.Table, pa.Table]:
    """Features and labels of a day. ``signal`` 0 makes labels that no feature explains."""
    random = np.random.default_rng([date.fromisoformat(ds).toordinal(), 7])
    depot = random.choice(["N", "S", "W"], rows)
    weight, late = random.uniform(0, 100, rows), random.exponential(2, rows)
    doors = random.integers(1, 30, rows)
    hidden = signal * (late * (1 + (depot == "N")) + weight / 25 - 4) + random.normal(size=rows)
    label = (hidden > 0).astype(np.int64) if job.pipeline.label.objective == "binary" else hidden
    keys = [f"p{number:06d}" for number in range(rows)]
    features = pa.table(
        {
            "parcel_id": keys,
            "depot": pa.array(depot, mask=random.random(rows) < 0.02),
            "weight": pa.array(weight, mask=random.random(rows) < 0.1),
            "doors": doors,
            "late_3d": late,
        },
        schema=tables.arrow_schema({name: column.type for name, column in job.pipeline.feature_contract.items()}),
    )
    labels = pa.table(
        {"parcel_id": keys, job.pipeline.label.column: label},
        schema=tables.arrow_schema({name: column.type for name, column in job.pipeline.label_contract.items()}),
    )
    # Labels come in another order than features, and some never come.
    order = random.permutation(rows)[: rows - int(missing * rows)]
    return features, labels.take(pa.array(order))


def publish(
    job: Job,
    days: Iterable[str],
    rows: int = 120,
    signal: float = 1.0,
    missing: float = 0.0,
    only: Sequence[str] = DATASETS,
    fingerprint: str = "f0",
) -> None:
    """Publish days of features and labels, those of a dataset in one commit."""
    made = {ds: day_of_rows(job, ds, rows, signal, missing) for ds in days}
    for number, dataset in enumerate(DATASETS):
        if made and dataset in only:
            publish_days(job, dataset, {ds: content[number] for ds, content in made.items()}, fingerprint)


def publish_rows(job: Job, dataset: str, ds: str, rows: pa.Table, fingerprint: str = "f0") -> None:
    """Publish one day of a dataset."""
    publish_days(job, dataset, {ds: rows}, fingerprint)


def publish_days(job: Job, dataset: str, days: Mapping[str, pa.Table], fingerprint: str) -> None:
    """Publish some days of a dataset, one at least, in one commit."""
    uri, written = job.table(dataset), f"{job.attempt}{fingerprint}"
    before = tables.state(uri)
    manifests = []
    for ds, rows in days.items():
        files = tables.write_partition(uri, written, ds, fingerprint, rows.schema, rows.to_batches())
        manifests.append(
            Manifest(
                pipeline=job.pipeline.name,
                dataset=dataset,
                ds=ds,
                fingerprint=fingerprint,
                attempt=written,
                run_id=job.run_id,
                created_at="2024-01-01T00:00:00",
                code_version="c",
                spec_hash="s",
                files=files,
                replaces=before.fingerprint(ds),
            )
        )
    tables.publish(uri, next(iter(days.values())).schema, manifests)


def with_spec(job: Job, **changes: Any) -> Job:
    """The job with another spec."""
    return replace(job, pipeline=make_pipeline(**changes))
