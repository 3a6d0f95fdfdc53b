"""Orders to build again what is up to date, for where a library is doubted that no fingerprint names.

An order is part of the recipe of what the runs of its days build. So what is built for it has a name of its own, and
what was made of the days before is stale like after any other change. Orders lie beside the tables, and are kept.
"""

import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

from nightshift import storage
from nightshift.job import table_uri
from nightshift.lineage import sha256
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


@dataclass(frozen=True)
class Rebuild:
    """Who asked when, and why, that the runs from ``first`` to ``last`` (ISO) build everything again."""

    id: str
    first: str
    last: str
    actor: str
    reason: str
    at: str

    @property
    def words(self) -> str:
        """The order as one line."""
        return f"{self.actor} asked at {self.at} for a rebuild{f': {self.reason}' if self.reason else ''}"


def new_rebuild(first: date, last: date, actor: str, reason: str, token: str = "") -> Rebuild:
    """An order of this moment, which nobody knows yet; its id ends in a ``token`` that no other has."""
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S%fZ}-{token or uuid.uuid4().hex[:6]}"
    return Rebuild(name, first.isoformat(), last.isoformat(), actor, reason, now.isoformat(timespec="seconds"))


def newest(rebuilds: Iterable[Rebuild], run: date) -> Rebuild | None:
    """The newest order that names the run of a day."""
    found = (rebuild for rebuild in rebuilds if rebuild.first <= run.isoformat() <= rebuild.last)
    return max(found, key=lambda rebuild: rebuild.id, default=None)


def ordered(settings: Settings, pipeline: Pipeline) -> tuple[Rebuild, ...]:
    """All orders for a pipeline's tables."""
    files = storage.list_files(table_uri(settings, pipeline, "_rebuilds"))
    return tuple(Rebuild(**storage.read_json(file.uri)) for file in files if file.uri.endswith(".json"))


def order(settings: Settings, pipeline: Pipeline, rebuild: Rebuild) -> None:
    """From now on the days are stale."""
    storage.write_json(_uri(settings, pipeline, rebuild), asdict(rebuild))


def order_of_run(settings: Settings, pipeline: Pipeline, run: str, day: date, actor: str, reason: str) -> None:
    """From now on the day of a run is stale, once: what its later tasks and tries order is what stands already."""
    token = sha256(run)[:24]
    if not any(rebuild.id.endswith(f"-{token}") for rebuild in ordered(settings, pipeline)):
        order(settings, pipeline, new_rebuild(day, day, actor, reason, token))


def withdraw(settings: Settings, pipeline: Pipeline, rebuild: Rebuild) -> None:
    """Takes back an order for which there is no backfill; a day that was built for it meanwhile is stale again."""
    storage.delete(_uri(settings, pipeline, rebuild))


def _uri(settings: Settings, pipeline: Pipeline, rebuild: Rebuild) -> str:
    return storage.join(table_uri(settings, pipeline, "_rebuilds"), f"{rebuild.id}.json")
