"""What changed between a published partition and what would be built now. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nightshift.lineage import Upstream

State = Literal["up_to_date", "stale", "new", "waits", "refused", "damaged", "unlabelled", "outside"]
# The fingerprint of an input partition that has landed, and that no gate has seen yet.
LANDED = "landed"
_FEW = 3


@dataclass(frozen=True)
class Freshness:
    """Whether the partition ``ds`` of a dataset is what would be built now.

    ``new`` has never been published, ``waits`` cannot be built yet, ``refused`` would not be scored with the champion
    as things stand, ``damaged`` was changed by another program: it is refused, or built anew where no file of it is
    left. ``unlabelled`` is waited for no more, ``outside`` is not in the spec's range.
    Of inputs ``refused`` means that their gate has refused what landed, and will again.
    ``changes`` says what is different since the publication, what it waits for, or why it would be refused.
    """

    ds: str
    state: State
    changes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """The state as plain data."""
        return asdict(self)


def read_changes(
    published: Mapping[str, Upstream], wanted: Mapping[str, Upstream], landed: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """The days of each source that a partition would read otherwise than it did, one line for a source and a kind.

    ``landed`` has what is new or corrected in landing, by source and day.
    """
    names = sorted({*published, *wanted})
    return [line for name in names for line in _of_source(name, published, wanted, landed.get(name, {}))]


def _of_source(
    name: str, published: Mapping[str, Upstream], wanted: Mapping[str, Upstream], landed: Mapping[str, str]
) -> Iterator[str]:
    was = published[name].days if name in published else {}
    now = wanted[name].days if name in wanted else {}
    kinds: dict[str, list[str]] = {}
    for day in sorted({*was, *now}):
        if was.get(day) != now.get(day):
            kinds.setdefault(_kind(day, was, now, landed), []).append(day)
    for kind, days in kinds.items():
        yield f"{name} {', '.join(days[:_FEW])}{f' and {len(days) - _FEW} more' if len(days) > _FEW else ''} {kind}"


def _kind(day: str, was: Mapping[str, str], now: Mapping[str, str], landed: Mapping[str, str]) -> str:
    if day not in now:
        return "no longer read"
    if now[day] == LANDED:
        return f"{landed.get(day, 'new')} in landing"
    return "corrected" if day in was else "added"
