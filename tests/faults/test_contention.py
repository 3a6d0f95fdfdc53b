"""Two at once: one result, and no damage."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from nightshift.registry.ledger import Ledger
from tests.faults.conftest import NAME, NIGHTS, STEPS, Nights, Reader, assert_registered_once
from tests.faults.faults import fault

pytestmark = [pytest.mark.platform, pytest.mark.spark]


def at_once(nights: Nights, *commands: list[str]) -> list[str]:
    """Runs commands side by side, each to its end; what they said, if all went well."""
    program = str(Path(sys.executable).parent / "nightshift")
    started = [
        subprocess.Popen(
            [program, *command],
            env=nights.live.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o077,
        )
        for command in commands
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(commands), said
    return said


@fault(
    "the same day twice at once, step by step",
    seen="both succeed; one of them says that the day is up to date",
    recovery="nothing to do: one publication of each dataset",
)
def test_the_same_day_twice_at_once(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[12]
    for step in STEPS:
        command = ["run", NAME, step, "--ds", ds.isoformat(), "--run-id"]
        at_once(nights, [*command, "one"], [*command, "two"])
    nights.assert_undisturbed([ds])


@fault(
    "two retrains of one date at once",
    seen="both succeed; the second says that the entry of the first stands",
    recovery="nothing to do: one version, one entry, and the alias names the champion",
)
def test_two_retrains_at_once(nights: Nights, reader: Reader) -> None:
    as_of = date(2024, 4, 8)
    command = ["retrain", NAME, "--as-of", as_of.isoformat()]
    at_once(nights, command, command)
    assert_registered_once(nights)
    ledger = Ledger.of(nights.settings)
    assert len([entry for entry in ledger.entries(NAME) if entry.as_of == as_of]) == 1
    assert ledger.verify() == len(ledger.entries())
