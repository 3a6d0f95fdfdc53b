"""Any process of any component killed: what serves afterwards is what the supervisor watches."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from nightshift.errors import PlatformError
from nightshift.platform import health, local, predecessor, processes, supervisor
from nightshift.platform.layout import Layout
from nightshift.settings import Settings
from tests.live import Live, free_port
from tests.waiting import until

LISTEN = """
import socket, time
server = socket.socket()
server.bind(("127.0.0.1", {}))
server.listen()
print(flush=True)
time.sleep(600)
"""


def trees(settings: Settings) -> dict[str, list[psutil.Process]]:
    """The processes of each component but the supervisor, the one that it started first."""
    roots = {component.name: component.pid for component in local.status(settings) if component.name != "supervisor"}
    found = {}
    for name, pid in roots.items():
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            found[name] = [root, *root.children(recursive=True)]
    return found


def kill(killed: list[psutil.Process]) -> None:
    for process in killed:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def all_serve(settings: Settings) -> bool:
    """Whether every component is healthy, and each port is listened on by the tree of its component."""
    components = local.status(settings)
    listen = [processes.tree_listens(item.pid, item.port) for item in components if item.port]
    return {item.health for item in components} == {health.HEALTHY} and all(listen)


@pytest.mark.platform
def test_the_first_process_of_every_tree_is_killed(live_platform: Live) -> None:
    settings = live_platform.settings
    before = trees(settings)
    kill([tree[0] for tree in before.values()])
    until(lambda: all_serve(settings), seconds=180)
    after = {name: tree[0].pid for name, tree in trees(settings).items()}
    assert all(after[name] != tree[0].pid for name, tree in before.items())


@pytest.mark.platform
def test_every_other_process_of_every_tree_is_killed(live_platform: Live) -> None:
    settings = live_platform.settings
    others = [process for tree in trees(settings).values() for process in tree[1:]]
    assert len(others) > 5
    kill(others)
    time.sleep(1)  # a component that does not notice would still be called healthy
    until(lambda: all_serve(settings), seconds=180)


def listening(port: int, environ: dict[str, str]) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", LISTEN.format(port)], env=environ, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    process.stdout.readline()
    return process


@pytest.mark.process
class TestPredecessor:
    def test_ends_what_the_platform_left_on_the_port(self, settings: Settings) -> None:
        port = free_port()
        left = listening(port, {**os.environ, supervisor.MARKER: str(settings.var)})
        [ended] = predecessor.free(port, Layout(settings.var))
        assert str(left.pid) in ended
        assert not psutil.pid_exists(left.pid)
        assert predecessor.free(port, Layout(settings.var)) == []

    def test_leaves_a_stranger_alone_and_names_it(self, settings: Settings) -> None:
        port = free_port()
        stranger = listening(port, dict(os.environ))
        try:
            with pytest.raises(PlatformError, match=rf"port {port} is taken by .*process {stranger.pid}"):
                predecessor.free(port, Layout(settings.var))
            assert stranger.poll() is None
        finally:
            stranger.kill()

    def test_health_names_who_has_the_port_of_a_component(self) -> None:
        idle = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        try:
            with socket.socket() as mine:
                mine.bind(("127.0.0.1", 0))
                mine.listen()
                port = mine.getsockname()[1]
                by_another, by_itself = (
                    health._other(supervisor.Running("mlflow", "RUNNING", pid, 0, ""), port)
                    for pid in (idle.pid, os.getpid())
                )
        finally:
            idle.kill()
        assert f"process {os.getpid()}" in by_another
        assert by_itself == ""
