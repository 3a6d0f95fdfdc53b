"""A real S3 server for tests: moto, in an environment of its own, since it would hold back the platform's versions."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.needs import skip
from tests.waiting import until

_PROGRAM = ("-m", "uv", "tool", "run", "--from", "moto[server]==5.2.5", "moto_server")


@contextmanager
def moto(host: str, port: int, bucket: str, untested: str) -> Iterator[str]:
    """Serves at an address of this machine, with a bucket; gives its URL. Skips the test where moto cannot be had."""
    url = f"http://{host}:{port}"
    server = subprocess.Popen([sys.executable, *_PROGRAM, "-H", host, "-p", str(port)])
    try:
        until(lambda: server.poll() is not None or _answers(url), seconds=120)
        if server.poll() is not None:
            skip("moto cannot be installed here", untested)
        requests.put(f"{url}/{bucket}", timeout=10).raise_for_status()
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False
