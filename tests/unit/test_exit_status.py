"""What ended a process."""

import pytest

from nightshift.exit_status import signal_text
from nightshift.spark import driver_error


@pytest.mark.parametrize("status", [-9, 137])
def test_a_kill_is_named_as_such_whoever_reports_it(status: int) -> None:
    assert signal_text(status) == "signal 9 (SIGKILL), often because memory ran out"
    assert "killed by signal 9" in str(driver_error("", status))


def test_another_signal_says_nothing_of_memory() -> None:
    assert signal_text(-15) == "signal 15 (SIGTERM)"


@pytest.mark.parametrize("status", [0, 1, 3, 128, 255])
def test_what_ended_by_itself_was_not_killed(status: int) -> None:
    assert signal_text(status) == ""
    assert f"status {status}" in str(driver_error("", status))


def test_the_error_that_a_job_told_goes_before_its_signal() -> None:
    assert str(driver_error("nightshift error: GateFailed: a gate blocked", 137)).startswith("a gate blocked")
