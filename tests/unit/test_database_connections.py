"""Connections to the Nightshift database: what they do when they end, and what is said where there is none."""

from dataclasses import replace

import pytest

from nightshift.database import connect
from nightshift.errors import NightshiftError, PlatformError
from nightshift.settings import Settings
from tests.postgres import Database


def test_a_connection_commits_on_leaving(settings: Settings, database: Database) -> None:
    with connect(replace(settings, database_url=database.writer_url)) as connection:
        assert connection.execute("SELECT current_user, current_setting('application_name')").fetchone() == (
            "nightshift_writer",
            "nightshift",
        )
    assert connection.closed


@pytest.mark.process
def test_a_server_that_is_not_there_is_named_without_the_password(settings: Settings) -> None:
    gone = replace(settings, database_url="postgresql://writer:hunter2@127.0.0.1:1/nightshift")
    with pytest.raises(PlatformError) as caught:
        connect(gone)
    message = str(caught.value)
    assert message.startswith("127.0.0.1:1/nightshift: the Nightshift database cannot be reached (")
    assert "Connection refused" in message
    assert message.endswith("What to do: start the platform with `nightshift up`, or correct NIGHTSHIFT_DATABASE_FILE.")
    assert "hunter2" not in message
    assert "\n" not in message
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("url", ["postgresql://writer:hunter2%zz@host/nightshift", "http://writer:hunter2@host/x"])
def test_a_url_that_is_none_is_not_quoted(settings: Settings, url: str) -> None:
    with pytest.raises(PlatformError) as caught:
        connect(replace(settings, database_url=url))
    assert str(caught.value) == (
        "the URL of the Nightshift database is not one that libpq reads. "
        "Allowed: postgresql://user:password@host:port/database, with special characters as %XX. "
        "What to do: correct NIGHTSHIFT_DATABASE or the file that NIGHTSHIFT_DATABASE_FILE names."
    )


def test_a_database_that_is_unknown_is_said(settings: Settings) -> None:
    with pytest.raises(NightshiftError, match=r"^the Nightshift database is unknown: "):
        connect(settings)
