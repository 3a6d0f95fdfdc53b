"""The processes of a platform, found by what they carry, not by who started them; and who holds a port."""

import os
import signal
import socket
from collections.abc import Iterable
from contextlib import suppress

import psutil

from nightshift.platform.layout import Layout
from nightshift.platform.supervisor import MARKER

GONE = (psutil.NoSuchProcess, psutil.ZombieProcess)


def of_platform(layout: Layout) -> list[psutil.Process]:
    """Every living process of the platform: those with its marker, its Postgres, and all that these started."""
    found = {process.pid: process for process in psutil.process_iter() if is_marked(process, layout)}
    if postmaster := _postmaster(layout):
        found[postmaster.pid] = postmaster
    for process in list(found.values()):
        with suppress(*GONE, psutil.AccessDenied):
            found |= {child.pid: child for child in process.children(recursive=True)}
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _lives(process)]


def is_marked(process: psutil.Process, layout: Layout) -> bool:
    """Return whether a process was started by the platform's supervisor, or by what that started."""
    try:
        return process.environ().get(MARKER) == str(layout.var)
    except (*GONE, psutil.AccessDenied, OSError):
        return False


def end(layout: Layout, processes: Iterable[psutil.Process], seconds: float = 10) -> list[psutil.Process]:
    """Ends processes, by force after ``seconds``, Postgres after all others; gives those that survive."""
    postmaster = _postmaster(layout)
    others = [process for process in processes if not postmaster or process.pid != postmaster.pid]
    survivors = _end([other for other in others if not _is_child(other, postmaster)], signal.SIGTERM, seconds)
    if postmaster:
        survivors += _end([postmaster], signal.SIGINT, seconds)
    return survivors


def holder(port: int) -> str | None:
    """Who listens on a port of this machine: ``nginx (process 71)``, or ``""`` when unknown; None: nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            found = listener(port)
            return named(found) if found else ""
    return None


def listener(port: int) -> psutil.Process | None:
    """The process that listens on a port of this machine; None where there is none, or it is hidden from this user."""
    return next((process for process in psutil.process_iter() if _listens(process, port)), None)


def tree_listens(pid: int, port: int) -> bool:
    """Return whether a process or one that it started listens on a port."""
    with suppress(*GONE):
        first = psutil.Process(pid)
        return any(_listens(process, port) for process in (first, *first.children(recursive=True)))
    return False


def named(process: psutil.Process) -> str:
    """A process as people look for it: ``nginx (process 71)``."""
    return f"{process.name()} (process {process.pid})"


def _listens(process: psutil.Process, port: int) -> bool:
    with suppress(psutil.Error):
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for connection in process.net_connections(kind="tcp")
        )
    return False


def _end(processes: list[psutil.Process], number: signal.Signals, seconds: float) -> list[psutil.Process]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return [process for process in psutil.wait_procs(alive, timeout=5)[1] if _lives(process)]


def _is_child(process: psutil.Process, of: psutil.Process | None) -> bool:
    with suppress(*GONE):
        return of is not None and process.ppid() == of.pid
    return False


def _postmaster(layout: Layout) -> psutil.Process | None:
    """Postgres overwrites its environment with its title; its own file names it."""
    with suppress(OSError, ValueError, IndexError, *GONE):
        pid, data = (layout.cluster.data / "postmaster.pid").read_text().splitlines()[:2]
        process = psutil.Process(int(pid))
        # Another process may have the number by now.
        if data == str(layout.cluster.data) and process.name().startswith("postgres"):
            return process
    return None


def _lives(process: psutil.Process) -> bool:
    with suppress(*GONE):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
