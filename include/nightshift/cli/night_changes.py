"""What a night would find otherwise now, what people ordered about it, and what its readers see."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from nightshift.cli.last_good import last_good_day, since_last_good
from nightshift.cli.published import Published
from nightshift.errors import NightshiftError
from nightshift.freshness.nights import DATASETS, Night
from nightshift.inputs.days import landing_news
from nightshift.inputs.landing import partition_files
from nightshift.inputs.needs import daily_needs
from nightshift.inputs.snapshots import newest_snapshots
from nightshift.job import Job
from nightshift.orders.said import day_lines, freeze_lines
from nightshift.registry.ledger import Ledger
from nightshift.registry.proposals import Proposal, open_proposal
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


def changes(settings: Settings, pipeline: Pipeline, ds: date, night: Night | None, known: str = "") -> Iterator[str]:
    """What is different from the last good day, and from what is published of ``ds``; not what is ``known`` already."""
    try:  # such as waivers, which are in the database
        yield from since_last_good(settings, pipeline, ds)
    except NightshiftError as error:
        yield f"what else changed is not known: {error.what}"
    for name in DATASETS if night else ():
        found = getattr(night, name)
        if found.state not in ("up_to_date", "outside"):
            parts = [change.partition(": ") for change in found.changes]
            news = [head if tail and tail in known else head + colon + tail for head, colon, tail in parts]
            why = f": {'; '.join(news)}" if news else ""
            yield f"{name} of {found.ds}: {found.state.replace('_', ' ')}{why}"


def landed_since(settings: Settings, pipeline: Pipeline, ds: date, moment: str) -> Iterator[str]:
    """The days that features of ``ds`` read whose files landed after a moment (ISO), and that no gate has refused."""
    job = Job(settings, pipeline, ds)
    try:
        after = datetime.fromisoformat(moment).timestamp() * 1e9
        needs = daily_needs(pipeline, ds, newest_snapshots(job, {}))
        for name, days in needs.features.items():
            for day in landing_news(job, name, days).coming:
                files = partition_files(settings, pipeline.inputs[name], date.fromisoformat(day))
                newest = max((file.mtime_ns for file in files), default=0)
                if newest > after:
                    at = datetime.fromtimestamp(newest / 1e9, UTC)
                    yield f"{name} {day} has landed since, at {at:%Y-%m-%d %H:%M:%S} UTC; no gate has refused it"
    except (NightshiftError, ValueError):
        return


def orders(
    settings: Settings, pipeline: Pipeline, ds: date, seen: Sequence[Published], *, retrain: bool
) -> Iterator[str]:
    """The orders of people that concern the night, and the freeze in force."""
    try:
        entries = Ledger.of(settings).entries(pipeline.name)
    except NightshiftError as error:
        yield f"what people ordered is not known: {error.what}"
        return
    if not retrain:
        scored_by = next((item.model_sha256 for item in seen if item.dataset == "predictions"), "")
        yield from day_lines(entries, pipeline.name, ds, scored_by)
    yield from freeze_lines(entries)


def waiting_proposal(settings: Settings, pipeline: Pipeline) -> Proposal | None:
    """The proposal that waits for a person; None as well where the ledger cannot be read, which ``orders`` says."""
    try:
        entries = Ledger.of(settings).entries(pipeline.name)
    except NightshiftError:
        return None
    return open_proposal(entries, pipeline.schedule, datetime.now(UTC))


def readers(settings: Settings, pipeline: Pipeline, ds: date, seen: Sequence[Published]) -> Iterator[str]:
    """What a reader of the tables gets for this day."""
    for item in seen:
        if item.dataset in ("features", "labels", "predictions"):
            model = f", model {item.model_sha256[:16]}" if item.model_sha256 else ""
            made = f"published by {item.run_id} at {item.created_at[:19]}" if item.run_id else "its manifest is gone"
            if item.damage:
                state = "refused" if item.fingerprint else "none"
                yield f"{item.dataset}: {state}, another program changed them: {item.damage}"
                continue
            yield f"{item.dataset}: {item.rows} rows, table version {item.version}{model}, {made}"
    if not any(item.dataset == "predictions" and item.rows for item in seen):
        newest = last_good_day(settings, pipeline, ds)
        yield f"predictions: none for {ds}" + (f"; the newest day before it is {newest}" if newest else "")
