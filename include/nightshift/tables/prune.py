"""Old files that nobody can read any more: what attempts left that were never published.

Kept is every file that some version of the table names, however old: time travel reads it. Kept as well is what a
staged manifest or the result of a shard names, since a later attempt may publish it. Such a document expires first: it
is moved aside, where no attempt finds it, and its files go a day later, when every attempt that had found it is over.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.storage import StoredFile

DAY = 86_400
_EXPIRED = "_expired"
_SHARD = re.compile(r"/_plans/.*/shard-\d+\.json$")


@dataclass
class Pruned:
    """What became, or would become, of a table: data files and bytes removed, documents moved aside."""

    table: str
    files: int = 0
    bytes: int = 0
    expired: list[str] = field(default_factory=list)


def prune(
    table: str,
    older_than: float,
    *,
    dry_run: bool = False,
    now: Callable[[], float] = time.time,
    record: Callable[[Pruned], None] = lambda done: None,
) -> Pruned:
    """Remove what attempts left in a table more than ``older_than`` seconds ago and nobody can read.

    ``record`` is called with what is about to be removed, where that is anything.

    Raises NightshiftError where the table's log has a gap, which would hide what older versions name.
    """
    moment, done = now(), Pruned(table)
    # In this order: what is published while this runs is in the log that is read after the files were listed.
    files = [file for file in _attempt_files(table) if _age(file, moment) > older_than]
    documents = list(_documents(table))
    kept = _in_log(table)
    for document, names in documents:
        aside = _is_aside(document.uri)
        old = _age(document, moment) > (DAY if aside else older_than) and not names <= kept
        if old:
            done.expired.append(document.uri)
        if not (old and aside):
            kept |= names
    removable = [file for file in files if _relative(table, file.uri) not in kept]
    done.files, done.bytes = len(removable), sum(file.size for file in removable)
    if not dry_run and (removable or done.expired):
        record(done)
        for file in removable:
            storage.delete(file.uri)
        for uri in done.expired:
            if not _is_aside(uri):
                _set_aside(table, uri)
            storage.delete(uri)
    return done


def table_roots(pipeline_root: str) -> list[str]:
    """The Delta tables below a pipeline's folder."""
    marks = (file.uri for file in storage.list_files(pipeline_root, recursive=True) if "/_delta_log/" in file.uri)
    return sorted({uri.partition("/_delta_log/")[0] for uri in marks})


def _attempt_files(table: str) -> Iterator[StoredFile]:
    for name in storage.list_folders(table):
        if name.startswith("attempt="):
            yield from storage.list_files(storage.join(table, name), recursive=True)


def _documents(table: str) -> Iterator[tuple[StoredFile, set[str]]]:
    """Every staged manifest and shard result, expired ones with them, and the data files that it names."""
    for folder in ("_staged", "_plans", _EXPIRED):
        for file in storage.list_files(storage.join(table, folder), recursive=True):
            content = storage.read_json(file.uri) if file.uri.endswith(".json") else {}
            if _SHARD.search(file.uri) and "file" in content:
                yield file, {content["file"]["path"]}
            elif "files" in content:
                yield file, {item["path"] for item in content["files"]}


def _in_log(table: str) -> set[str]:
    """Every file that some version of the table ever named."""
    log = storage.join(table, "_delta_log")
    commits = [file.uri for file in storage.list_files(log) if re.search(r"/\d{20}\.json$", file.uri)]
    numbers = [int(uri[-25:-5]) for uri in commits]
    if not numbers or numbers != list(range(len(numbers))):
        raise NightshiftError(
            "the log of the table has gaps: what older versions name is not known",
            where=table,
            allowed="commits from 0 on, without a gap",
            do="leave the table unpruned; something other than Nightshift cleaned its log",
        )
    lines = (line for uri in commits for line in storage.read_bytes(uri).decode().splitlines() if line.strip())
    return {unquote(action["add"]["path"]) for action in map(json.loads, lines) if "add" in action}


def _set_aside(table: str, uri: str) -> None:
    storage.write_bytes(storage.join(table, _EXPIRED, _relative(table, uri)), storage.read_bytes(uri))


def _is_aside(uri: str) -> bool:
    return f"/{_EXPIRED}/" in uri


def _relative(table: str, uri: str) -> str:
    return uri[len(table.rstrip("/")) + 1 :]


def _age(file: StoredFile, moment: float) -> float:
    return moment - file.mtime_ns / 1e9
