"""Deliveries that a night goes on without: the spec, or a person, lets them be lacking."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from nightshift.errors import PartitionDamaged
from nightshift.inputs.allowance import some
from nightshift.inputs.gated import Gated
from nightshift.job import Job

ABSENT = "it has not landed"
BLOCKED = "its gate blocked"
DAMAGED = "another program changed it"


@dataclass(frozen=True)
class Lack:
    """A day of a source that features do without, and why."""

    source: str
    day: str
    why: str

    @property
    def words(self) -> str:
        """The lack as a part of a sentence."""
        return f"{self.source} {self.day}: {self.why}"


def lack_lines(found: Sequence[Lack]) -> list[str]:
    """A line for each source and reason, however many days it is about."""
    days: dict[tuple[str, str], list[str]] = {}
    for lack in found:
        days.setdefault((lack.source, lack.why), []).append(lack.day)
    return [f"without {source} {some(names)}: {why}" for (source, why), names in days.items()]


def lacks(job: Job, needed: Mapping[str, Sequence[date]], gated: Mapping[str, Gated]) -> list[Lack]:
    """The needed days that are not published once their sources are gated, by source and day."""
    return [lack for name in job.pipeline.feature_inputs for lack in _of_source(name, needed[name], gated[name])]


def _of_source(name: str, needed: Sequence[date], gated: Gated) -> Iterator[Lack]:
    for day in map(str, needed):
        if error := gated.blocked.get(day):
            yield Lack(name, day, DAMAGED if isinstance(error, PartitionDamaged) else BLOCKED)
        elif day in gated.absent:
            waits = gated.waiting.get(day)
            yield Lack(name, day, f"{ABSENT}, {waits}" if waits else ABSENT)
