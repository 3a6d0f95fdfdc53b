"""A small lake for tests: typed input partitions published without landing, and features staged without Spark.

What Spark computes is tested through Spark in ``tests/spark`` and ``tests/e2e``; here the rows do not matter.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from nightshift import tables
from nightshift.errors import SpecError
from nightshift.features.build_plan import BuildPlan, read_plan
from nightshift.features.unbuilt import Unbuilt, leave_unbuilt, together
from nightshift.job import Job
from nightshift.lineage import Manifest
from nightshift.settings import Settings

MODULE = '''"""Features of parcels."""


def build(inputs, days):
    """Build."""
    return inputs, days


def label(inputs, days):
    """Label."""
    return days, inputs
'''
BLANKS: dict[str, Any] = {"string": "N", "category": "N", "integer": 1, "number": 1.5, "boolean": True}


def home_with_module(settings: Settings, folder: Path, text: str = MODULE) -> Settings:
    """Settings whose project has the feature module ``parcels``."""
    module = folder / "spark_jobs" / "features" / "parcels.py"
    module.parent.mkdir(parents=True, exist_ok=True)
    module.write_text(text)
    return replace(settings, home=folder)


def publish_input(job: Job, source: str, days: Iterable[date], fingerprint: str = "f0", rows: int = 3) -> None:
    """Publish days of a source with ``rows`` rows each."""
    columns = {name: column.type for name, column in job.pipeline.inputs[source].columns.items()}
    uri = job.table(f"inputs/{source}")
    found = tables.state(uri)
    manifests = [
        Manifest(
            **_address(job, f"inputs/{source}", day.isoformat(), fingerprint),
            files=_write(uri, job.attempt, day.isoformat(), fingerprint, columns, rows),
            replaces=found.fingerprint(day.isoformat()),
        )
        for day in days
    ]
    tables.publish(uri, tables.arrow_schema(columns), manifests)


def stage_plan(
    plan_uri: str, rows: Mapping[str, int] | None = None, failing: Collection[tuple[str, str]] = ()
) -> BuildPlan:
    """Do what the Spark job does with a plan, with rows that say nothing; ``failing`` are datasets and their days."""
    plan = read_plan(plan_uri)
    targets = {target.dataset: target for target in plan.targets}
    failed = []
    for manifest in plan.manifests:
        target = targets[manifest.dataset]
        if (manifest.dataset, manifest.ds) in failing:
            error = SpecError("line 7: ValueError was raised", where="spark_jobs/features/parcels.py build")
            failed.append(Unbuilt.of(manifest, error))
            leave_unbuilt(target.table, failed[-1])
            continue
        number = (rows or {}).get(manifest.dataset, 3)
        files = _write(target.table, plan.attempt, manifest.ds, manifest.fingerprint, target.columns, number)
        tables.leave_staged(target.table, replace(manifest, files=files))
    if failed:
        raise together(failed, {name: len(target.days) for name, target in targets.items()})
    return plan


def _address(job: Job, dataset: str, ds: str, fingerprint: str) -> dict[str, str]:
    return {
        "pipeline": job.pipeline.name,
        "dataset": dataset,
        "ds": ds,
        "fingerprint": fingerprint,
        "attempt": job.attempt,
        "run_id": job.run_id,
        "created_at": "2024-01-01T00:00:00",
        "code_version": "c",
        "spec_hash": "s",
    }


def _write(uri: str, attempt: str, ds: str, fingerprint: str, columns: Mapping[str, str], rows: int) -> tuple[Any, ...]:
    schema = tables.arrow_schema(columns)
    content: dict[str, Sequence[Any]] = {
        name: [f"{n}" if name.endswith("_id") else BLANKS[kind] for n in range(rows)] for name, kind in columns.items()
    }
    batches = [pa.record_batch(content, schema=schema)] if rows else []
    return tables.write_partition(uri, attempt, ds, fingerprint, schema, batches)
