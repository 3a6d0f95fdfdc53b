"""Finding the platform's processes, and killing them at the worst moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from nightshift.platform import local, processes
from nightshift.platform.layout import Layout
from nightshift.settings import Settings
from tests.live import Live
from tests.waiting import until


def pid(settings: Settings, program: str) -> int:
    """The process of one of the platform's programs; 0 while there is none."""
    return next(component.pid for component in local.status(settings) if component.name == program)


def kill_program(settings: Settings, program: str) -> None:
    """Kills a program, and waits until the supervisor has started it again."""
    before = pid(settings, program)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid(settings, program) not in (0, before))


def healthy(settings: Settings, program: str) -> bool:
    """Whether one of the platform's programs answers."""
    return next(component.health == "healthy" for component in local.status(settings) if component.name == program)


def running(settings: Settings, *words: str) -> list[psutil.Process]:
    """The platform's processes whose command line has all of these words."""
    found = []
    for process in processes.of_platform(Layout(settings.var)):
        with suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if all(word in line for word in words):
                found.append(process)
    return found


def scheduler(settings: Settings) -> psutil.Process:
    """The scheduler's process."""
    return psutil.Process(pid(settings, "airflow-scheduler"))


def tasks(scheduler: psutil.Process) -> list[psutil.Process]:
    """The processes of tasks: children of the scheduler's workers."""
    found = []
    for worker in scheduler.children():
        with suppress(psutil.NoSuchProcess):
            found += worker.children()
    return found


def watchers(found: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes that watch these tasks, send their heartbeats and would tell Airflow of their end."""
    parents = []
    for process in found:
        with suppress(psutil.NoSuchProcess):
            parents += [parent] if (parent := process.parent()) else []
    return parents


def send(found: Iterable[psutil.Process], number: signal.Signals) -> int:
    """Sends a signal to each that is still there; returns how many there were."""
    sent = 0
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            sent += 1
    return sent


def at_once(live: Live, *commands: list[str]) -> None:
    """Runs commands side by side, each to its end, which must be a good one."""
    program = str(Path(sys.executable).parent / "nightshift")
    started = [
        subprocess.Popen(
            [program, *command],
            env=live.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o077,
        )
        for command in commands
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(commands), said
