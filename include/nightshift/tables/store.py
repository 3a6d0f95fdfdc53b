"""Whether a store keeps what it has confirmed: of two first commits of a table it must turn one down.

A commit is a file that is created only if there is none of its name. A store that ignores this condition
(``If-None-Match`` of S3, a link to a file on a disk) confirms two publications and keeps the second. An object store is
tried with the very library, and the very settings, that publish; a disk with the link by which that library creates.
"""

import errno
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa

from nightshift import storage
from nightshift.errors import PlatformError
from nightshift.lineage import canonical, sha256

# Below a table: what was tried of the store that the table is in.
_STORE = "_store"
# By which, besides its URI, another store or another way to commit is reached.
_ADDRESSES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
_WAYS = ("AWS_CONDITIONAL_PUT", "AWS_S3_ALLOW_UNSAFE_RENAME", "AWS_S3_LOCKING_PROVIDER")
_FIRST_COMMIT = Path(__file__).with_name("first_commit.py")
_SECONDS = 120
_ALLOWED = "a store that creates a file only if there is none (S3: If-None-Match; a disk: hard links)"
_NO_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_REFUSED = re.compile(r"access.?denied|forbidden|\b403\b|permission|privilege", re.IGNORECASE)
# What this process knows: the marks that are there, and the stores that it tried.
_known: set[str] = set()


class StoreUntried(PlatformError):
    """The store could not be tried, since these rights do not allow to write to it: nothing is known of it."""


class _WriteRefused(OSError):
    """What the try begins with, a file of its own, may not be written."""


def require_store(table: str) -> None:
    """Tries the store before the first publication to a table. Raises PlatformError.

    A disk is tried by each process, which costs less than to look up whether one has. That an object store was tried
    is kept beside the table, for this location and these settings: a table that was moved is tried anew.
    """
    settings = _settings()
    device = f"{_device(table)} {canonical(settings)}"
    known = {device} if storage.is_local(table) else {device, _mark(table)}
    if known <= _known:
        return
    if storage.is_local(table):
        try_store(table)
    elif not was_tried(table):
        if device not in _known:
            try_store(table)
        storage.write_json(_mark(table), {"table": table, "settings": settings})
    _known.update(known)


def was_tried(table: str) -> bool:
    """Return whether an object store has been tried for a table, by these settings; of a disk that is not kept."""
    return not storage.is_local(table) and storage.exists(_mark(table))


def _mark(table: str) -> str:
    return storage.join(table, _STORE, f"{sha256(canonical([table, _settings()]))[:16]}.json")


def try_store(root: str) -> None:
    """Tries the store in a folder of its own below ``root``.

    Raises PlatformError where it is none for tables, StoreUntried where nothing may be written there.
    """
    from deltalake.exceptions import DeltaError

    with _folder(storage.join(root, _STORE)) as place:
        try:
            kept = _links_once(storage.local_path(place)) if storage.is_local(place) else _commits_once(place)
        except (DeltaError, OSError) as error:
            if isinstance(error, _WriteRefused) or (not storage.is_local(place) and _REFUSED.search(str(error))):
                raise StoreUntried(
                    "the store could not be tried with these rights",
                    where=name(root),
                    allowed="rights to write and delete below the lake",
                    do="see `nightshift status` with the rights of the tasks, which try it before they publish",
                ) from None
            raise PlatformError(
                f"the store cannot be tried ({type(error).__name__}: {' '.join(str(error).split())[:300]})",
                where=name(root),
                allowed=_ALLOWED,
                do="correct what it says, then see `nightshift status`",
            ) from None
    if not kept:
        raise PlatformError(
            "the store ignores conditional puts: it confirms two publications of one moment, and loses the first",
            where=name(root),
            allowed=_ALLOWED,
            do="take another store for NIGHTSHIFT_LAKE, or a newer version of this one, then see `nightshift status`",
        )


def name(root: str) -> str:
    """The store of a location, for people: the bucket, and at which address it is asked for; or the folder."""
    if storage.is_local(root):
        return root
    address = next((value for key, value in _settings().items() if key in _ADDRESSES), "")
    return f"{_device(root)}{f' at {address}' if address else ''}"


def _links_once(place: Path) -> bool:
    """Whether a link is refused where there is a file of its name, which stays."""
    commit, staged = place / "commit", [place / name for name in ("first", "second")]
    try:
        place.mkdir(parents=True)
        for file in staged:
            file.write_text(file.name)
    except OSError as error:
        raise (_WriteRefused(*error.args) if error.errno in _NO_RIGHTS else error) from None
    os.link(staged[0], commit)
    with suppress(FileExistsError):
        os.link(staged[1], commit)
        return False
    return commit.read_text() == staged[0].name


def _commits_once(place: str) -> bool:
    """Whether the first commit of a table is still there after another writer, who knows of none, has made one, too.

    Writing begins when there is no table yet; while it asks for its rows, another process makes the table. A thread of
    this one could wait for ever: the library's threads, one a processor, may be those that ask for the rows.
    """
    from deltalake import DeltaTable, write_deltalake
    from deltalake.exceptions import CommitFailedError

    from nightshift.tables.first_commit import COLUMNS

    made: list[str] = []

    def rows() -> Iterator[pa.RecordBatch]:
        command = [sys.executable, "-P", str(_FIRST_COMMIT), place]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode:
            raise OSError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it ended without a word")
        made.append(done.stdout)
        yield from ()

    with suppress(CommitFailedError):  # turned down as well, without a second try
        write_deltalake(place, pa.RecordBatchReader.from_batches(COLUMNS, rows()), mode="append")
    return made == [str(DeltaTable(place, version=0).metadata().id)]


@contextmanager
def _folder(root: str) -> Iterator[str]:
    """A folder for one try, which goes with it where the store lets it go."""
    place = storage.join(root, f"try-{uuid.uuid4().hex[:12]}")
    try:
        yield place
    finally:
        with suppress(OSError):
            storage.delete_folder(place)


def _settings() -> dict[str, str]:
    return {key: os.environ[key] for key in (*_ADDRESSES, *_WAYS) if key in os.environ}


def _device(table: str) -> str:
    """What behaves in one way: a bucket, or a file system of this machine."""
    if not storage.is_local(table):
        found = urlsplit(table)
        return f"{found.scheme}://{found.netloc}"
    path = storage.local_path(table)
    return str(next(folder for folder in (path, *path.parents) if folder.exists()).stat().st_dev)
