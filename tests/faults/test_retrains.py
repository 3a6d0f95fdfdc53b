"""Retrains that are disturbed; last, since each of them publishes the features of the days behind it."""

import json
from datetime import date
from pathlib import Path

import pytest

from nightshift.registry.ledger import Ledger
from tests.faults.breaking import at_once, healthy, kill_program
from tests.faults.faults import fault
from tests.nights import NAME, Nights, Reader, assert_registered_once
from tests.waiting import until

pytestmark = [pytest.mark.platform, pytest.mark.spark]
RETRAIN = f"{NAME}__retrain"


@fault(
    "`kill -9` of the MLflow server between registration and ledger entry",
    seen="`promote` writes the entry and warns that MLflow does not answer; the alias stays as it was",
    recovery="the supervisor starts MLflow again; the next `promote` mends the alias",
)
def test_mlflow_between_registration_and_ledger_entry(nights: Nights, reader: Reader) -> None:
    as_of = date(2024, 4, 1)
    nights.backfill([as_of], RETRAIN)
    runs = Path(nights.job(as_of).document("")).parent.parent
    until(lambda: list(runs.glob("*/evaluate_and_register.json")), seconds=300, pause=0.02)
    kill_program(nights.settings, "mlflow")
    assert {run.state for run in nights.over([as_of], RETRAIN)} == {"success"}
    entries = [entry for entry in Ledger.of(nights.settings).entries(NAME) if entry.as_of == as_of]
    assert len(entries) == 1
    # The retrain does not wait for MLflow; its registry is asked once it answers again.
    until(lambda: healthy(nights.settings, "mlflow"))
    assert_registered_once(nights)
    ledger = Ledger.of(nights.settings)
    assert ledger.verify() == len(ledger.entries())


@fault(
    "two retrains of one date at once",
    seen="both succeed; the second says that the entry of the first stands",
    recovery="nothing to do: one version, one entry, and the alias names the champion",
)
def test_two_retrains_at_once(nights: Nights, reader: Reader) -> None:
    as_of = date(2024, 4, 8)
    command = ["retrain", NAME, "--as-of", as_of.isoformat()]
    at_once(nights.live, command, command)
    assert_registered_once(nights)
    ledger = Ledger.of(nights.settings)
    assert len([entry for entry in ledger.entries(NAME) if entry.as_of == as_of]) == 1
    assert ledger.verify() == len(ledger.entries())


def test_retrains(nights: Nights, reader: Reader) -> None:
    """Weekly: of five days, one is a Monday."""
    done = nights.live.run(
        "nightshift", "backfill", NAME, "2024-04-13", "2024-04-17", "--retrain", "--json", timeout=500
    )
    decisions = json.loads(done.stdout)["decisions"]
    assert list(decisions) == ["2024-04-15"]
    ledger = Ledger.of(nights.settings)
    [entry] = [entry for entry in ledger.entries(NAME) if entry.as_of == date(2024, 4, 15)]
    assert decisions["2024-04-15"]["seq"] == entry.seq
    assert ledger.verify() == len(ledger.entries())
