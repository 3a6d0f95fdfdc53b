"""Records of what people did to the platform itself, one file for each: who, when, what. None is written again.

``prune`` keeps its records beside the lake that it removes from, ``down`` below ``var``: it must end where the lake is
away, too. ``restore`` has an entry of the ledger.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nightshift import storage
from nightshift.actor import system_account
from nightshift.lineage import canonical, sha256
from nightshift.settings import Settings

FOLDER = "_upkeep"


def pruned(settings: Settings, **facts: Any) -> None:
    """Keep that files of a table are removed."""
    _keep(storage.join(settings.lake, FOLDER), "prune", facts)


def stopped(settings: Settings) -> None:
    """Keep that the local platform is stopped; nothing where all that it wrote was deleted."""
    if settings.var.is_dir():
        (settings.var / FOLDER).mkdir(mode=0o700, exist_ok=True)
        _keep(str(settings.var / FOLDER), "down", {})


def last_stop(settings: Settings) -> str:
    """The line on who stopped the local platform last; empty where nobody did, or no record of it can be read."""
    files = [file.uri for file in storage.list_files(str(settings.var / FOLDER)) if file.uri.endswith("-down.json")]
    if not files:
        return ""
    try:
        document = dict(storage.read_json(files[-1]))
        digest = document.pop("digest")
        if digest == _digest(document):
            return f"stopped last at {document['at']} by {document['actor']}"
    except (OSError, ValueError, TypeError, KeyError):
        pass
    return f"stopped last: the record of it is not as it was written ({files[-1]})"


def _keep(folder: str, what: str, facts: Mapping[str, Any]) -> None:
    at = datetime.now(UTC)
    document = {"what": what, "at": at.isoformat(timespec="seconds"), "actor": system_account(), **facts}
    name = f"{at:%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}-{what}.json"
    storage.create_json(storage.join(folder, name), {**document, "digest": _digest(document)})


def _digest(document: Mapping[str, Any]) -> str:
    return sha256(canonical(document))
