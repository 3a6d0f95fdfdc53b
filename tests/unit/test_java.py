"""Where the Java of Spark and its class archive are kept."""

from pathlib import Path

import pytest

from nightshift import java


def test_what_an_image_was_built_with_is_used_by_who_cannot_write_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert java.cache_folder() == Path("/elsewhere/nightshift")
    (tmp_path / "share" / "nightshift").mkdir(parents=True)
    assert java.cache_folder() == tmp_path / "share" / "nightshift"
