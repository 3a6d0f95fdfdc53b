"""Bytes by URI, on a local disk or an object store, with nothing but pyarrow.

A location is an absolute path or a URI that ``pyarrow.fs`` understands (``s3://``, ``gs://``, ``abfs://``). Functions
import it: every parse of a DAG file imports this module, and touches no file.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from pyarrow import fs

_READERS = 16
_PLAIN_IN_URI = "/:&=@+,;~*!$'() "  # what a name may have in a URI and is not an escape, a query or a fragment


@dataclass(frozen=True)
class StoredFile:
    """A file as a listing shows it: its URI, size in bytes and modification time in nanoseconds."""

    uri: str
    size: int
    mtime_ns: int


def resolve(uri: str) -> "tuple[fs.FileSystem, str]":
    """The filesystem of a location, and the path in it."""
    from pyarrow import fs

    if "://" in uri:
        uri = quote(uri, safe="%/:?&=@+,;~*[]#!$'()")  # pyarrow takes no space and no umlaut in a URI
    return fs.FileSystem.from_uri(uri)  # type: ignore[no-any-return]


def join(uri: str, *parts: str) -> str:
    """``uri`` with ``parts`` below it."""
    return "/".join([uri.rstrip("/"), *(part.strip("/") for part in parts)])


def entry(uri: str, name: str) -> str:
    """``uri`` with what is called ``name`` below it, whatever characters the name has: in a URI some mean something."""
    return join(uri, quote(name, safe=_PLAIN_IN_URI) if "://" in uri else name)


def name_of(uri: str) -> str:
    """The last part of a location as the file is called."""
    name = uri.rpartition("/")[2]
    return unquote(name) if "://" in uri else name


def is_local(uri: str) -> bool:
    """Return whether the location is on this machine's disk."""
    return "://" not in uri or uri.startswith("file://")


def local_path(uri: str) -> Path:
    """The path of a local location."""
    return Path(resolve(uri)[1])


def exists(uri: str) -> bool:
    """Return whether there is a file."""
    from pyarrow import fs

    system, path = resolve(uri)
    return bool(system.get_file_info(path).type == fs.FileType.File)


def read_bytes(uri: str) -> bytes:
    """The content of a file. Raises FileNotFoundError."""
    system, path = resolve(uri)
    with system.open_input_stream(path, compression=None) as stream:
        return bytes(stream.read())


def read_all(uris: Sequence[str]) -> Iterator[bytes]:
    """The contents of many files, in order; of an object store many are read at once. Raises FileNotFoundError."""
    if all(is_local(uri) for uri in uris):
        yield from (local_path(uri).read_bytes() for uri in uris)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_READERS) as pool:
        yield from pool.map(read_bytes, uris)


def read_json(uri: str) -> Any:
    """The document in a file. Raises FileNotFoundError."""
    return json.loads(read_bytes(uri))


def write_bytes(uri: str, content: bytes) -> None:
    """Writes a file so that a reader sees all of it or what was there before."""
    if is_local(uri):
        temporary = _written_aside(local_path(uri), content)
        temporary.replace(local_path(uri))
        return
    system, path = resolve(uri)
    with system.open_output_stream(path, compression=None) as stream:
        stream.write(content)


def write_json(uri: str, document: Any) -> None:
    """Writes a document as readable JSON."""
    write_bytes(uri, json_bytes(document))


def create_bytes(uri: str, content: bytes) -> bool:
    """Writes a file unless there is one already; says whether it wrote.

    Exclusive on a local disk. pyarrow has no conditional put for object stores: there two writers at the same
    moment may both write, and the last one stays. What is created in this way must be right whoever wins.
    """
    if not is_local(uri):
        if exists(uri):
            return False
        write_bytes(uri, content)
        return True
    target = local_path(uri)
    temporary = _written_aside(target, content)
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def create_json(uri: str, document: Any) -> bool:
    """``create_bytes`` of a document as readable JSON."""
    return create_bytes(uri, json_bytes(document))


def delete(uri: str) -> None:
    """Removes a file, and on a local disk the folders that it leaves empty; nothing where there is none."""
    system, path = resolve(uri)
    try:
        system.delete_file(path)
    except FileNotFoundError:
        return
    if is_local(uri):
        for folder in local_path(uri).parents:
            try:
                folder.rmdir()
            except OSError:  # somebody else's file is in it
                return


def delete_folder(uri: str) -> None:
    """Removes a folder with everything in it; nothing where there is none."""
    system, path = resolve(uri)
    try:
        system.delete_dir(path)
    except FileNotFoundError:
        return


def list_files(uri: str, *, recursive: bool = False) -> list[StoredFile]:
    """The files of a folder, by name; none where there is no folder."""
    return _listed(uri, recursive)[0]


def list_entries(uri: str) -> tuple[list[StoredFile], list[str]]:
    """``list_files``, and the names of what is no file: folders, pipes, and links to nothing, which no listing has."""
    files, others = _listed(uri, recursive=False)
    return files, [*others, *_broken_links(uri)]


def _listed(uri: str, recursive: bool) -> tuple[list[StoredFile], list[str]]:
    from pyarrow import fs

    system, path = resolve(uri)
    infos = system.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=recursive))
    root, found, others = path.rstrip("/"), [], []
    for info in infos:
        if info.type == fs.FileType.File:
            relative = info.path[len(root) :]
            found.append(StoredFile(entry(uri, relative), info.size, info.mtime_ns or 0))
        else:
            others.append(info.base_name)
    return sorted(found, key=lambda file: file.uri), others


def _broken_links(uri: str) -> list[str]:
    if not is_local(uri) or not local_path(uri).is_dir():
        return []
    with os.scandir(local_path(uri)) as found:
        return [item.name for item in found if item.is_symlink() and not Path(item.path).exists()]


def etag(uri: str) -> str:
    """The mark that changes with a file's content beside its time: a store's ETag. Raises OSError where there is none.

    On a disk it is empty, unless the modification time lies after the change: whoever gave it may give it again.
    """
    if is_local(uri):
        found = local_path(uri).stat()
        return f"changed at {found.st_ctime_ns}" if found.st_mtime_ns > found.st_ctime_ns else ""
    system, path = resolve(uri)
    with system.open_input_stream(path, compression=None) as stream:
        return etag_of(stream)


def etag_of(stream: Any) -> str:
    """The ETag of an opened file, empty where it has none."""
    told = {name.lower(): value for name, value in (stream.metadata() or {}).items()}
    return str(told.get(b"etag", b"").decode(errors="replace").strip('"'))


def list_folders(uri: str) -> list[str]:
    """The names of the folders in a folder, sorted, that are text; none where there is no folder."""
    from pyarrow import fs

    system, path = resolve(uri)
    found = []
    for info in system.get_file_info(fs.FileSelector(path, allow_not_found=True)):
        with suppress(UnicodeDecodeError):
            if info.type == fs.FileType.Directory:
                found.append(info.base_name)
    return sorted(found)


def json_bytes(document: Any) -> bytes:
    """A document as readable JSON."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _written_aside(target: Path, content: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)
