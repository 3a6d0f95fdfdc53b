"""What a live platform has published."""

from datetime import date

from nightshift import tables
from nightshift.job import Job
from nightshift.lineage import Manifest
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline


def job(live: Settings, name: str, ds: date) -> Job:
    return Job(live, load_pipeline(live, name), ds)


def published(live: Settings, name: str, dataset: str, ds: date) -> tables.Partition:
    return tables.state(job(live, name, ds).table(dataset)).partitions[ds.isoformat()]


def manifest_of(live: Settings, name: str, dataset: str, ds: date) -> Manifest:
    found = tables.state(job(live, name, ds).table(dataset)).manifest(ds.isoformat())
    assert found
    return found
