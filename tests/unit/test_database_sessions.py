"""Poolers between a client and Postgres: a real PgBouncer in each of its modes."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from nightshift.database import advisory_lock, connect_to, lock_unless_held, sessions
from nightshift.errors import PlatformError
from nightshift.platform import databases
from nightshift.platform.postgres import Cluster
from nightshift.settings import Settings
from tests.needs import needs
from tests.postgres import WRITER, WRITER_PASSWORD, Database, admit_people
from tests.waiting import until

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
needs_pgbouncer = needs(PGBOUNCER, "pgbouncer is not installed", "poolers that share sessions are refused")
REFUSED = "a pooler hands one database session to several clients, and with it their locks: two do what one must"

Pooler = Callable[..., str]


@pytest.fixture
def pooler(postgres: Cluster, database: Database) -> Iterator[Pooler]:
    """Starts a PgBouncer with some settings before the test's database; returns the URL of the writer through it."""
    folder = Path(tempfile.mkdtemp(prefix="nspgb-"))
    folder.chmod(0o755)
    started: list[subprocess.Popen[bytes]] = []
    name = str(conninfo_to_dict(database.writer_url)["dbname"])

    def start(mode: str, **options: object) -> str:
        place = folder / mode
        place.mkdir(mode=0o777)
        place.chmod(0o777)
        login = f"user={WRITER} password='{WRITER_PASSWORD}'"
        given = {"listen_port": 6432, "unix_socket_dir": place, "auth_type": "any", "pool_mode": mode, **options}
        lines = ["[databases]", f"{name} = host={postgres.sockets} dbname={name} {login}", "[pgbouncer]"]
        (place / "ini").write_text("\n".join([*lines, *(f"{key} = {value}" for key, value in given.items())]))
        assert PGBOUNCER is not None
        with (place / "log").open("wb") as log:
            argv = [PGBOUNCER, str(place / "ini")]
            started.append(subprocess.Popen(argv, stdout=log, stderr=log, cwd="/", **postgres.as_account))
        until((place / ".s.PGSQL.6432").exists)
        return f"postgresql://{WRITER}@/{name}?host={place}&port=6432"

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        process.wait(20)
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def untried() -> None:
    """Each test's process has tried no pooler yet."""
    sessions._tried.cache_clear()


@needs_pgbouncer
@pytest.mark.parametrize(
    ("mode", "options"),
    [("transaction", {}), ("transaction", {"server_round_robin": 1}), ("transaction", {"default_pool_size": 1}),
     ("statement", {})],
)  # fmt: skip
def test_a_pooler_that_hands_sessions_on_is_refused_before_a_lock_is_taken(
    settings: Settings, pooler: Pooler, mode: str, options: dict[str, int]
) -> None:
    here = replace(settings, database_url=pooler(mode, **options))
    with pytest.raises(PlatformError, match=REFUSED) as caught, advisory_lock(here, "a"):
        pass
    assert str(caught.value).startswith(f"{here.database.partition('host=')[2].partition('&')[0]}:6432/test_")
    assert "pool_mode=session" in str(caught.value)
    with pytest.raises(PlatformError, match=REFUSED), lock_unless_held(here, "a"):
        pass


@needs_pgbouncer
def test_preparing_databases_refuses_it(
    settings: Settings, database: Database, pooler: Pooler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner").write_text(database.owner_url)
    admit_people(settings, database)
    monkeypatch.setenv(databases.OWNER, str(tmp_path / "owner"))
    with pytest.raises(PlatformError, match=REFUSED):
        databases._make_ledger(replace(settings, database_url=pooler("transaction")))


@needs_pgbouncer
def test_a_pooler_with_many_sessions_at_rest_is_found(settings: Settings, pooler: Pooler) -> None:
    url = pooler("transaction", server_round_robin=1)
    busy = [connect_to(url) for _ in range(4)]
    for connection in busy:
        connection.execute("SELECT 1")
    for connection in busy:
        connection.close()
    with pytest.raises(PlatformError, match=REFUSED):
        sessions.refuse_pooler(url)


@needs_pgbouncer
@pytest.mark.parametrize("options", [{}, {"default_pool_size": 2}])
def test_a_pooler_that_gives_a_session_to_one_client_is_none_of_ours(
    settings: Settings, pooler: Pooler, options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_SECONDS", 2.0)
    here = replace(settings, database_url=pooler("session", **options))
    with advisory_lock(here, "a") as lock, lock_unless_held(here, "a") as held:
        assert not held
        lock.confirm()


def test_where_the_server_itself_answers_nothing_is_tried(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions.refuse_pooler(database.writer_url)
    monkeypatch.setattr(sessions, "refuse_pooler", lambda dsn: pytest.fail("tried"))
    with advisory_lock(replace(settings, database_url=database.writer_url), "a") as lock:
        lock.confirm()
