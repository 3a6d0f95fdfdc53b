"""What a machine must have for a test; the last lines of a run say what is left untested where it has not."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

_SPLIT = "; untested: "


def needs(there: object, lacking: str, untested: str) -> pytest.MarkDecorator:
    """Skips a test where something is not there: ``lacking`` says what, and ``untested`` which promise it proves."""
    return pytest.mark.skipif(not there, reason=f"{lacking}{_SPLIT}{untested}")


def skip(lacking: str, untested: str) -> NoReturn:
    """Skips the test that runs now."""
    pytest.skip(f"{lacking}{_SPLIT}{untested}")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # after all others: these are the last lines
def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    """Lists the promises that no test of this run has proved, and why; for `.ci/run`, in a file as well."""
    yield
    lines = list(_left(terminalreporter.stats.get("skipped", [])))
    if not lines:
        return
    terminalreporter.section("left untested on this machine")
    for line in lines:
        terminalreporter.line(line)
    if kept := os.environ.get("NIGHTSHIFT_UNTESTED"):
        with Path(kept).open("a") as file:
            file.writelines(f"{line}\n" for line in lines)


def _left(skipped: list[Any]) -> Iterator[str]:
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        lacking, _, untested = reason.partition(_SPLIT)
        yield f"{untested or 'unknown'} (skipped: {count}; {lacking})"
