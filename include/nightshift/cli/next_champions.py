"""The champions of the next night, for ``check``: whom scoring would refuse, by the functions that refuse at night."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from nightshift.errors import NightshiftError
from nightshift.features.serving import servable
from nightshift.registry.champions import champion_as_of
from nightshift.registry.effective import next_ds
from nightshift.registry.entry import Entry
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
class NextChampions:
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


def next_champions(settings: Settings, pipelines: Sequence[Pipeline]) -> NextChampions:
    """Ask for the champion of each pipeline's next night; of one that is over, of its last day."""
    found = NextChampions()
    try:
        entries = _entries(settings)
    except NightshiftError as error:
        return NextChampions(not_asked={pipeline.name: error.what for pipeline in pipelines})
    for pipeline in pipelines:
        _ask(settings, pipeline, [entry for entry in entries if entry.pipeline == pipeline.name], found)
    return found


def _entries(settings: Settings) -> list[Entry]:
    if not settings.database_url and not settings.database_file.is_file():
        raise NightshiftError("there is no ledger here")
    return Ledger.of(settings).entries()


def _ask(settings: Settings, pipeline: Pipeline, entries: Sequence[Entry], found: NextChampions) -> None:
    name, ds = pipeline.name, next_day(pipeline, datetime.now(UTC))
    champion = champion_as_of(entries, ds)
    if champion is None:
        found.not_asked[name] = f"the ledger names none for {ds}"
        return
    try:
        manifest, reason = servable(settings, pipeline, champion)
    except NightshiftError as error:
        found.not_asked[name] = error.what
        return
    if manifest is None:
        found.refused.append(Refused(name, ds.isoformat(), champion.version, reason))


def next_day(pipeline: Pipeline, now: datetime) -> date:
    """The next day that is scored, in the spec's range."""
    ds = max(next_ds(pipeline.schedule, now), pipeline.schedule.start)
    return min(ds, pipeline.schedule.end or ds)
