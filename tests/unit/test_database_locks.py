"""Locks of the Nightshift database: who waits for one, who has it, and how it ends."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from nightshift import database
from nightshift.database import advisory_lock, connect, connect_to, holder, lock_key, take
from nightshift.errors import NightshiftError, PlatformError
from nightshift.registry import ledger_table
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from tests.postgres import WRITER, Database, end_locks
from tests.unit.registry.entries import promotion
from tests.waiting import until


@pytest.fixture
def here(settings: Settings, database: Database) -> Settings:
    """Settings whose database is the test's own."""
    return replace(settings, database_url=database.writer_url)


def waiting(url: str) -> int:
    """How many sessions wait for an advisory lock."""
    with database.connect_to(url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    assert row is not None
    return int(row[0])


def test_a_lock_keeps_others_out_and_who_waits_says_so_once(here: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nightshift")
    order: list[str] = []

    def second() -> None:
        with database.advisory_lock(here, "inputs/orders/2024-02-01"):
            order.append("second")

    with database.advisory_lock(here, "inputs/orders/2024-02-01"):
        assert caplog.messages == []
        thread = threading.Thread(target=second)
        thread.start()
        until(lambda: waiting(here.database) == 1)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]
    assert caplog.messages == ["waiting for the lock inputs/orders/2024-02-01, which another process holds"]


def test_other_names_and_other_environments_do_not_wait(here: Settings) -> None:
    with (
        database.advisory_lock(here, "a"),
        database.advisory_lock(here, "b"),
        database.advisory_lock(replace(here, env="staging"), "a"),
    ):
        assert waiting(here.database) == 0


def test_an_error_releases_the_lock(here: Settings) -> None:
    with pytest.raises(ZeroDivisionError), database.advisory_lock(here, "a"):
        raise ZeroDivisionError
    with database.advisory_lock(here, "a"):
        pass


HOLD = """
import time
from nightshift import database
from nightshift.settings import Settings
with database.advisory_lock(Settings.from_env(), "a"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holding(here: Settings, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock ``a``."""
    environ = {**os.environ, "NIGHTSHIFT_DATABASE": here.database, "NIGHTSHIFT_VAR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_death_of_a_process_releases_its_lock(here: Settings, holding: "subprocess.Popen[str]") -> None:
    got = threading.Event()

    def take() -> None:
        with database.advisory_lock(here, "a"):
            got.set()

    thread = threading.Thread(target=take)
    thread.start()
    until(lambda: waiting(here.database) == 1)
    assert not got.is_set()
    holding.send_signal(signal.SIGKILL)
    assert got.wait(20)
    thread.join(20)


def test_waiting_has_an_end_and_names_who_holds_the_lock(here: Settings, holding: "subprocess.Popen[str]") -> None:
    with (
        pytest.raises(PlatformError, match=r"^the lock a was not free within 0:00:00.2") as caught,
        database.advisory_lock(here, "a", wait=timedelta(seconds=0.2)),
    ):
        pass
    assert f" {holding.pid} holds it (Postgres process " in str(caught.value)
    assert caught.value.retryable


def test_the_ledger_names_who_stops_it_as_well(
    here: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger_table.create_ledger(database.owner_url, WRITER)
    monkeypatch.setattr(ledger_table, "_WAIT", timedelta(seconds=0.2))
    with connect(here) as stuck:
        stuck.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(here.env, "ledger"),))
        with pytest.raises(PlatformError, match=r"^the lock ledger was not free within .* nightshift"):
            Ledger.of(here).append(promotion())
    assert Ledger.of(here).append(promotion()).seq == 1


def test_a_holder_of_another_role_is_named_as_far_as_postgres_tells(here: Settings, database: Database) -> None:
    with connect_to(database.owner_url) as theirs:
        theirs.execute("SELECT pg_advisory_lock(%s)", (lock_key(here.env, "a"),))
        with (
            pytest.raises(PlatformError, match=r"^the lock a was not free within .*: nightshift holds it \(Postgres"),
            advisory_lock(here, "a", wait=timedelta(seconds=0.2)),
        ):
            pass
    assert holder(here, "a") is None


def test_a_server_that_goes_away_meanwhile_is_said(
    here: Settings, database: Database, holding: "subprocess.Popen[str]"
) -> None:
    def end() -> None:
        until(lambda: waiting(here.database) == 1)
        with connect_to(database.owner_url) as theirs:
            theirs.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    ending = threading.Thread(target=end)
    ending.start()
    with pytest.raises(PlatformError, match=r"went away while the lock a was waited for"), advisory_lock(here, "a"):
        pass
    ending.join()


def test_who_waited_for_a_lock_reads_what_was_committed_meanwhile(here: Settings, database: Database) -> None:
    with connect_to(database.owner_url) as owner:
        owner.execute("ALTER ROLE nightshift_writer SET default_transaction_isolation = 'repeatable read'")
    with connect(here) as connection:
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)


def test_the_limit_of_the_ledgers_lock_ends_with_its_transaction(here: Settings) -> None:
    """Or a pooler would hand it on to whoever gets the session next."""
    with connect(here) as connection:
        take(connection, "SELECT pg_advisory_xact_lock(%s)", 1, "ledger", timedelta(seconds=7))
        assert connection.execute("SHOW lock_timeout").fetchone() == ("7s",)
        connection.commit()
        assert connection.execute("SHOW lock_timeout").fetchone() == ("0",)


def test_a_lock_whose_session_ended_is_not_confirmed(here: Settings, database: Database) -> None:
    with advisory_lock(here, "a") as lock:
        lock.confirm()
        end_locks(database)
        with pytest.raises(PlatformError, match=r"^the lock a was lost"):
            lock.confirm()


def test_a_lock_that_the_session_no_longer_has_is_not_confirmed(here: Settings) -> None:
    """As behind a pooler that hands its sessions on and resets them."""
    with database.advisory_lock(here, "a") as lock, database.advisory_lock(here, "b") as other:
        lock._connection.execute("SELECT pg_advisory_unlock_all()")  # type: ignore[union-attr]
        other.confirm()
        with pytest.raises(PlatformError, match=r"^the lock a was lost"):
            lock.confirm()


def test_a_vanished_host_is_noticed_on_both_sides_within_a_minute(here: Settings) -> None:
    with database.advisory_lock(here, "a") as lock:
        assert lock._connection is not None
        asked = lock._connection.info.get_parameters()
        assert (asked["keepalives_idle"], asked["keepalives_interval"], asked["keepalives_count"]) == ("30", "10", "3")
        assert asked["tcp_user_timeout"] == "60000"
        row = lock._connection.execute("SELECT current_setting('tcp_keepalives_idle')").fetchone()
        assert row in (("30",), ("0",)), "a socket of this machine has none, and shows 0"


def test_keys_are_signed_64_bit_and_differ_by_environment_and_name() -> None:
    keys = {database.lock_key(env, name) for env in ("a", "ab") for name in ("bc", "c", "d")}
    assert len(keys) == 6
    assert all(-(2**63) <= key < 2**63 for key in keys)
    assert database.lock_key("local", "ledger") == 6322778806765178544


def test_a_private_lake_needs_no_database_to_be_locked(settings: Settings) -> None:
    with (
        pytest.raises(NightshiftError, match="the Nightshift database is unknown"),
        database.advisory_lock(settings, "a"),
    ):
        pass
    with database.advisory_lock(replace(settings, private=True), "a"):
        pass
