"""What upstream dropped: the landing files of a source, by day."""

import re
import time
import unicodedata
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase

from nightshift import storage
from nightshift.errors import SourceUnseen
from nightshift.settings import Settings
from nightshift.specs.model import Input, seconds
from nightshift.storage import StoredFile

_DAY = re.compile(r"(?=([0-9]{4}-[0-9]{2}-[0-9]{2}))")


@dataclass(frozen=True)
class Delivery:
    """The landing files of a day by name, none before it is whole: ``waits`` says for what, ``do`` what ends that.

    Of an ``unseen`` one nobody knows whether it has come: its folder, or what is in it, cannot be looked at.
    """

    files: tuple[StoredFile, ...] = ()
    waits: str = ""
    do: str = ""
    unseen: bool = False


def delivery(settings: Settings, source: Input, ds: date) -> Delivery:
    """The landed files of one day (or snapshot); hidden and temporary files (``.x``, ``_x``) do not count.

    Where the source has a marker or a quiet time, its files count once the one is there and the other is over.
    """
    folder, _, pattern = source.path.replace("{ds}", ds.isoformat()).rpartition("/")
    marker = source.marker and source.marker.replace("{ds}", ds.isoformat())
    place = storage.entry(settings.landing, folder)
    try:
        there, others = storage.list_entries(_folder(settings, folder))
    except (OSError, UnicodeError) as error:  # no folder, a loop of links, a name that is no UTF-8
        words = f"its folder cannot be listed ({type(error).__name__})"
        return Delivery(waits=words, do=f"have {place} corrected: a folder of files whose names are UTF-8", unseen=True)
    if unread := [name for name in others if _is_data(name, pattern)]:
        waits = f"{len(unread)} of its files are folders or links to nothing"
        return Delivery(waits=waits, do=f"have {place} corrected", unseen=True)
    marks = [file for file in there if marker and _composed(_name(file)) == _composed(marker)]
    files = [file for file in there if _is_data(_name(file), pattern) and file not in marks]
    if files and marker and not marks:
        do = f"have {storage.join(settings.landing, folder, marker)} written once all of them are there"
        return Delivery(waits=f"its files are there, its marker {marker} is not", do=do)
    if files and (quiet := seconds(source.quiet)):
        still = time.time() - max(map(_written, files))
        if still < quiet:
            do = f"wait: for {source.quiet} nothing of it may change"
            return Delivery(waits=f"its files changed {max(still, 0):.0f} s ago", do=do)
    return Delivery(tuple(_with_change(file) for file in files))


def partition_files(settings: Settings, source: Input, ds: date) -> list[StoredFile]:
    """The files of a day's delivery, none before it is whole."""
    return list(delivery(settings, source, ds).files)


def snapshot_days(settings: Settings, source: Input) -> list[date]:
    """The days for which landing has a folder (or a file) at the place that ``{ds}`` takes in the path, sorted.

    Raises SourceUnseen where the folder that they lie in cannot be listed.
    """
    before, _, after = source.path.partition("{ds}")
    folder = before.rpartition("/")[0]
    parent = storage.entry(settings.landing, folder)
    try:
        parent = _folder(settings, folder)
        names = storage.list_folders(parent) if "/" in after else list(map(_name, storage.list_files(parent)))
    except (OSError, UnicodeError) as error:
        what = f"the snapshots cannot be listed ({type(error).__name__})"
        raise SourceUnseen(what, where=parent, do="have it corrected: a folder with names in UTF-8") from None
    # Which of the days in a name is meant is for the path to say: it may have wildcards before the day.
    found = {_day(text) for name in names for text in _DAY.findall(name)}
    return sorted(day for day in found if day is not None and partition_files(settings, source, day))


def place(settings: Settings, source: Input, ds: str) -> str:
    """Where the files of a day are expected, for messages."""
    return storage.join(settings.landing, source.path.replace("{ds}", ds))


def leads_out(settings: Settings, uri: str) -> bool:
    """Return whether a landing file is, or lies in, a symbolic link to a place that is not below landing."""
    if not storage.is_local(uri):
        return False
    return not storage.local_path(uri).resolve().is_relative_to(storage.local_path(settings.landing).resolve())


def _is_data(name: str, pattern: str) -> bool:
    """Whether a name is one of a pattern's, whichever way its accents are written."""
    return not name.startswith((".", "_")) and fnmatchcase(_composed(name), _composed(pattern))


def _composed(name: str) -> str:
    """A name with its accents written as one character each, as specs mostly have them; a delivery may not (macOS)."""
    return unicodedata.normalize("NFC", name)


def _folder(settings: Settings, folder: str) -> str:
    """A folder of landing by its path there, whichever way the accents of its name are written."""
    place = settings.landing
    for name in folder.split("/"):
        known = [] if name.isascii() else storage.list_folders(place)
        same = [other for other in known if _composed(other) == _composed(name)]
        place = storage.entry(place, same[0] if same and name not in same else name)
    return place


def _written(file: StoredFile) -> float:
    """When a file was written last, in seconds: by the store's clock, not by a time that a copy brought along."""
    if not storage.is_local(file.uri):
        return file.mtime_ns / 1e9
    try:
        return storage.local_path(file.uri).stat().st_ctime
    except FileNotFoundError:
        return time.time()


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
