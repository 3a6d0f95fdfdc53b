"""How late a night is, or will be. Pure: moments are aware, durations in seconds."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import quantiles
from typing import Literal

FEWEST = 3
"""With fewer earlier runs nothing is foretold."""

Lateness = Literal["", "will be late", "is late"]


def usual(earlier: Sequence[float]) -> timedelta | None:
    """How long a run takes that is not quick: three of four earlier ones were done by then. None of too few."""
    if len(earlier) < FEWEST:
        return None
    return timedelta(seconds=quantiles(earlier, n=4, method="inclusive")[2])


def lateness(due: datetime, now: datetime, begun: datetime | None, earlier: Sequence[float]) -> Lateness:
    """Return what a night is whose predictions are not there at ``now``.

    One that has ``begun`` ends after its usual time, one that has not cannot end before that time from now on.
    """
    if now >= due:
        return "is late"
    takes = usual(earlier)
    if takes is None:
        return ""
    return "will be late" if max((begun or now) + takes, now) > due else ""


def a_quarter(cutoff: datetime, wait: float) -> datetime:
    """The moment from which a file that has not landed is worth a word: a quarter of ``wait`` seconds is gone."""
    return cutoff + timedelta(seconds=wait / 4)
