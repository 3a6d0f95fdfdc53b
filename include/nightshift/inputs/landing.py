"""What upstream dropped: the landing files of a source, by day."""

import re
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
        file
        for file in storage.list_files(storage.join(settings.landing, folder))
        if not _name(file).startswith((".", "_")) and fnmatchcase(_name(file), pattern)
    ]


def snapshot_days(settings: Settings, source: Input) -> list[date]:
    """The days for which landing has a folder (or a file) at the place that ``{ds}`` takes in the path, sorted."""
    before, _, after = source.path.partition("{ds}")
    folder, _, prefix = before.rpartition("/")
    parent = storage.join(settings.landing, folder)
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


def _name(file: StoredFile) -> str:
    return file.uri.rpartition("/")[2]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
