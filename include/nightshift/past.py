"""The published past, audited again with the gates of today. Publishes nothing, and leaves what is published."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from nightshift import tables
from nightshift.features.build import contract
from nightshift.gates.partition import audit_published
from nightshift.gates.results import GateReport
from nightshift.job import Job, new_attempt
from nightshift.lineage import Manifest
from nightshift.scoring.gate import prediction_contract
from nightshift.scoring.plan import model_digits
from nightshift.settings import Settings
from nightshift.spark_local import run_local
from nightshift.specs.model import Column, Gate, Pipeline


def audit_past(settings: Settings, pipeline: Pipeline, days: Sequence[date]) -> Iterator[tuple[GateReport, str]]:
    """The report of each published partition of these days, and the URI of its page.

    Rows that were taken out at publication are not there to be judged; checks against other tables are left out.
    """
    for dataset in (*(f"inputs/{name}" for name in pipeline.inputs), "features", "labels", "predictions"):
        job = Job(settings, pipeline, days[0], run_id="audit", run_spark=run_local)
        state = tables.state(job.table(dataset))
        for ds in days:
            if ds.isoformat() in state.partitions:
                own = replace(job, ds=ds, attempt=new_attempt())
                manifest = _manifest(own, dataset, state)
                columns, key, gate = _rules(own, dataset, manifest)
                yield audit_published(own, dataset=dataset, published=manifest, columns=columns, key=key, gate=gate)


def _manifest(job: Job, dataset: str, state: tables.TableState) -> Manifest:
    """The partition's manifest with the files that the table names; what else it says may be gone."""
    partition = state.partitions[job.day]
    found = state.manifest(job.day) or job.manifest(dataset, job.day, partition.fingerprint)
    return replace(found, files=partition.files)


def _rules(job: Job, dataset: str, manifest: Manifest) -> tuple[Mapping[str, Column], Sequence[str], Gate]:
    pipeline = job.pipeline
    key = pipeline.features.key
    if dataset.startswith("inputs/"):
        source = pipeline.inputs[dataset.removeprefix("inputs/")]
        return source.columns, source.key, source.gate
    if dataset == "features":
        return contract(job, "features"), key, pipeline.features.gate
    if dataset == "labels":
        return contract(job, "labels"), key, pipeline.label.gate
    return prediction_contract(job, model_digits(manifest.model_sha256)), key, pipeline.scoring.gate
