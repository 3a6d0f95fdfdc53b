import multiprocessing
import os
import resource
from pathlib import Path

import pytest

from nightshift import storage


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_location_is_joined_with_single_slashes() -> None:
    assert storage.join("/a/", "/b/", "c") == "/a/b/c"
    assert storage.join("s3://bucket/lake/", "x") == "s3://bucket/lake/x"


@pytest.mark.parametrize(("uri", "local"), [("/a", True), ("file:///a", True), ("s3://a/b", False), ("gs://a", False)])
def test_what_is_local(uri: str, local: bool) -> None:
    assert storage.is_local(uri) is local


def test_what_is_written_is_read(tmp_path: Path) -> None:
    for uri in (f"{tmp_path}/a/b.json", f"file://{tmp_path}/c/ü b.json"):
        assert not storage.exists(uri)
        storage.write_json(uri, {"b": 1, "a": ["ü", None]})
        assert storage.exists(uri)
        assert storage.read_json(uri) == {"a": ["ü", None], "b": 1}
    assert (tmp_path / "a" / "b.json").read_text() == '{\n "b": 1,\n "a": [\n  "ü",\n  null\n ]\n}\n'


def test_what_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_bytes(f"{tmp_path}/none")
    with pytest.raises(FileNotFoundError):
        storage.read_json(f"{tmp_path}/none/none.json")
    assert not storage.exists(str(tmp_path))
    assert storage.list_files(f"{tmp_path}/none") == []
    assert storage.list_folders(f"{tmp_path}/none") == []


def test_a_write_replaces_the_whole_file_and_leaves_nothing_aside(tmp_path: Path) -> None:
    uri = f"{tmp_path}/file"
    storage.write_bytes(uri, b"a long first content")
    storage.write_bytes(uri, b"short")
    assert storage.read_bytes(uri) == b"short"
    assert _names(tmp_path) == ["file"]


def test_a_write_that_fails_leaves_nothing_aside(tmp_path: Path) -> None:
    """A limit of this process stands for the disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            storage.write_bytes(str(tmp_path / "file"), bytes(100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_compressed_file_is_read_as_it_is(tmp_path: Path) -> None:
    storage.write_bytes(f"{tmp_path}/a.gz", b"not really gzip")
    assert storage.read_bytes(f"{tmp_path}/a.gz") == b"not really gzip"


def test_the_first_to_create_wins(tmp_path: Path) -> None:
    uri = f"{tmp_path}/a/file.json"
    assert storage.create_json(uri, {"by": 1}) is True
    assert storage.create_json(uri, {"by": 2}) is False
    assert storage.read_json(uri) == {"by": 1}
    assert _names(tmp_path / "a") == ["file.json"]


def _create(uri: str, number: int, start: "multiprocessing.synchronize.Event") -> None:  # type: ignore[name-defined]
    start.wait()
    raise SystemExit(0 if storage.create_bytes(uri, f"{number}".encode() * 100_000) else 1)


@pytest.mark.process
def test_of_many_processes_one_creates_and_its_content_is_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Event()
    uri = f"{tmp_path}/file"
    processes = [context.Process(target=_create, args=(uri, number, start)) for number in range(8)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    [winner] = [number for number, process in enumerate(processes) if process.exitcode == 0]
    assert storage.read_bytes(uri) == f"{winner}".encode() * 100_000
    assert _names(tmp_path) == ["file"]


def test_files_are_listed_by_name_with_size_and_time(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "folder/c.csv"):
        storage.write_bytes(f"{tmp_path}/{name}", name.encode())
    os.utime(tmp_path / "a.csv", ns=(0, 1_700_000_000_123_456_789))
    first, second = storage.list_files(str(tmp_path))
    assert (first.uri, first.size, second.uri) == (f"{tmp_path}/a.csv", 5, f"{tmp_path}/b.csv")
    assert first.mtime_ns == 1_700_000_000_123_456_789
    deep = storage.list_files(f"{tmp_path}/", recursive=True)
    assert [file.uri for file in deep] == [f"{tmp_path}/{name}" for name in ("a.csv", "b.csv", "folder/c.csv")]
    assert storage.list_folders(str(tmp_path)) == ["folder"]


def test_a_listing_names_files_by_uris_that_can_be_read(tmp_path: Path) -> None:
    storage.write_bytes(f"{tmp_path}/a b.csv", b"x")
    [file] = storage.list_files(f"file://{tmp_path}")
    assert file.uri.startswith("file://")
    assert storage.read_bytes(file.uri) == b"x"


def test_the_path_of_a_local_location(tmp_path: Path) -> None:
    assert storage.local_path(str(tmp_path)) == tmp_path
    assert storage.local_path(f"file://{tmp_path}") == tmp_path
