"""A delivery that will not come: what waits for it, who may let it go, and what the fingerprints say."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightshift.errors import InputMissing, NightshiftError
from nightshift.features.build import resolve
from nightshift.freshness.nights import look
from nightshift.inputs.run import gate_inputs, inputs_landed
from nightshift.inputs.waive import waive
from nightshift.job import Job, new_attempt
from nightshift.registry.champions import champion_as_of, first_champion_date
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.settings import Settings
from tests.conftest import make_pipeline
from tests.postgres import WRITER, Database, admit_people
from tests.unit.features.lake import home_with_module
from tests.unit.inputs.landed import DELIVERIES, drop, drop_day

DS, GONE, ALSO_GONE = date(2024, 2, 10), date(2024, 2, 8), date(2024, 2, 9)


@pytest.fixture
def job(settings: Settings, tmp_path: Path, database: Database) -> Job:
    """A night of which two days of deliveries are absent, and one may be."""
    create_ledger(database.owner_url, WRITER)
    settings = replace(home_with_module(settings, tmp_path / "project"), database_url=database.writer_url)
    admit_people(settings, database)
    drop_day(settings, "2024-02-10", ("2024-02-07",))
    return Job(settings, make_pipeline(), DS)


def waived(job: Job, source: str = "deliveries", ds: date = GONE, reason: str = "the depot burnt down") -> Entry:
    return waive(job.settings, job.pipeline, source, ds, actor="ops", reason=reason)


def again(job: Job) -> Job:
    return replace(job, attempt=new_attempt())


def test_a_night_waits_until_the_delivery_is_waived(job: Job) -> None:
    for step in (inputs_landed, gate_inputs):
        with pytest.raises(InputMissing, match="source deliveries lacks 2 of the 3 days"):
            step(again(job))
    assert look(job.settings, job.pipeline, [DS])[0].features.state == "waits"
    waived(job)
    assert inputs_landed(again(job)).status == "done"
    gate_inputs(again(job))
    assert look(job.settings, job.pipeline, [DS])[0].features.state == "new"
    assert list(resolve(job).reads("features", DS)["deliveries"].days) == ["2024-02-07"]


def test_the_fingerprint_is_of_what_was_read_so_a_late_delivery_makes_the_day_stale(job: Job) -> None:
    waived(job)
    gate_inputs(again(job))
    without = resolve(job).wanted("features", DS)
    drop(job.settings, f"deliveries/ds={GONE}", "x,N,1.0", header=DELIVERIES)
    gate_inputs(again(job))
    assert resolve(job).wanted("features", DS) not in ("", without)


def test_a_waiver_of_a_day_that_may_be_absent_anyway_lets_no_other_one_go(job: Job) -> None:
    waived(job, ds=date(2024, 2, 2))
    with pytest.raises(InputMissing, match="lacks 2 of the 3 days"):
        inputs_landed(job)


def test_labels_are_not_built_from_what_is_not_there(job: Job) -> None:
    waived(job, ds=ALSO_GONE)
    gate_inputs(again(job))
    with pytest.raises(InputMissing, match="labels of 2024-02-09 need 1 days of source deliveries"):
        resolve(job).reads("labels", ALSO_GONE)


def test_a_waiver_is_one_entry_and_changes_no_champion(job: Job) -> None:
    first, second = waived(job), waived(job, reason="asked twice")
    assert first == second
    assert (first.kind, first.actor, first.reason) == ("waiver", "ops", "the depot burnt down")
    entries = Ledger.of(job.settings).entries("parcels")
    assert Ledger.of(job.settings).verify() == len(entries) == 1
    assert champion_as_of(entries, DS) is None
    assert first_champion_date(entries) is None


@pytest.mark.parametrize(
    ("source", "ds", "reason", "what"),
    [
        ("delivery", GONE, "why", "there is no source 'delivery'; did you mean deliveries?"),
        ("orders", GONE, "why", "source orders is the spine: without it there is no row to score"),
        ("depots", GONE, "why", "source depots is a snapshot: the newest one is used, however old"),
        ("deliveries", date(2024, 2, 7), "why", "2024-02-07 of source deliveries has landed"),
        ("deliveries", GONE, "  ", "a waiver has a reason"),
        ("deliveries", GONE, "over\x1b[2K", "the reason is not one line of text, or has control characters"),
        ("deliveries", date(2031, 1, 1), "why", "no night reads 2031-01-01 of source deliveries"),
    ],
)
def test_what_cannot_be_waived(job: Job, source: str, ds: date, reason: str, what: str) -> None:
    with pytest.raises(NightshiftError) as refused:
        waived(job, source, ds, reason)
    assert refused.value.what == what
    assert Ledger.of(job.settings).entries() == []


def test_what_is_published_needs_no_waiver(job: Job) -> None:
    waived(job)
    gate_inputs(again(job))
    for file in Path(job.settings.landing, "parcels/deliveries/ds=2024-02-07").iterdir():
        file.unlink()
    with pytest.raises(NightshiftError, match="2024-02-07 of source deliveries is published"):
        waived(job, ds=date(2024, 2, 7))
