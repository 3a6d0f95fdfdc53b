"""The ledger where others made its database."""

from dataclasses import replace
from pathlib import Path

import pytest

from nightshift.errors import PlatformError
from nightshift.platform import databases
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from tests.postgres import Database, admit_people


def test_the_ledger_is_made_once(
    settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tmp_path / "owner"
    owner.write_text(f"{database.owner_url}\n")
    monkeypatch.setenv(databases.OWNER, str(owner))
    written = replace(settings, database_url=database.writer_url)
    with pytest.raises(PlatformError, match=r"what people decide cannot be recorded from here: .*/people cannot be"):
        databases._make_ledger(written)
    admit_people(settings, database)
    for _ in range(2):
        databases._make_ledger(written)
    assert Ledger.of(written).entries() == []


def test_an_owner_that_is_not_given_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(databases.OWNER, raising=False)
    with pytest.raises(PlatformError, match="NIGHTSHIFT_DATABASE_OWNER_FILE: the owner of the ledger is unknown"):
        databases._make_ledger(settings)
    monkeypatch.setenv(databases.OWNER, "/no/such/file")
    with pytest.raises(PlatformError, match="/no/such/file: the owner of the ledger is unknown"):
        databases._make_ledger(settings)
