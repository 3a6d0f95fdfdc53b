"""Stores that lose what they confirmed are refused before the first publication to them."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nightshift import storage, tables
from nightshift.errors import PlatformError
from nightshift.tables import StoreUntried, store
from tests.moto import moto
from tests.stand_in_store import StandInStore, stand_in_store
from tests.unit.tables.test_publish import DAY, SCHEMA, at_once, staged

BUCKET = "lake"
TABLE = f"s3://{BUCKET}/parcels/features"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new process, which has tried no store."""
    monkeypatch.setattr(store, "_known", set())


def reach(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Has this process find the store there."""
    variables = {
        "AWS_ENDPOINT_URL": address, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "nightshift", "AWS_SECRET_ACCESS_KEY": "of the test", "AWS_ALLOW_HTTP": "true",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInStore]:
    """A store that ignores conditional puts."""
    with stand_in_store(ignores_conditions=True) as server:
        reach(monkeypatch, server.address)
        yield server


@pytest.mark.process
def test_a_store_that_ignores_conditional_puts_is_refused_before_the_first_publication(forgetful: StandInStore) -> None:
    first = staged(TABLE, DAY, "aa", "1")
    with pytest.raises(PlatformError) as caught:
        tables.publish(TABLE, SCHEMA, [first])
    assert str(caught.value).startswith(f"s3://{BUCKET} at {forgetful.address}: the store ignores conditional puts")
    assert "NIGHTSHIFT_LAKE" in str(caught.value)
    assert not [path for path in forgetful.objects if "/_delta_log/" in path and not path.endswith("/")]
    assert tables.state(TABLE).version == -1


@pytest.mark.process
def test_a_store_of_the_same_kind_that_keeps_its_word_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with stand_in_store(ignores_conditions=False) as server:
        reach(monkeypatch, server.address)
        for number in range(3):
            tables.publish(TABLE, SCHEMA, [staged(TABLE, f"2024-02-0{number + 1}", "aa", str(number))])
            monkeypatch.setattr(store, "_known", set())
        tried = {path.partition("/try-")[2].partition("/")[0] for path in server.puts if "/try-" in path}
        assert len(tried) == 1
        assert not [path for path in server.objects if "/try-" in path], "nothing of it stays"
        assert tables.state(TABLE).version == 3


@pytest.mark.process
def test_a_real_s3_server_is_one_for_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with moto("127.0.0.1", port, BUCKET, "tables are published in an object store") as url:
        reach(monkeypatch, url)
        tables.publish(TABLE, SCHEMA, [staged(TABLE, DAY, "aa", "1")])
        assert list(tables.state(TABLE).partitions) == [DAY]


def test_a_disk_is_tried_by_each_process_and_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[str]()
    real = store.try_store
    monkeypatch.setattr(store, "try_store", lambda root: (tried.append(root), real(root)))
    table = str(tmp_path / "features")
    for day in ("2024-02-01", "2024-02-02"):
        tables.publish(table, SCHEMA, [staged(table, day, "aa", "1")])
        tables.publish(table, SCHEMA, [staged(table, f"2024-03-{day[-2:]}", "aa", "1")])
        monkeypatch.setattr(store, "_known", set())
    assert tried == [table, table]
    assert storage.list_files(f"{table}/_store", recursive=True) == []


@pytest.mark.process
def test_a_table_in_an_object_store_is_tried_again_where_it_was_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    with stand_in_store(ignores_conditions=False) as server:
        reach(monkeypatch, server.address)
        tables.publish(TABLE, SCHEMA, [staged(TABLE, DAY, "aa", "1")])
        there = f"s3://{BUCKET}/moved/features"
        for path in [path for path in server.objects if path.startswith("/lake/parcels/")]:
            server.objects[path.replace("/parcels/", "/moved/")] = server.objects[path]
        assert (tables.was_tried(TABLE), tables.was_tried(there)) == (True, False)
        monkeypatch.setattr(store, "_known", set())
        tables.publish(there, SCHEMA, [staged(there, "2024-02-03", "aa", "1")])
        assert tables.was_tried(there)
        monkeypatch.setenv("AWS_S3_ALLOW_UNSAFE_RENAME", "true")
        assert not tables.was_tried(TABLE), "other settings commit in another way"


@pytest.mark.process
def test_a_store_to_which_nothing_may_be_written_is_untried_and_not_unsound(monkeypatch: pytest.MonkeyPatch) -> None:
    with stand_in_store(ignores_conditions=False) as server:
        reach(monkeypatch, server.address)
        server.read_only = True
        with pytest.raises(StoreUntried, match="could not be tried with these rights"):
            store.try_store(f"s3://{BUCKET}/parcels")


@pytest.mark.process
def test_a_disk_to_which_nothing_may_be_written_is_untried() -> None:
    """As another user: whoever runs the tests may be allowed everything."""
    code = (
        "import os, sys, deltalake\n"
        "from nightshift.tables import StoreUntried, try_store\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: try_store(sys.argv[1])\n"
        "except StoreUntried as error: print(error.what)\n"
    )
    lake = Path(tempfile.mkdtemp(prefix="nightshift-"))
    try:
        lake.chmod(0o555)
        done = subprocess.run([sys.executable, "-c", code, str(lake)], check=True, capture_output=True, text=True)
    finally:
        lake.chmod(0o755)
        lake.rmdir()
    assert done.stdout == "the store could not be tried with these rights\n"


def test_a_process_tries_a_file_system_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[str]()
    monkeypatch.setattr(store, "try_store", tried.append)
    for name in ("features", "labels"):
        store.require_store(str(tmp_path / name))
    assert tried == [str(tmp_path / "features")]


def test_a_disk_without_links_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where the folder should be stands for a store that turns writes down."""
    (tmp_path / "_store").write_text("")
    with pytest.raises(PlatformError, match=f"^{tmp_path}: the store cannot be tried "):
        store.try_store(str(tmp_path))


@pytest.mark.process
def test_a_store_is_tried_on_one_processor_and_by_several_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delta's library has a thread a processor, and each may wait for what another one is to do."""
    code = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from nightshift.tables import try_store\n"
        "with ThreadPoolExecutor(4) as pool: list(pool.map(try_store, sys.argv[1:]))\n"
    )
    with stand_in_store(ignores_conditions=False) as server:
        reach(monkeypatch, server.address)
        tables_at_once = [f"s3://{BUCKET}/parcels/{number}" for number in range(4)]
        subprocess.run([sys.executable, "-c", code, *tables_at_once], check=True, timeout=120)


def test_several_threads_try_a_disk_at_once(tmp_path: Path) -> None:
    at_once([lambda n=n: store.try_store(str(tmp_path / str(n))) for n in range(8)])
