"""The words of a notice. Pure: a title, and lines of what is known, what to do and where to look."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nightshift.notices.trouble import Trouble, first_line

MOST_NAMED = 10
_TITLE = 160
OVER = "over"

Weight = Literal["failure", "warning", "success"]


@dataclass(frozen=True)
class Message:
    """A notice as a channel gets it; ``weight`` is what services colour, or open and resolve incidents by.

    ``fault`` is what the notices of a fault and of its end have in common.
    """

    title: str
    body: str
    weight: Weight
    fault: str = ""


def message(troubles: Sequence[Trouble]) -> Message:
    """The notice of a fault: its first trouble, and the names of the others."""
    first = troubles[0]
    lines = _facts(first)
    lines += [f"Next: {first.next}"]
    lines += [f"Look: {first.link}"] if first.link else []
    lines += _others(troubles)
    weight: Weight = "failure" if {"FAILED", "late", "ledger trouble"} & {*first.events} else "warning"
    return Message(_title(_word(first), troubles), "\n".join(lines), weight, first.fault)


def over(troubles: Sequence[Trouble]) -> Message:
    """The notice that a fault is over, for those who heard of it."""
    first = troubles[0]
    lines = [f"It is over: {first.member or 'the platform'} is well again.", *_facts(first)[1:]]
    lines += [f"Look: {first.link}"] if first.link else []
    return Message(_title(OVER, troubles), "\n".join([*lines, *_others(troubles)]), "success", first.fault)


def trial(channel: str) -> Message:
    """The notice that tries a channel."""
    body = f"This is a trial of the channel {channel}. Nothing is wrong.\nNext: nightshift notify"
    return Message(f"[trial] Nightshift reaches {channel}", body, "success")


def _word(first: Trouble) -> str:
    return "late" if "late" in first.events else str(first.state)


def _facts(first: Trouble) -> list[str]:
    owner = f" (owner: {first_line(first.owner)})" if first.owner else ""
    named = [f"Pipeline: {first.pipeline}{owner}"] if first.pipeline else []
    days = [f"Business day: {first.ds}"] if first.ds else []
    return [f"State: {first.state}", *named, *days, f"First cause: {first_line(first.cause)}"]


def _others(troubles: Sequence[Trouble]) -> list[str]:
    names = [trouble.member for trouble in troubles[1:]]
    if not names:
        return []
    more = len(names) - MOST_NAMED
    return [f"The same of: {', '.join(names[:MOST_NAMED])}" + (f" and {more} more" if more > 0 else "")]


def _title(word: str, troubles: Sequence[Trouble]) -> str:
    first, more = troubles[0], len(troubles) - 1
    whom = f"{first.member} and {more} more" if more else first.member
    title = first_line(f"[{word}] {whom or 'Nightshift'}: {first_line(first.cause)}")
    return title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
