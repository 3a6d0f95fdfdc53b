"""Two at once: one result, and no damage."""

import pytest

from tests.faults.breaking import at_once
from tests.faults.faults import fault
from tests.nights import NAME, NIGHTS, STEPS, Nights, Reader

pytestmark = [pytest.mark.platform, pytest.mark.spark]


@fault(
    "the same day twice at once, step by step",
    seen="both succeed; one of them says that the day is up to date",
    recovery="nothing to do: one publication of each dataset",
)
def test_the_same_day_twice_at_once(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[12]
    for step in STEPS:
        command = ["run", NAME, step, "--ds", ds.isoformat(), "--run-id"]
        at_once(nights.live, [*command, "one"], [*command, "two"])
    nights.assert_undisturbed([ds])
