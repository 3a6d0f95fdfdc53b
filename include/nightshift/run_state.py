"""The state of a run, in one word for the command line, pages, notes, messages and JSON."""

from enum import StrEnum


class RunState(StrEnum):
    """What became of a run so far; the value is the word that people read.

    ``OK_WITH_WARNINGS`` did less than its name says, or something was refused on the way. ``WAITING`` has nothing to
    work on yet: a file, another run, a slot, a person.
    """

    OK = "OK"
    OK_WITH_WARNINGS = "OK with warnings"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    FAILED = "FAILED"
    PAUSED = "PAUSED"
    SKIPPED = "SKIPPED"
