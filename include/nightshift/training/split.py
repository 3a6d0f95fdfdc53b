"""Which days fit, which stop, which judge. Time is never shuffled: what is later never teaches what is earlier."""

from collections.abc import Sequence
from dataclasses import dataclass

STOPPING_SHARE = 0.15


@dataclass(frozen=True)
class Split:
    """Days (ISO text, ascending) by their part: every day of a part lies before every day of the next one."""

    fit: tuple[str, ...]
    stopping: tuple[str, ...]
    holdout: tuple[str, ...]

    @property
    def before_holdout(self) -> tuple[str, ...]:
        """The days that the booster that is evaluated may see."""
        return self.fit + self.stopping

    @property
    def all(self) -> tuple[str, ...]:
        """The days that the booster that scores is refitted on."""
        return self.fit + self.stopping + self.holdout


def split(days: Sequence[str], holdout: int) -> Split:
    """The newest ``holdout`` days judge; of the rest the newest 15 % (at least one day) end the boosting.

    Raises ValueError where fewer than two days would be left beside the holdout.
    """
    ordered = sorted(set(days))
    rest = len(ordered) - holdout
    if holdout < 1 or rest < 2:
        raise ValueError(f"{len(ordered)} days with a holdout of {holdout} leave {rest} days to fit on, 2 are needed")
    stopping = min(max(1, round(rest * STOPPING_SHARE)), rest - 1)
    return Split(tuple(ordered[: rest - stopping]), tuple(ordered[rest - stopping : rest]), tuple(ordered[rest:]))
