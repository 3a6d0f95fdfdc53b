import os
import time
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nightshift import storage
from nightshift.errors import SourceUnseen
from nightshift.inputs.landed_days import LandedDay, _is_same, _read
from nightshift.inputs.landing import delivery, snapshot_days
from nightshift.lineage import Landed
from nightshift.settings import Settings
from nightshift.storage import StoredFile
from tests.unit.inputs.test_landing import source, touch

DAY = date(2024, 2, 3)
NO_FILE = "1 of its files are folders or links to nothing"


def test_without_marker_and_quiet_time_files_have_landed_as_soon_as_they_are_there(settings: Settings) -> None:
    touch(settings, "s/ds=2024-02-03/a.csv")
    assert len(delivery(settings, source("s/ds={ds}/*.csv"), DAY).files) == 1


def test_files_count_once_their_marker_is_there(settings: Settings) -> None:
    touch(settings, "s/ds=2024-02-03/a.csv")
    marked = source("s/ds={ds}/*.csv", marker="_SUCCESS")
    found = delivery(settings, marked, DAY)
    assert (found.files, found.waits) == ((), "its files are there, its marker _SUCCESS is not")
    assert found.do == f"have {settings.landing}/s/ds=2024-02-03/_SUCCESS written once all of them are there"
    touch(settings, "s/ds=2024-02-03/_SUCCESS")
    assert [Path(file.uri).name for file in delivery(settings, marked, DAY).files] == ["a.csv"]
    assert delivery(settings, marked, date(2024, 2, 4)).waits == "", "nothing is there"


def test_a_marker_that_looks_like_data_is_not_read(settings: Settings) -> None:
    touch(settings, "s/all/a-2024-02-03.csv", "s/all/a-2024-02-04.csv", "s/all/a-2024-02-04.end.csv")
    marked = source("s/all/a-{ds}*.csv", marker="a-{ds}.end.csv")
    assert delivery(settings, marked, DAY).waits
    assert [Path(file.uri).name for file in delivery(settings, marked, date(2024, 2, 4)).files] == ["a-2024-02-04.csv"]


def test_a_marker_is_a_name_and_each_day_has_its_own() -> None:
    with pytest.raises(ValidationError, match="each day has its own"):
        source("s/all/a-{ds}.csv", marker="_SUCCESS")
    for marker in ("", "../_SUCCESS", "*.done"):
        with pytest.raises(ValidationError):
            source("s/ds={ds}/*.csv", marker=marker)


def test_files_count_once_nothing_has_changed_for_the_quiet_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(settings, "s/ds=2024-02-03/a.csv", "s/ds=2024-02-03/b.csv")
    future = time.time() + 10**6
    os.utime(Path(settings.landing, "s/ds=2024-02-03/a.csv"), (future, future))
    quiet, now = source("s/ds={ds}/*.csv", quiet="5m"), time.time()
    found = delivery(settings, quiet, DAY)
    assert (found.files, found.do) == ((), "wait: for 5m nothing of it may change")
    assert found.waits.startswith("its files changed ")
    monkeypatch.setattr(time, "time", lambda: now + 299)
    assert delivery(settings, quiet, DAY).waits == "its files changed 299 s ago"
    monkeypatch.setattr(time, "time", lambda: now + 301)
    assert len(delivery(settings, quiet, DAY).files) == 2, "a time that a copy brought along decides nothing"


def test_a_snapshot_that_is_not_whole_is_not_the_newest(settings: Settings) -> None:
    touch(settings, "s/as_of=2024-01-01/a.csv", "s/as_of=2024-01-01/_SUCCESS", "s/as_of=2024-02-01/a.csv")
    assert snapshot_days(settings, source("s/as_of={ds}/*.csv", snapshot=True, marker="_SUCCESS")) == [date(2024, 1, 1)]


def a_name_that_is_no_text(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.csv")).write_text("k\n")


def a_link_to_nothing(folder: Path) -> None:
    (folder / "b.csv").symlink_to(folder / "gone.csv")


def a_link_to_itself(folder: Path) -> None:
    (folder / "b.csv").symlink_to(folder / "b.csv")


def a_folder_for_a_file(folder: Path) -> None:
    (folder / "b.csv").mkdir()
    (folder / "b.csv" / "part-0.csv").write_text("k\n")


def a_pipe(folder: Path) -> None:
    os.mkfifo(folder / "b.csv")


def a_file_for_a_folder(folder: Path) -> None:
    (folder / "a.csv").unlink()
    folder.rmdir()
    folder.write_text("k\n")


def a_folder_that_is_a_loop(folder: Path) -> None:
    (folder / "a.csv").unlink()
    folder.rmdir()
    folder.symlink_to(folder)


@pytest.mark.parametrize(
    ("make", "waits"),
    [
        (a_name_that_is_no_text, "its folder cannot be listed (UnicodeDecodeError)"),
        (a_link_to_nothing, NO_FILE),
        (a_link_to_itself, NO_FILE),
        (a_folder_for_a_file, NO_FILE),
        (a_pipe, NO_FILE),
        (a_file_for_a_folder, "its folder cannot be listed (NotADirectoryError)"),
        (a_folder_that_is_a_loop, "its folder cannot be listed (OSError)"),
    ],
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_that_is_not_as_it_should_be_has_not_landed_and_harms_no_other_day(
    settings: Settings, make: Callable[[Path], None], waits: str, scheme: str
) -> None:
    touch(settings, "s/ds=2024-02-03/a.csv", "s/ds=2024-02-04/a.csv")
    make(Path(settings.landing, "s/ds=2024-02-03"))
    settings = replace(settings, landing=f"{scheme}{settings.landing}")
    found = delivery(settings, source("s/ds={ds}/*.csv"), DAY)
    assert (found.files, found.waits) == ((), waits)
    assert len(delivery(settings, source("s/ds={ds}/*.csv"), date(2024, 2, 4)).files) == 1


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_the_same_whichever_way_its_accents_are_written(settings: Settings, form: Any) -> None:
    touch(settings, unicodedata.normalize(form, "s/ds=2024-02-03/größe.csv"))
    for path in ("NFC", "NFD"):
        pattern = unicodedata.normalize(path, "s/ds={ds}/größe*.csv")  # type: ignore[arg-type]
        assert len(delivery(settings, source(pattern), DAY).files) == 1


@pytest.mark.parametrize(("landed", "spec"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_markers_and_folders_are_the_same_whichever_way_their_accents_are_written(
    settings: Settings, landed: Any, spec: Any, scheme: str
) -> None:
    touch(settings, unicodedata.normalize(landed, "livré/né=2024-02-03/a.csv"))
    settings = replace(settings, landing=f"{scheme}{settings.landing}")
    path = unicodedata.normalize(spec, "livré/né={ds}/*.csv")
    marked = source(path, marker=unicodedata.normalize(spec, "terminé.csv"))
    snapshot = source(path, marker=unicodedata.normalize(spec, "terminé.csv"), snapshot=True)
    assert delivery(settings, marked, DAY).waits.startswith("its files are there, its marker ")
    assert snapshot_days(settings, snapshot) == []
    touch(
        replace(settings, landing=settings.landing.removeprefix("file://")),
        unicodedata.normalize(landed, "livré/né=2024-02-03/terminé.csv"),
    )
    assert [storage.name_of(file.uri) for file in delivery(settings, marked, DAY).files] == ["a.csv"]
    assert snapshot_days(settings, snapshot) == [DAY]


def test_a_folder_that_cannot_be_looked_at_is_unseen_and_one_that_waits_is_not(settings: Settings) -> None:
    touch(settings, "s/ds=2024-02-03", "s/ds=2024-02-04/a.csv")
    marked = source("s/ds={ds}/*.csv", marker="_SUCCESS")
    found = [delivery(settings, marked, date(2024, 2, day)) for day in (3, 4, 5)]
    assert [item.unseen for item in found] == [True, False, False]
    assert [bool(item.waits) for item in found] == [True, True, False]


def test_a_file_that_cannot_be_read_is_missing_input(settings: Settings) -> None:
    gone = StoredFile(str(Path(settings.landing, "gone.csv")), 1, 1)
    with pytest.raises(SourceUnseen, match=r"gone\.csv: the file cannot be read \(FileNotFoundError\)"):
        LandedDay("2024-02-03", (gone,), "", "", (), "").landed("table")


def test_an_etag_that_changed_is_a_correction_of_the_same_size_and_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(settings, "s/ds=2024-02-03/a.csv")
    [file] = delivery(settings, source("s/ds={ds}/*.csv"), DAY).files
    known = [Landed(file.uri, file.size, file.mtime_ns, "then", etag) for etag in ("", "same", "other")]
    monkeypatch.setattr("nightshift.storage.etag", lambda uri: "same")
    assert [_is_same(file, item) for item in known] == [True, True, False]


def test_a_correction_that_keeps_size_and_a_time_in_the_future_is_seen(settings: Settings) -> None:
    touch(settings, "s/ds=2024-02-03/a.csv")
    path, ahead = Path(settings.landing, "s/ds=2024-02-03/a.csv"), time.time() + 10**6
    os.utime(path, (ahead, ahead))
    [file] = delivery(settings, source("s/ds={ds}/*.csv"), DAY).files
    known = _read(file)
    assert _is_same(file, known)
    time.sleep(0.02)  # longer than a tick of the disk's clock
    path.write_text("j\n")
    os.utime(path, (ahead, ahead))
    [corrected] = delivery(settings, source("s/ds={ds}/*.csv"), DAY).files
    assert not _is_same(corrected, known)
