"""Which of some days cannot be built, found by halves and in few tries. Pure: what a try is, its caller knows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nightshift.errors import NightshiftError

# A module that fails on every day is not tried on each of them. So many bad days are found before the first good one,
# and so many in a row after it: days that are bad for one reason often follow each other.
FIRST_BAD, BAD_IN_A_ROW = 6, 16


@dataclass
class Found:
    """What became of days: those that fail alone, each with its error, and those that were ``not_tried``, sorted.

    ``built`` says whether any day was built.
    """

    bad: dict[str, NightshiftError] = field(default_factory=dict)
    not_tried: list[str] = field(default_factory=list)
    built: bool = False


def by_halves(days: Sequence[str], build: Callable[[Sequence[str]], NightshiftError | None]) -> Found:
    """Build all days together; where that fails, each half of them, down to the single days that fail.

    ``build`` returns the error of a try. After the two days of a pair the largest part is next, from its other end:
    where good days are left, some are found soon. It ends with ``FIRST_BAD`` bad days where nothing was built,
    and with ``BAD_IN_A_ROW`` after that. What ``build`` raises ends it at once.
    """
    found, parts, in_a_row = Found(), [sorted(days)], 0
    while parts and in_a_row < (BAD_IN_A_ROW if found.built else FIRST_BAD):
        part = parts.pop()
        error = build(part)
        if error is not None and len(part) > 1:
            half = len(part) // 2
            halves = [part[half:], part[:half]]
            parts += halves if in_a_row % 4 < 2 else reversed(halves)
            continue
        if error is None:
            found.built, in_a_row = True, 0
        else:
            found.bad[part[0]] = error
            in_a_row += 1
        parts.sort(key=lambda part: part[0], reverse=True)
        parts.sort(key=lambda part: (len(part) == 1, len(part)))
    found.not_tried = sorted(day for part in parts for day in part)
    return found
