"""What a ledger keeps: entries, in one chain, whoever appends them."""

import hashlib
import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from nightshift.errors import PlatformError
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger, NewEntry
from nightshift.settings import Settings
from tests.postgres import Database
from tests.unit.registry.entries import promotion, rows

# ---- what an entry is


def test_an_entry_is_what_was_appended_and_when(ledger: Ledger) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    first = ledger.append(promotion("1"))
    second = ledger.append(promotion("2", pipeline="other", kind="retirement", effective_from=None, as_of=None))
    assert (first.seq, first.env, first.pipeline, first.kind, first.version) == (
        1,
        "local",
        "parcels",
        "promotion",
        "1",
    )
    assert (first.as_of, first.effective_from) == (date(2024, 2, 1), date(2024, 2, 2))
    assert (first.actor, first.model_sha256) == ("tests", "5" * 64)
    assert first.details == {"a": {"z": True}, "b": [1.5, None]}
    assert before < first.recorded_at <= second.recorded_at < before + timedelta(minutes=1)
    assert first.recorded_at.tzinfo is UTC
    assert (first.previous_hash, second.previous_hash) == ("", first.hash)
    assert (second.seq, second.as_of, second.effective_from) == (2, None, None)
    assert ledger.entries() == [first, second]
    assert ledger.entries("other") == [second]
    assert ledger.entries("parcels") == [first]
    assert ledger.head() == second.hash
    assert ledger.verify() == 2


def test_an_empty_ledger_verifies_and_has_no_head(ledger: Ledger) -> None:
    assert (ledger.entries(), ledger.head(), ledger.verify()) == ([], "", 0)


def test_the_hash_is_that_of_the_canonical_text_which_stays_text(ledger: Ledger, database: Database) -> None:
    entry = ledger.append(promotion("1", once="run-1"))
    ((text, hash_),) = rows(database.writer_url, "SELECT content, hash FROM ledger")
    assert entry.hash == hash_ == hashlib.sha256(text.encode()).hexdigest()
    document = json.loads(text)
    assert text == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert document == {
        "actor": "tests",
        "as_of": "2024-02-01",
        "details": {"a": {"z": True}, "b": [1.5, None]},
        "effective_from": "2024-02-02",
        "env": "local",
        "kind": "promotion",
        "model_sha256": "5" * 64,
        "once": "run-1",
        "pipeline": "parcels",
        "previous_hash": "",
        "reason": "rmse 2 is 3 % better – höher wäre schlechter",
        "recorded_at": entry.recorded_at.isoformat(timespec="microseconds"),
        "seq": 1,
        "version": "1",
    }
    assert entry.document() == {**document, "hash": hash_}


def test_columns_for_sql_follow_the_text(ledger: Ledger, database: Database) -> None:
    ledger.append(promotion("7", once="a"))
    query = "SELECT seq, env, pipeline, kind, effective_from, as_of, version, once FROM ledger"
    assert rows(database.writer_url, query) == [
        (1, "local", "parcels", "promotion", "2024-02-02", "2024-02-01", "7", "a")
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_details_that_are_not_json_are_turned_down(ledger: Ledger, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        ledger.append(promotion(details={"metric": value}))
    assert ledger.verify() == 0


# ---- once, and the moment


def test_a_retried_append_returns_the_entry_that_is_there(ledger: Ledger) -> None:
    first = ledger.append(promotion("1", once="run-1"))
    ledger.append(promotion("2"))
    assert ledger.append(promotion("3", once="run-1", reason="again")) == first
    other = ledger.append(promotion("4", once="run-1", pipeline="other"))
    assert (other.seq, other.version) == (3, "4")
    assert ledger.verify() == 3


def test_an_entry_can_depend_on_the_past_and_on_its_own_moment(ledger: Ledger) -> None:
    ledger.append(promotion("1"))
    ledger.append(promotion("2", pipeline="other"))
    seen: list[Any] = []

    def compose(past: list[Entry], now: datetime) -> NewEntry:
        seen.extend(([entry.version for entry in past], now))
        return promotion(f"after-{past[-1].version}", effective_from=now.date())

    entry = ledger.append_seeing("parcels", compose)
    assert seen == [["1"], entry.recorded_at]
    assert (entry.version, entry.effective_from) == ("after-1", entry.recorded_at.date())


def test_environments_are_separate_chains(ledger: Ledger, database: Database) -> None:
    staging = Ledger(database.writer_url, "staging")
    ledger.append(promotion("1", once="same"))
    entry = staging.append(promotion("2", once="same"))
    assert (entry.seq, entry.env, entry.previous_hash, entry.version) == (1, "staging", "", "2")
    assert [found.version for found in ledger.entries()] == ["1"]
    assert (ledger.verify(), staging.verify()) == (1, 1)
    assert ledger.head() != staging.head()


# ---- many at once


def append_many(url: str, worker: int, count: int) -> list[int]:
    ledger = Ledger(url, "local")
    return [
        ledger.append(promotion(f"{worker}-{number}", pipeline=f"p{worker % 2}", once=f"shared-{number}")).seq
        for number in range(count)
    ]


def test_processes_that_append_at_once_make_one_gapless_chain(ledger: Ledger, database: Database) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(4, mp_context=spawn) as pool:
        found = list(pool.map(append_many, [database.writer_url] * 4, range(4), [15] * 4))
    entries = ledger.entries()
    assert [entry.seq for entry in entries] == list(range(1, 31))  # of two workers with the same keys, one appends
    assert ledger.verify() == 30
    assert found[0] == found[2] != found[1] == found[3]
    recorded = [entry.recorded_at for entry in entries]
    assert recorded == sorted(recorded)


def test_threads_that_append_at_once_make_one_gapless_chain(ledger: Ledger) -> None:
    with ThreadPoolExecutor(12) as pool:
        entries = list(pool.map(lambda number: ledger.append(promotion(str(number))), range(60)))
    assert sorted(entry.seq for entry in entries) == list(range(1, 61))
    assert ledger.verify() == 60


# ---- at its edges


def test_settings_name_a_ledger(ledger: Ledger, database: Database, settings: Settings) -> None:
    found = Ledger.of(replace(settings, env="staging", database_url=database.writer_url))
    entry = found.append(promotion())
    assert (entry.env, entry.seq) == ("staging", 1)


@pytest.mark.process
def test_an_unreachable_server_is_a_platform_error() -> None:
    with pytest.raises(PlatformError):
        Ledger("postgresql://writer:secret@127.0.0.1:1/nightshift", "local").head()


def test_a_database_without_a_ledger_says_what_to_do(database: Database) -> None:
    with pytest.raises(PlatformError) as caught:
        Ledger(database.writer_url, "local").entries()
    assert str(caught.value) == (
        "the Nightshift database has no ledger. What to do: create it with `nightshift up`, or elsewhere with "
        "nightshift.registry.ledger.create_ledger."
    )


def test_a_server_that_goes_away_leaves_no_half_entry(ledger: Ledger, database: Database) -> None:
    def compose(_past: list[Entry], _now: datetime) -> NewEntry:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'nightshift_writer'"
        assert rows(database.owner_url, query + " AND datname = current_database()") == [(True,)]
        return promotion()

    with pytest.raises(PlatformError, match=r"^the Nightshift database went away \(terminating connection"):
        ledger.append_seeing("parcels", compose)
    assert ledger.append(promotion()).seq == 1
    assert ledger.verify() == 1


@pytest.mark.process
def test_importing_the_registry_imports_no_driver() -> None:
    code = (
        "import sys, nightshift.registry.ledger, nightshift.registry.champions, nightshift.registry.promotion\n"
        "print(sorted({'psycopg', 'mlflow', 'pandas'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
