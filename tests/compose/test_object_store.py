"""The object store as compose starts it: what the key of upstream systems can do, on a real gateway."""

import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pyarrow import fs

from nightshift.errors import PlatformError
from nightshift.platform.containers import let_upstream_deliver
from tests.conftest import PROJECT
from tests.live import free_port
from tests.needs import needs
from tests.waiting import until

SCRIPT = PROJECT / "include" / "docker" / "object-store.sh"
KEYS = {"object_store_key": "of the platform", "upstream_key": "0123456789abcdef"}
needs_gateway = needs(
    shutil.which("versitygw"), "no versitygw", "the key of upstream systems only writes below landing"
)

Client = Callable[[str, str], fs.S3FileSystem]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, key in KEYS.items():
        (folder / name).write_text(key)
    return folder


@pytest.fixture
def client(tmp_path: Path, secrets: Path) -> Iterator[Client]:
    """Logs in to a store that holds a delivery, a report and a lake."""
    objects, port = tmp_path / "objects", free_port()
    objects.mkdir()
    let_upstream_deliver("s3://nightshift/landing", objects)
    argv = ["sh", str(SCRIPT), str(objects), str(secrets), f"127.0.0.1:{port}"]
    with (tmp_path / "log").open("wb") as log:
        gateway = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)

    def answers() -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
        return False

    def login(user: str, key: str) -> fs.S3FileSystem:
        address = {"endpoint_override": f"127.0.0.1:{port}", "scheme": "http", "region": "us-east-1"}
        return fs.S3FileSystem(access_key=user, secret_key=KEYS[key], allow_bucket_creation=True, **address)

    try:
        until(answers, seconds=20)
        own = login("nightshift", "object_store_key")
        for path in ("landing/flights/1.csv", "reports/a.html", "lake/predictions/1.parquet"):
            write(own, path)
        yield login
    finally:
        os.killpg(gateway.pid, signal.SIGKILL)
        gateway.wait()


def write(store: fs.S3FileSystem, path: str, text: bytes = b"rows") -> None:
    with store.open_output_stream(f"nightshift/{path}") as file:
        file.write(text)


def refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except OSError as error:
        return "AccessDenied" in str(error) or "ACCESS_DENIED" in str(error)
    return False


@needs_gateway
@pytest.mark.process
def test_upstream_delivers_and_can_do_nothing_else(client: Client) -> None:
    own, upstream = client("nightshift", "object_store_key"), client("upstream", "upstream_key")
    write(upstream, "landing/flights/2.csv", b"delivered")
    assert own.open_input_stream("nightshift/landing/flights/2.csv").read() == b"delivered"
    for path in ("landing", "reports/a.html", "lake/predictions/1.parquet", "new/1"):
        assert refused(lambda path=path: write(upstream, path, b"forged")), path
    with pytest.raises(OSError, match="AWS Error"):
        write(upstream, "landing/../lake/predictions/1.parquet", b"forged")
    for path in ("landing/flights/1.csv", "landing/flights/2.csv", "reports/a.html", "lake/predictions/1.parquet"):
        assert refused(lambda path=path: upstream.open_input_stream(f"nightshift/{path}").read()), path
        assert refused(lambda path=path: upstream.delete_file(f"nightshift/{path}")), path
        assert own.open_input_stream(f"nightshift/{path}").read() in (b"rows", b"delivered")
    for folder in ("nightshift", "nightshift/landing", "nightshift/reports"):
        assert refused(lambda folder=folder: upstream.get_file_info(fs.FileSelector(folder))), folder
    with pytest.raises(OSError, match="AWS Error"):  # a folder has no list of rights, which the gateway looks for here
        upstream.copy_file("nightshift/reports/a.html", "nightshift/landing/flights/3.csv")
    assert own.get_file_info("nightshift/landing/flights/3.csv").type == fs.FileType.NotFound
    assert refused(lambda: upstream.create_dir("mine"))
    assert not refused(lambda: own.get_file_info(fs.FileSelector("nightshift/reports")))


@pytest.mark.process
@pytest.mark.parametrize("key", ["", 'x","role":"admin', "two words", "a\nb"])
def test_a_key_that_would_be_more_than_a_key_is_refused(secrets: Path, tmp_path: Path, key: str) -> None:
    (secrets / "upstream_key").write_text(key)
    done = subprocess.run(
        ["sh", str(SCRIPT), str(tmp_path / "objects"), str(secrets)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("upstream_key: the key of upstream systems is empty or has other characters.")
    assert "admin" not in done.stderr


@pytest.mark.parametrize("landing", ["/nightshift/landing", "s3://nightshift", "s3://nightshift/"])
def test_a_landing_that_is_a_whole_bucket_is_refused(tmp_path: Path, landing: str) -> None:
    with pytest.raises(PlatformError, match="landing is no folder of a bucket"):
        let_upstream_deliver(landing, tmp_path)
