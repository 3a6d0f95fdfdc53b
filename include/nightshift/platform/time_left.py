"""The time that a backfill will still take, from its runs that are finished. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import fmean

_HOUR = 3600.0
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Left:
    """``seconds`` that were left at the moment ``at``; ``risen`` is the moment since which they have not risen."""

    seconds: float
    at: float
    risen: float

    @property
    def words(self) -> str:
        """The time left, for people; what is over and yet goes on took longer than the finished runs did."""
        if self.seconds < 1:
            return "longer than its finished runs say"
        span = timedelta(seconds=self.seconds)
        return f"about {round(span / _MINUTE)} min left" if span >= _MINUTE else f"about {span.seconds} s left"


def expected(finished: Sequence[float], running: Sequence[float], queued: int) -> float | None:
    """The seconds that runs take which are ``running`` for so long, and ``queued``; None where no run has finished.

    Each takes what those of the same backfill took that succeeded, and as many run at once as now.
    """
    if not finished:
        return None
    each = fmean(finished)
    return (queued * each + sum(max(0.0, each - seconds) for seconds in running)) / max(1, len(running))


def next_left(before: Left | None, seconds: float | None, now: float) -> Left | None:
    """What is said now, after what was said before: it counts down, and rises an hour after it last did, no sooner.

    A run that takes long makes every estimate rise with each look, and says nothing of when the rest is done.
    """
    if before is None:
        return None if seconds is None else Left(seconds, now, now)
    counted = max(0.0, before.seconds - (now - before.at))
    if seconds is None or seconds <= counted:
        return Left(counted if seconds is None else seconds, now, before.risen)
    return Left(seconds, now, now) if now - before.risen >= _HOUR else Left(counted, now, before.risen)
