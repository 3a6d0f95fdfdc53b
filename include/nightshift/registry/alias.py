"""MLflow shows people what the ledger decided: an alias names the champion, tags its head and what became of a version.

A mirror, and never a reason to fail. Whatever changes it by hand changes nothing else, and is put right with the next
entry.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from nightshift.database import advisory_lock
from nightshift.errors import NightshiftError
from nightshift.registry import mlflow
from nightshift.registry.champions import MAKES, Champion, alias_target, alias_targets
from nightshift.registry.entry import Entry
from nightshift.registry.heads import Head
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift.registry")

DECISION, REASON, ENTRY = "nightshift.decision", "nightshift.reason", "nightshift.entry"
_LONGEST = 1000


def alias_lock(pipeline: str) -> str:
    """The name of the lock that whoever moves the alias holds: of two, the one without it may know less."""
    return f"promote {pipeline}"


def follow(settings: Settings, pipeline: Pipeline) -> str:
    """Points the alias at the champion that the ledger names now; returns what came of it, in words.

    Raises NightshiftError where the lock or the ledger cannot be had; MLflow's own trouble is only warned of.
    """
    with advisory_lock(settings, alias_lock(pipeline.name)) as lock:
        entries = Ledger.of(settings).entries(pipeline.name)
        lock.confirm()  # of two, the one without it may know less
        return mirrored(settings, pipeline, entries)


def foreseen(settings: Settings, pipeline: str, champion: Champion) -> str:
    """Return whether MLflow has a version of what is to be champion, in words; scoring does not ask."""
    try:
        version = mlflow.version_of(settings, pipeline, champion)
    except NightshiftError as error:
        return f"whether MLflow has version {champion.version} is not known: {error.what}"
    if version is None:
        return f"version {champion.version} was deleted in MLflow: it would score, and nothing would have the alias"
    return f"MLflow has it as version {version}"


def mirrored(settings: Settings, pipeline: Pipeline, entries: Sequence[Entry]) -> str:
    """Set alias and tags by a pipeline's entries, under the lock; return what came of the alias, in words.

    Logs a warning of what was not set.
    """
    champion, name = alias_target(entries, pipeline, datetime.now(UTC)), pipeline.name
    try:
        version = mlflow.set_champion(settings, name, champion)
        if entries:
            mlflow.set_head(settings, name, str(Head.of(entries[-1])))
    except NightshiftError as error:
        log.warning("MLflow's alias %s was not set, the ledger holds: %s", mlflow.CHAMPION, error)
        return f"the alias {mlflow.CHAMPION} was not set"
    try:
        mlflow.tag_versions(settings, name, decided(entries))
    except NightshiftError as error:
        log.warning("MLflow's versions have not all of the tags that say what was decided: %s", error)
    if champion is None:
        return "there is no champion"
    if version is None:
        log.warning(
            "version %s, which is champion, was deleted in MLflow: nothing has the alias %s. It scores on. What to do: "
            "`nightshift retrain %s --as-of %s` registers its model again if its rows are as they were",
            champion.version, mlflow.CHAMPION, name, champion.as_of,
        )  # fmt: skip
        return f"version {champion.version} is champion and was deleted in MLflow: nothing has the alias"
    return f"the alias {mlflow.CHAMPION} names version {version}"


def decided(entries: Iterable[Entry]) -> dict[str, dict[str, str]]:
    """The tags of the versions of each model, by its SHA-256: the newest entry about it.

    A rerun decides nothing: it counts only where there is no other entry.
    """
    newest: dict[str, Entry] = {}
    for entry in entries:
        known = newest.get(entry.model_sha256)
        if entry.model_sha256 and (entry.kind != "rerun" or known is None or known.kind == "rerun"):
            newest[entry.model_sha256] = entry
    return {
        sha256: {DECISION: entry.kind, REASON: entry.reason[:_LONGEST], ENTRY: str(entry.seq)}
        for sha256, entry in newest.items()
    }


def misplaced(settings: Settings, pipelines: Sequence[Pipeline]) -> Iterator[tuple[str, str]]:
    """Each pipeline whose alias does not name a champion that the ledger gives it, and what to know of that, in words.

    Raises NightshiftError where MLflow or the ledger is away.
    """
    now, one = datetime.now(UTC), pipelines[0].name if len(pipelines) == 1 else None
    known: dict[str, list[Entry]] = {}
    for entry in Ledger.of(settings).entries(one, kinds=(*MAKES, "retirement")):
        known.setdefault(entry.pipeline, []).append(entry)
    shown = mlflow.champions_shown(settings, [pipeline.name for pipeline in pipelines])
    for pipeline in pipelines:
        version = shown.get(pipeline.name)
        champion = alias_target(known.get(pipeline.name, ()), pipeline, now)
        if version != (champion.version if champion else None) and not _allowed(settings, pipeline, version, now):
            yield pipeline.name, _misplaced(pipeline.name, version, champion)


def _allowed(settings: Settings, pipeline: Pipeline, version: str | None, now: datetime) -> bool:
    """Return whether a version that is not today's champion may have the alias all the same.

    It may as the champion of a day since the alias was set, and as another version of a champion's model.
    """
    targets = alias_targets(Ledger.of(settings).entries(pipeline.name), pipeline, now)
    if version in [champion.version if champion else None for champion in targets]:
        return True
    return version in [mlflow.version_of(settings, pipeline.name, champion) for champion in targets if champion]


def _misplaced(pipeline: str, shown: str | None, champion: Champion | None) -> str:
    there = f"names version {shown}" if shown else "is gone"
    true = f"version {champion.version} (entry {champion.seq})" if champion else "nobody"
    return (
        f"MLflow's alias {mlflow.CHAMPION} {there}, champion by the ledger is {true}: it was changed by hand, or "
        f"MLflow was away. Scoring does not ask it; the next retrain or order of {pipeline} puts it right"
    )
