"""What a benchmark found, as plain data. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Cell = str | float | None


@dataclass(frozen=True)
class Target:
    """What a figure should be: at most, or at least, ``bound``."""

    kind: Literal["at most", "at least"]
    bound: float

    def met(self, value: float) -> bool:
        """Whether a value is within the bound, which belongs to what is allowed."""
        return value <= self.bound if self.kind == "at most" else value >= self.bound


@dataclass(frozen=True)
class Figure:
    """One measure of ours beside that of a peer.

    ``samples`` and ``peer_samples`` are what each repeat measured, in ``unit``. Without a peer (``peer`` is empty)
    the target is one of the measure itself, with a peer one of the ratio.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    peer: str = ""
    peer_samples: tuple[float, ...] = ()
    target: Target | None = None

    @property
    def ours(self) -> float:
        """The median of our samples."""
        return statistics.median(self.samples)

    @property
    def theirs(self) -> float | None:
        """The median of the peer's samples, None without a peer."""
        return statistics.median(self.peer_samples) if self.peer_samples else None

    @property
    def ratio(self) -> float | None:
        """Ours divided by the peer's, None without a peer."""
        return None if self.theirs is None else self.ours / self.theirs

    @property
    def met(self) -> bool | None:
        """Whether the target is met, None without one."""
        if self.target is None:
            return None
        return self.target.met(self.ours if self.ratio is None else self.ratio)


@dataclass(frozen=True)
class Table:
    """Measures that have no peer, for example one row for each step."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Result:
    """All that one benchmark found."""

    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """The result as plain data; what follows from the samples is written down, too, for readers of the JSON."""
        figures = [
            {**asdict(item), "ours": item.ours, "theirs": item.theirs, "ratio": item.ratio, "met": item.met}
            for item in self.figures
        ]
        return {"figures": figures, "tables": [asdict(item) for item in self.tables]}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Result":
        """The result that ``document()`` made."""
        return cls(
            tuple(_figure(item) for item in document["figures"]),
            tuple(
                Table(item["title"], tuple(item["heads"]), tuple(tuple(row) for row in item["rows"]))
                for item in document["tables"]
            ),
        )


def _figure(item: Mapping[str, Any]) -> Figure:
    return Figure(
        name=item["name"],
        unit=item["unit"],
        samples=tuple(item["samples"]),
        peer=item["peer"],
        peer_samples=tuple(item["peer_samples"]),
        target=Target(**item["target"]) if item["target"] else None,
    )


def rates(rows: int, seconds: Sequence[float]) -> tuple[float, ...]:
    """Rows per second of each sample."""
    return tuple(rows / one for one in seconds)
