"""The lock of the library's parts: what changed is named, and only what gives equal rows or a new version is locked."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from golden import lock, parts, rows
from golden.parts import State
from nightshift.inputs import cells
from nightshift.parts import VERSIONS
from tests.conftest import PROJECT

WAS = State(1, "code", "rows", "inputs")
READING = "spark_jobs/reading.py"


def found(home: Path) -> list[str]:
    code = {name: parts.code(home, name) for name in parts.names()}
    return [line.split(";")[0] for line in lock.problems(lock.read(), VERSIONS, code)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A copy of the code of all parts."""
    for name in {file for files in parts._FILES.values() for file in files}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    return tmp_path


def test_the_lock_is_as_the_code_is() -> None:
    assert found(PROJECT) == []
    assert set(rows.MAKERS) == set(VERSIONS)


def test_a_part_whose_code_changed_is_named(home: Path) -> None:
    path = home / READING
    text = path.read_text()
    path.write_text('"""Other words."""\n# a remark\n' + text)
    assert found(home) == []
    assert '"/ds="' in text
    path.write_text(text.replace('"/ds="', '"/day="'))
    assert found(home) == ["the code of part building is not as in golden/lock.json"]


def test_a_setting_of_the_session_is_code_of_the_part_that_builds(home: Path) -> None:
    path = home / "spark_jobs" / "main.py"
    path.write_text(path.read_text().replace('"spark.sql.ansi.enabled": "true"', '"spark.sql.ansi.enabled": "false"'))
    assert found(home) == ["the code of part building is not as in golden/lock.json"]


def test_a_file_that_moves_changes_no_part(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / READING).rename(home / "spark_jobs" / "moved.py")
    moved = tuple(name.replace("reading", "moved") for name in parts._FILES["building"])
    monkeypatch.setattr(parts, "_FILES", {**parts._FILES, "building": moved})
    assert found(home) == []


def test_a_version_that_is_not_locked_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERSIONS, "csv", VERSIONS["csv"] + 1)
    assert found(PROJECT) == ["the version of part csv is not as in golden/lock.json"]


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (WAS, ""),
        (replace(WAS, code="other"), ""),
        (replace(WAS, code="other", rows="other", version=2), ""),
        (replace(WAS, code="other", version=2), ""),
        (replace(WAS, inputs="other", rows="other"), ""),
        (replace(WAS, code="other", rows="other"), "raise its version"),
        (replace(WAS, code="other", inputs="other"), "lock one of them before the other"),
        (replace(WAS, version=2), "neither its code nor its golden rows changed"),
        (replace(WAS, version=0), "back to 0"),
    ],
)
def test_what_may_be_locked(now: State, why: str) -> None:
    said = lock.refusal(WAS, now)
    assert why in said
    assert bool(said) == bool(why)


@pytest.mark.parametrize("part", ["csv", "parquet", "parquet_times", "training", "scoring", "evaluation"])
def test_golden_rows_are_the_same_each_time(part: str) -> None:
    assert rows.text(part) == rows.text(part)


def test_a_reader_that_reads_otherwise_gives_other_golden_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows.text("csv")
    assert parts.digest(before) == lock.read()["csv"].rows
    kinds = {name: value for name, value in vars(cells).items() if callable(value) and name == "from_text"}
    assert kinds
    from nightshift.inputs import parse

    def lenient(*args: object) -> object:
        values = kinds["from_text"](*args)
        return values.fill_null(0) if str(values.type) == "int64" else values

    monkeypatch.setattr(parse, "from_text", lenient)
    assert rows.text("csv") != before
