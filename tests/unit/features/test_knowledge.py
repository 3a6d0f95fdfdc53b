"""What had landed at the cutoff, and what came later."""

from datetime import date

import pyarrow as pa
import pytest

from nightshift import tables
from nightshift.features.knowledge import Knowledge
from nightshift.job import Job
from nightshift.lineage import Landed, Manifest, Upstream
from nightshift.settings import Settings
from nightshift.specs.calendar import cutoff
from tests.conftest import make_pipeline

DS = date(2024, 2, 10)


@pytest.fixture
def job(settings: Settings) -> Job:
    return Job(settings, make_pipeline(), DS)


def publish(job: Job, source: str, day: str, fingerprint: str, *seconds: int) -> None:
    """A day whose files landed so many seconds after the cutoff of ``DS``."""
    moment = int(cutoff(job.pipeline.schedule, DS).timestamp())
    landing = tuple(Landed(f"/{number}", 1, (moment + number) * 1_000_000_000, "0") for number in seconds)
    table, schema = job.table(f"inputs/{source}"), pa.schema([("depot", pa.string())])
    files = tables.write_partition(table, job.attempt, day, fingerprint, schema, [])
    tables.publish(table, schema, [job.manifest(f"inputs/{source}", day, fingerprint, files=files, landing=landing)])


@pytest.mark.parametrize(
    ("orders", "deliveries", "known"),
    [
        ((-60, 0), (-7200,), "cutoff"),
        ((-60, 1), (-7200,), "later"),
        ((-60,), (86400,), "later"),
        ((-60,), (), ""),
    ],
)
def test_one_file_that_came_later_makes_features_of_later(
    job: Job, orders: tuple[int, ...], deliveries: tuple[int, ...], known: str
) -> None:
    publish(job, "orders", "2024-02-10", "f1", *orders)
    publish(job, "deliveries", "2024-02-09", "f2", *deliveries)
    reads = {"orders": Upstream(0, {"2024-02-10": "f1"}), "deliveries": Upstream(0, {"2024-02-09": "f2"})}
    assert Knowledge(job).of(reads, DS) == known


def test_a_manifest_says_it_and_one_that_says_nothing_is_as_before(job: Job) -> None:
    assert "known" not in job.manifest("features", job.day, "f1").document()
    said = job.manifest("features", job.day, "f1", known="later")
    assert Manifest.read(said.document()) == said
    assert Knowledge(job).of({}, DS) == ""
