"""MLflow's alias shows the ledger's champion to people, and a tag its head: mirrors, and never a reason to fail."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from nightshift.database import advisory_lock
from nightshift.errors import NightshiftError
from nightshift.registry import mlflow
from nightshift.registry.champions import Champion, alias_target
from nightshift.registry.entry import Entry
from nightshift.registry.heads import Head
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift.registry")


def alias_lock(pipeline: str) -> str:
    """The name of the lock that whoever moves the alias holds: of two, the one without it may know less."""
    return f"promote {pipeline}"


def follow(settings: Settings, pipeline: Pipeline) -> str:
    """Points the alias at the champion that the ledger names now; returns what came of it, in words.

    Raises NightshiftError where the lock or the ledger cannot be had; MLflow's own trouble is only warned of.
    """
    with advisory_lock(settings, alias_lock(pipeline.name)) as lock:
        entries = Ledger.of(settings).entries(pipeline.name)
        lock.confirm()
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
    """Points the alias at the champion of a pipeline's entries, and sets the tag of their newest, under the lock.

    Returns what came of the alias, in words. Logs a warning if nothing.
    """
    champion, name = alias_target(entries, pipeline, datetime.now(UTC)), pipeline.name
    try:
        version = mlflow.set_champion(settings, name, champion)
        if entries:
            mlflow.set_head(settings, name, str(Head.of(entries[-1])))
    except NightshiftError as error:
        log.warning("MLflow's alias %s was not set, the ledger holds: %s", mlflow.CHAMPION, error)
        return f"the alias {mlflow.CHAMPION} was not set"
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
