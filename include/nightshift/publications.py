"""The attempts that published the days of a table: its history says it, and whoever asks is answered here.

A kept manifest proves nothing: an attempt that was beaten leaves one, too, perhaps of the very same files.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True)
class Published:
    """A day as the commit of its publication names it; ``sha256`` of the manifest, empty where a version named none."""

    fingerprint: str
    attempt: str
    sha256: str = ""


def publications(table: str) -> dict[str, Published]:
    """The publication of each day that counts now: the newest, or the one that a restored version had.

    A day that another program changed or removed since has its publication still.
    """
    *_, newest = [{}, *_states(table)]
    return newest


def publishers(table: str, ds: str, fingerprint: str) -> list[str]:
    """The attempts that published a day under a fingerprint, the newest last."""
    found = [state[ds].attempt for state in _states(table) if ds in state and state[ds].fingerprint == fingerprint]
    return [attempt for attempt, _ in groupby(found)]


def _states(table: str) -> Iterator[dict[str, Published]]:
    """The published days after each version of a table, the oldest first; none where there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        history = DeltaTable(table).history()
    except TableNotFoundError:
        return
    states: dict[int, dict[str, Published]] = {}
    found: dict[str, Published] = {}
    for entry in reversed(history):
        if entry.get("operation") == "RESTORE":
            restored = str(entry.get("operationParameters", {}).get("version", ""))
            found = states.get(int(restored), found) if restored.isdigit() else found
        days = json.loads(entry.get("nightshift") or "{}")
        found = found | {ds: _published(item) for ds, item in days.items()}
        states[int(entry["version"])] = found
        yield found


def _published(item: dict[str, str]) -> Published:
    return Published(item["fingerprint"], item["attempt"], item.get("sha256", ""))
