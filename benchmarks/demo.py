"""The first ``make demo`` after set-up, on a ``var`` of its own; some three minutes, so only when asked for by name."""

import os

from benchmarks.figures import Figure, Result, Target
from benchmarks.measure import BIN, each, process
from benchmarks.session import Session
from tests.live import free_port


def run(session: Session) -> Result:
    """One figure, in wall seconds."""
    environment = {
        **os.environ,
        "NIGHTSHIFT_VAR": str(session.folder / "demo"),
        "NIGHTSHIFT_AIRFLOW_PORT": str(free_port()),
        "NIGHTSHIFT_MLFLOW_PORT": str(free_port()),
    }
    try:
        cost = process("make", "demo", env=environment)
    finally:
        process(BIN / "nightshift", "down", env=environment)
    figure = Figure(
        name="the first `make demo` after set-up",
        unit="wall s",
        samples=each([cost], lambda one: one.wall),
        target=Target("at most", 360),
    )
    return Result((figure,))
