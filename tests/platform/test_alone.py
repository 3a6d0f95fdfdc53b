"""Commands of one platform take turns, and none waits for ever."""

import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from nightshift.errors import PlatformError
from nightshift.platform import alone
from nightshift.platform.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    found.make()
    return found


def test_who_has_the_turn_is_named_once_the_time_is_up(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "WAIT", timedelta(0))
    with alone.alone(layout):
        with pytest.raises(PlatformError) as caught, alone.alone(layout):
            pass
        assert f"at work on the platform for 0:00:00 (process {os.getpid()})" in str(caught.value)
    with alone.alone(layout):
        pass


def test_what_is_written_meanwhile_is_closed_to_others(layout: Layout, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with alone.alone(layout):
            (tmp_path / "log").write_text("")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600
