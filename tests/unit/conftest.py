"""Fixtures of more than one file of unit tests."""

from pathlib import Path

import pytest


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Spark home whose spark-submit is written by the test."""
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    return tmp_path / "spark" / "bin" / "spark-submit"
