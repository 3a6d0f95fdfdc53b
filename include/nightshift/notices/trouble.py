"""Troubles of runs and nights, and the faults that they have in common. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from nightshift.lineage import canonical, sha256
from nightshift.run_state import RunState
from nightshift.specs.notify import Event

LONGEST = 400
# Names, days, counts and digests differ between runs that fail alike.
_OWN = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9a-f]{8,}|\S*\d\S*|\S*/\S*")


@dataclass(frozen=True)
class Trouble:
    """What is not well of one run, night or store.

    ``events`` are what it is for those who asked to hear of it, ``stage`` distinguishes what is said of a fault one
    after the other (a night will be late, then it is). ``night`` is the business day of a run by schedule, and empty
    for those that people asked for: a backfill of many days has one fault. ``cause`` is a step's own sentence, which
    quotes no cell; ``next`` a command, ``link`` the address of a page.
    """

    events: tuple[Event, ...]
    state: RunState
    pipeline: str
    dag: str
    ds: str
    cause: str
    next: str
    link: str = ""
    night: str = ""
    stage: str = "said"
    owner: str = ""
    alike: str = ""

    @property
    def member(self) -> str:
        """The run or night that it is of."""
        return f"{self.dag} {self.ds}".strip()

    @property
    def fault(self) -> str:
        """The fault that it shares with others: those of the same events, night and kind of cause."""
        return sha256(canonical([list(self.events), self.night, self.alike or kind(self.cause, self.pipeline)]))[:24]

    def document(self) -> dict[str, Any]:
        """The trouble as plain data."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Self:
        """The trouble that ``document`` was made of."""
        return cls(**{**document, "events": tuple(document["events"]), "state": RunState(document["state"])})


def kind(cause: str, pipeline: str) -> str:
    """A cause without what differs between pipelines, days and tries."""
    words = first_line(cause)
    if pipeline:
        words = re.sub(rf"\b{re.escape(pipeline)}(__retrain)?\b", "*", words)
    return " ".join(_OWN.sub("#", words).split())


def first_line(text: str) -> str:
    """The first line of a text, at most ``LONGEST`` characters: of a gate's message without its table."""
    line = next((line for line in text.strip().splitlines() if line.strip()), "")
    line = " ".join("".join(character if character.isprintable() else " " for character in line).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def by_fault(troubles: Iterable[Trouble]) -> dict[str, list[Trouble]]:
    """The troubles of each fault, one for each run or night, in the order in which they were found."""
    found: dict[str, dict[str, Trouble]] = {}
    for trouble in troubles:
        found.setdefault(trouble.fault, {}).setdefault(trouble.member, trouble)
    return {fault: list(members.values()) for fault, members in found.items()}
