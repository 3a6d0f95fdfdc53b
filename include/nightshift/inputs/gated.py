"""What became of the days of a source."""

from dataclasses import dataclass, field

from nightshift.errors import NightshiftError, SourceUnseen
from nightshift.inputs.columns import Differences
from nightshift.lineage import DataFile


@dataclass
class Gated:
    """What became of the days of a source.

    ``absent`` days have neither landed nor been published. ``kept`` days were corrected, but the correction failed
    its gate: the publication before it stays. ``blocked`` ones failed and have no publication. Both hold the error.
    Of ``dirty`` days rows went to quarantine, or an expectation failed that only warns; ``warned`` counts the latter.
    ``differences`` are those of the days' columns from the contract's, ``new_differences`` those of them that no
    publication had before.
    Of ``waiting`` days the delivery is not whole, and why; of ``unseen`` ones it could not be looked at.
    ``corrected`` are the published days that had been before. ``empty`` days were published, but their files had no
    row. ``restored`` says what another program had done to days that were published again from landing. ``active`` is
    what was found published: fingerprint and files, by day.
    """

    source: str
    published: list[str] = field(default_factory=list)
    up_to_date: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    kept: dict[str, NightshiftError] = field(default_factory=dict)
    blocked: dict[str, NightshiftError] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=lambda: {"rows_landed": 0, "rows_published": 0, "rows_quarantined": 0})
    pages: dict[str, str] = field(default_factory=dict)
    dirty: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    warned: int = 0
    waiting: dict[str, str] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    corrected: list[str] = field(default_factory=list)
    restored: dict[str, str] = field(default_factory=dict)
    differences: dict[str, Differences] = field(default_factory=dict)
    new_differences: dict[str, Differences] = field(default_factory=dict)
    active: dict[str, tuple[str, tuple[DataFile, ...]]] = field(default_factory=dict)

    @property
    def refused_corrections(self) -> list[str]:
        """The kept days whose correction was looked at, and refused."""
        return [day for day, error in self.kept.items() if not isinstance(error, SourceUnseen)]
