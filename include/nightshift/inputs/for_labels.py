"""Sources as labels see them: what is wrong with one costs no features; only a look that succeeded gives labels up."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from nightshift.errors import GateFailed, InputMissing, NightshiftError, SourceUnseen
from nightshift.inputs.days import gate_days
from nightshift.inputs.gated import Gated
from nightshift.inputs.landing import delivery
from nightshift.inputs.needs import Needs, label_needs
from nightshift.inputs.snapshots import newest_snapshots
from nightshift.job import Job
from nightshift.tables import TableState, state

log = logging.getLogger("nightshift.inputs")


@dataclass
class LabelSources:
    """The lacks of labels: a line for each day of a source; ``unseen`` are the sources that could not be looked at."""

    problems: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def gate_source(job: Job, name: str, days: Sequence[date]) -> Gated:
    """``gate_days``; whatever goes wrong with a source that features do not read is the labels' problem."""
    try:
        return gate_days(job, name, days)
    except NightshiftError as error:
        if name in job.pipeline.feature_inputs:
            raise
        return _blocked(name, days, error)


def source_states(job: Job) -> tuple[dict[str, TableState], dict[str, NightshiftError]]:
    """The tables of the sources, and what is wrong with those of labels alone. Raises NightshiftError for others."""
    found, unseen = dict[str, TableState](), dict[str, NightshiftError]()
    for name in job.pipeline.inputs:
        try:
            found[name] = state(job.table(f"inputs/{name}"))
        except NightshiftError as error:
            if name in job.pipeline.feature_inputs:
                raise
            unseen[name] = error
    return found, unseen


def is_unseen(job: Job, ds: date) -> bool:
    """Return whether a delivery that labels of ``ds`` read cannot be looked at in landing. Publishes nothing."""
    errors: dict[str, NightshiftError] = {}
    needs = label_needs(job.pipeline, ds, newest_snapshots(job, errors)).labels
    looks = (delivery(job.settings, job.pipeline.inputs[name], day) for name, days in needs.items() for day in days)
    return bool(errors) or any(look.unseen for look in looks)


def look_for_labels(job: Job, ds: date) -> LabelSources:
    """Look at the sources that labels of ``ds`` read; what has come and passes its gate is published."""
    errors: dict[str, NightshiftError] = {}
    needs = label_needs(job.pipeline, ds, newest_snapshots(job, errors))
    gated = {}
    for name, days in needs.labels.items():
        try:
            gated[name] = gate_days(job, name, days)
        except NightshiftError as error:
            gated[name] = _blocked(name, days, error)
    return label_sources(needs, gated, errors)


def label_sources(needs: Needs, gated: Mapping[str, Gated], errors: Mapping[str, NightshiftError]) -> LabelSources:
    """The lacks of labels in their sources once these are gated; of those in ``errors`` nothing could be listed."""
    found = LabelSources()
    for name, wanted in needs.labels.items():
        days, source = {day.isoformat() for day in wanted}, gated[name]
        blocked = {day: error for day, error in source.blocked.items() if day in days}
        found.problems += [f"source {name} has not landed for {day}" for day in source.absent if day in days]
        found.problems += [f"source {name} of {day}: {error.what}" for day, error in blocked.items()]
        found.problems += [f"source {name}: {errors[name].what}"] if name in errors else []
        kept = [error for day, error in source.kept.items() if day in days and isinstance(error, SourceUnseen)]
        if name in errors or kept or days & {*source.unseen} or not all(map(_is_seen, blocked.values())):
            found.unseen.append(name)
    return found


def _is_seen(error: NightshiftError) -> bool:
    """Return whether a blocked day is one that was looked at: refused by its gate, cut short, not there."""
    return isinstance(error, GateFailed | InputMissing) and not isinstance(error, SourceUnseen)


def _blocked(name: str, days: Sequence[date], error: NightshiftError) -> Gated:
    log.warning("%s: %s", name, error)
    return Gated(name, blocked={day.isoformat(): error for day in days})
