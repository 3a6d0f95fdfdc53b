"""What upstream dropped: the landing files of a source, by day."""

import re
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase

from nightshift import storage
from nightshift.settings import Settings
from nightshift.specs.model import Input
from nightshift.storage import StoredFile

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def partition_files(settings: Settings, source: Input, ds: date) -> list[StoredFile]:
    """The landing files of one day (or snapshot) by name; hidden and temporary ones (``.x``, ``_x``) do not count."""
    folder, _, pattern = source.path.replace("{ds}", ds.isoformat()).rpartition("/")
    return [
        _with_change(file)
        for file in storage.list_files(storage.entry(settings.landing, folder))
        if not _name(file).startswith((".", "_")) and fnmatchcase(_name(file), pattern)
    ]


def snapshot_days(settings: Settings, source: Input) -> list[date]:
    """The days for which landing has a folder (or a file) at the place that ``{ds}`` takes in the path, sorted."""
    before, _, after = source.path.partition("{ds}")
    folder, _, prefix = before.rpartition("/")
    parent = storage.entry(settings.landing, folder)
    if "/" in after:
        names = storage.list_folders(parent)
        ending = re.escape(after.partition("/")[0])
    else:
        names = [_name(file) for file in storage.list_files(parent)]
        ending = ".*"
    pattern = re.compile(f"{re.escape(prefix)}({_DAY.pattern}){ending}")
    found = {_day(match.group(1)) for name in names if (match := pattern.fullmatch(name))}
    return sorted(day for day in found if day is not None and partition_files(settings, source, day))


def place(settings: Settings, source: Input, ds: str) -> str:
    """Where the files of a day are expected, for messages."""
    return storage.join(settings.landing, source.path.replace("{ds}", ds))


def leads_out(settings: Settings, uri: str) -> bool:
    """Whether a landing file is, or lies in, a symbolic link to a place that is not below landing."""
    if not storage.is_local(uri):
        return False
    return not storage.local_path(uri).resolve().is_relative_to(storage.local_path(settings.landing).resolve())


def _with_change(file: StoredFile) -> StoredFile:
    """The file, its time the later of modification and change: a copy may bring the first one along (`cp -p`, `tar`).

    An object store has one time, which no copy can bring along.
    """
    if not storage.is_local(file.uri):
        return file
    try:
        changed = storage.local_path(file.uri).stat().st_ctime_ns
    except FileNotFoundError:  # taken away since it was listed: whoever reads it says so
        return file
    return replace(file, mtime_ns=max(file.mtime_ns, changed))


def _name(file: StoredFile) -> str:
    return storage.name_of(file.uri)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
