"""Tonight's champions, for ``check``: which of them scoring would refuse, by the functions that refuse it at night."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from nightshift.errors import NightshiftError
from nightshift.features.serving import servable
from nightshift.registry.champions import champion_as_of
from nightshift.registry.effective import next_ds
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


@dataclass(frozen=True)
class Refused:
    """A champion that scoring of ``ds`` would refuse, and why."""

    pipeline: str
    ds: str
    version: str
    reason: str

    def __str__(self) -> str:
        do = f"put code and spec back, or `nightshift retrain {self.pipeline} --as-of DAY`; it scores from DAY + 1 on"
        return f"{self.pipeline}: scoring of {self.ds} would be refused: {self.reason}. What to do: {do}."


@dataclass(frozen=True)
class Tonight:
    """What was found; ``not_asked`` has the reason for each pipeline of which nothing could be."""

    refused: list[Refused] = field(default_factory=list)
    not_asked: dict[str, str] = field(default_factory=dict)

    def unasked_lines(self) -> list[str]:
        """A line for each reason why nothing was asked, with the pipelines that it is about."""
        names: dict[str, list[str]] = {}
        for name, why in self.not_asked.items():
            names.setdefault(why, []).append(name)
        said = "whether tonight's scoring takes their champions was not asked"
        return [f"{', '.join(found)}: {said}: {why}" for why, found in names.items()]


def tonight(settings: Settings, pipelines: Sequence[Pipeline]) -> Tonight:
    """Ask for the champion of each pipeline's next night; of one that is over, of its last day."""
    found = Tonight()
    for pipeline in pipelines:
        try:
            _ask(settings, pipeline, found)
        except NightshiftError as error:
            found.not_asked[pipeline.name] = error.what
    return found


def _ask(settings: Settings, pipeline: Pipeline, found: Tonight) -> None:
    name, ds = pipeline.name, next_day(pipeline, datetime.now(UTC))
    if not settings.database_url and not settings.database_file.is_file():
        found.not_asked[name] = "there is no ledger here"
        return
    champion = champion_as_of(Ledger.of(settings).entries(name), ds)
    if champion is None:
        found.not_asked[name] = f"the ledger names none for {ds}"
        return
    manifest, reason = servable(settings, pipeline, champion)
    if manifest is None:
        found.refused.append(Refused(name, ds.isoformat(), champion.version, reason))


def next_day(pipeline: Pipeline, now: datetime) -> date:
    """The next day that is scored, in the spec's range."""
    ds = max(next_ds(pipeline.schedule, now), pipeline.schedule.start)
    return min(ds, pipeline.schedule.end or ds)
