"""``nightshift status`` tries what the promises stand on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nightshift import tables
from nightshift.cli.ground import ground_lines
from nightshift.errors import PlatformError
from nightshift.job import table_uri
from nightshift.settings import Settings
from nightshift.specs.load import load_all
from tests.stand_in_store import stand_in_store
from tests.unit.cli.conftest import Cli
from tests.unit.tables.test_publish import DAY, SCHEMA, staged
from tests.unit.tables.test_store import nothing_known, reach  # noqa: F401 (a fixture that every test uses)


@pytest.mark.process
def test_status_names_a_store_that_ignores_conditional_puts(cli: Cli) -> None:
    with stand_in_store(ignores_conditions=True) as server:
        store = {
            "AWS_ENDPOINT_URL": server.address, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "nightshift", "AWS_SECRET_ACCESS_KEY": "of the test",
            "AWS_EC2_METADATA_DISABLED": "true", "NIGHTSHIFT_LAKE": "s3://lake/nights",
        }  # fmt: skip
        done = cli("status", "--json", **store)
    [said] = json.loads(done.stdout)["unsound"]
    assert said.startswith(f"store: s3://lake at {server.address}: the store ignores conditional puts")
    assert done.returncode == 1


@pytest.mark.process
def test_a_store_that_a_publication_has_tried_is_read_alone_and_one_for_readers_is_no_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stand_in_store(ignores_conditions=False) as server:
        reach(monkeypatch, server.address)
        lake = replace(settings, lake="s3://lake/nights")
        server.read_only, untried = True, list[str]()
        assert list(ground_lines(lake, False, untried.append)) == []
        assert [line.partition(". ")[0] for line in untried] == [
            f"store: s3://lake at {server.address}: the store could not be tried with these rights"
        ]
        server.read_only = False
        table = table_uri(lake, load_all(lake)[0][0], "predictions")
        tables.publish(table, SCHEMA, [staged(table, DAY, "aa", "1")])
        server.read_only, before = True, len(server.puts)
        assert (list(ground_lines(lake, False, pytest.fail)), len(server.puts)) == ([], before)


def test_without_a_platform_nothing_is_asked_and_no_lake_is_made(settings: Settings) -> None:
    assert list(ground_lines(settings, False)) == []
    assert not Path(settings.lake).exists()


def test_a_lake_on_a_disk_is_tried_and_left_as_it_was(settings: Settings) -> None:
    lake = Path(settings.lake)
    lake.mkdir(parents=True)
    assert list(ground_lines(settings, False)) == []
    assert [path for path in lake.rglob("*") if path.is_file()] == []


def test_a_database_with_shared_sessions_is_a_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def shared(dsn: str) -> None:
        raise PlatformError("a pooler hands one database session to several clients", where="pooler:6432/nightshift")

    monkeypatch.setattr("nightshift.database.refuse_pooler", shared)
    given = replace(settings, database_url="postgresql://pooler:6432/nightshift")
    said = "database: pooler:6432/nightshift: a pooler hands one database session to several clients."
    assert list(ground_lines(given, False)) == [said]
    assert list(ground_lines(settings, False)) == [], "the local platform's own database, which is not up"
