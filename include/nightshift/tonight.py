"""What the page Tonight knows of each pipeline: one document, which its runs and people's orders bring up to date.

It lies below the reports, where every container sees it, and is a summary of what is written elsewhere: losing it loses
nothing. Whoever writes one holds its pipeline's lock, so that of two at once the second knows the first. A document
ends in its digest: one that is torn or was altered is not shown.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from nightshift import runs, storage
from nightshift.database import advisory_lock
from nightshift.errors import NightshiftError, foreseen
from nightshift.job import Job, table_uri
from nightshift.lineage import canonical, sha256
from nightshift.orders.said import asked_line
from nightshift.plan import RETRAIN_SUFFIX
from nightshift.registry.champions import reigns_from
from nightshift.registry.entry import Entry
from nightshift.registry.interventions import freeze_in_force
from nightshift.registry.ledger import Ledger
from nightshift.registry.proposals import open_proposal
from nightshift.run_facts import RunFacts
from nightshift.settings import Settings
from nightshift.specs.calendar import current_ds
from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")

_FOLDER = "_tonight"
_LONGEST = 400
_AT_ONCE = 16


@dataclass(frozen=True)
class News:
    """What a run had to say last: its one line, the facts of its state, and what it waits for since when."""

    ds: str
    run_id: str
    at: str
    headline: str
    facts: RunFacts
    waits_for: str = ""
    since: str = ""


@dataclass(frozen=True)
class Summary:
    """A pipeline as it was at a moment (``at``, ISO 8601 in UTC).

    ``night`` and ``retrain`` are the news of the run of the newest day of either DAG. ``published`` is the newest day
    that readers have predictions of. ``reigns`` are the version that scores and the changes that are to come, each
    with its first day; an empty version is nobody. ``frozen`` says who froze promotions. ``asked`` says which proposal
    waits for a person, ``asked_until`` when it expires (ISO 8601).
    """

    pipeline: str
    at: str
    night: News | None = None
    retrain: News | None = None
    published: str = ""
    reigns: tuple[tuple[str, str], ...] = ()
    frozen: str = ""
    asked: str = ""
    asked_until: str = ""

    def document(self) -> dict[str, Any]:
        """The summary as plain data."""
        return asdict(self)


def with_news(known: Summary, news: News, *, retrain: bool = False) -> Summary:
    """The summary with a run's news, unless it has those of a later day: runs of the past say nothing of tonight.

    A run that waits goes on waiting since it began to, whatever it waits for by now. Pure.
    """
    before = known.retrain if retrain else known.night
    if before is not None and before.ds > news.ds:
        return known
    if before is not None and before.run_id == news.run_id and before.waits_for and news.waits_for:
        news = replace(news, since=before.since)
    return replace(known, retrain=news) if retrain else replace(known, night=news)


def read(settings: Settings, pipeline: str) -> Summary | None:
    """The summary of a pipeline; None where there is none that can be believed."""
    return _read(_uri(settings, pipeline))


def read_all(settings: Settings, pipelines: Sequence[str]) -> dict[str, Summary]:
    """The summaries of pipelines that can be believed: one listing, and one file each."""
    wanted = {_uri(settings, name): name for name in pipelines}
    there = [file.uri for file in storage.list_files(storage.join(settings.reports, _FOLDER)) if file.uri in wanted]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # an object store answers after some ten milliseconds
        found = dict(zip(there, pool.map(_read, there), strict=True))
    return {wanted[uri]: summary for uri, summary in found.items() if summary is not None}


def ended(job: Job, dag: str) -> str:
    """Brings the summary up to date with what the steps of a run said, and returns state and headline of the run.

    Never a reason to fail: logs a warning, and returns nothing, where that cannot be read.
    """
    retrain = dag.endswith(RETRAIN_SUFFIX)
    try:
        with foreseen():
            said = runs.read_run(job.settings, dag, job.run_id)
            published = None if retrain else job.day in _published(job.settings, job.pipeline)
    except NightshiftError as error:
        log.warning("the page Tonight does not know of this yet: %s", error.what)
        return ""
    facts, headline = RunFacts.of(said, published=published), runs.summary(said)
    update(job.settings, job.pipeline, _news(job, headline, facts), retrain=retrain)
    return f"{replace(facts, airflow='success').state}: {headline}"


def waiting(job: Job, dag: str, waits_for: str) -> None:
    """Brings the summary up to date with what a run waits for, where that is new."""
    retrain, waits_for = dag.endswith(RETRAIN_SUFFIX), " ".join(waits_for.split())[:_LONGEST]
    known = read(job.settings, job.pipeline.name)
    before = (known.retrain if retrain else known.night) if known else None
    if before and (before.ds > job.day or (before.run_id, before.waits_for) == (job.run_id, waits_for)):
        return
    news = _news(job, "", RunFacts(begun=True, waits=True))
    update(job.settings, job.pipeline, replace(news, waits_for=waits_for, since=news.at), retrain=retrain)


def update(settings: Settings, pipeline: Pipeline, news: News | None = None, *, retrain: bool = False) -> None:
    """Brings the summary of a pipeline up to date, with a run's news if there are some.

    Never a reason to fail: logs a warning where it cannot be written.
    """
    try:
        with foreseen(), advisory_lock(settings, f"tonight {pipeline.name}", wait=timedelta(seconds=20)) as lock:
            known = read(settings, pipeline.name) or Summary(pipeline.name, "")
            known = with_news(known, news, retrain=retrain) if news else known
            document = _looked_at(settings, pipeline, known).document()
            lock.confirm()
            storage.write_json(_uri(settings, pipeline.name), {**document, "digest": _digest(document)})
    except NightshiftError as error:
        log.warning("the page Tonight does not know of this yet: %s", error.what)


def with_ledger(known: Summary, pipeline: Pipeline, entries: Sequence[Entry], now: datetime) -> Summary:
    """The summary with who scores, and who froze promotions, by the pipeline's entries. Pure."""
    schedule = pipeline.schedule
    today = max(current_ds(schedule, now), schedule.start)
    reigns = reigns_from(entries, min(today, schedule.end) if schedule.end else today)
    frozen, proposal = freeze_in_force(entries), open_proposal(entries, schedule, now)
    return replace(
        known,
        reigns=tuple((day.isoformat(), champion.version if champion else "") for day, champion in reigns),
        frozen=f"frozen by {frozen.by}: {frozen.reason}" if frozen else "",
        asked=asked_line(proposal) if proposal else "",
        asked_until=proposal.expires_at.isoformat(timespec="seconds") if proposal else "",
    )


def _looked_at(settings: Settings, pipeline: Pipeline, known: Summary) -> Summary:
    """The summary with what readers see and who scores, as of now."""
    now = datetime.now(UTC)
    known = with_ledger(known, pipeline, Ledger.of(settings).entries(pipeline.name), now)
    published = max(_published(settings, pipeline), default="")
    return replace(known, at=now.isoformat(timespec="seconds"), published=published)


def _published(settings: Settings, pipeline: Pipeline) -> Collection[str]:
    """The days whose predictions readers see."""
    from nightshift import tables  # and numpy with it, which no parse of a DAG file needs

    return tables.state(table_uri(settings, pipeline, "predictions")).partitions


def _news(job: Job, headline: str, facts: RunFacts) -> News:
    return News(job.day, job.run_id, datetime.now(UTC).isoformat(timespec="seconds"), headline[:_LONGEST], facts)


def _uri(settings: Settings, pipeline: str) -> str:
    return storage.join(settings.reports, _FOLDER, f"{pipeline}.json")


def _digest(document: Mapping[str, Any]) -> str:
    return sha256(canonical({name: value for name, value in document.items() if name != "digest"}))


def _read(uri: str) -> Summary | None:
    try:
        document = dict(storage.read_json(uri))
        if document.pop("digest") != _digest(document) or f"{document['pipeline']}.json" != storage.name_of(uri):
            return None
        reigns = tuple((first, version) for first, version in document.pop("reigns"))
        night, retrain = (_stored_news(document.pop(name)) for name in ("night", "retrain"))
        return Summary(**document, night=night, retrain=retrain, reigns=reigns)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _stored_news(document: Mapping[str, Any] | None) -> News | None:
    return News(**{**document, "facts": RunFacts(**document["facts"])}) if document else None
