"""What a process costs, and two sides that take turns."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
BIN = Path(sys.executable).parent
PROJECT = Path(__file__).resolve().parents[1]
# Linux counts the greatest memory of a process in KiB, macOS in bytes.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Cost:
    """Of a process and all that it waited for: cpu (user and system) and wall seconds, the largest one's RSS in MB.

    ``output`` is what it printed.
    """

    cpu: float
    wall: float
    rss: float
    output: str


def process(*argv: str | Path, env: Mapping[str, str] | None = None, cwd: Path = PROJECT) -> Cost:
    """Runs a program to its end. Raises RuntimeError, with the end of what it said, where it fails."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        child = subprocess.Popen([*map(str, argv)], env=env, cwd=cwd, stdout=out, stderr=err, text=True)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode:
            raise RuntimeError(f"{argv} ended with {child.returncode}:\n{out.read()[-2000:]}\n{err.read()[-4000:]}")
        return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * _RSS_UNIT / 1e6, out.read())


def python(*arguments: str | Path, env: Mapping[str, str] | None = None) -> Cost:
    """Runs this environment's Python."""
    return process(sys.executable, *arguments, env=env)


def take_turns(
    ours: Callable[[], A], theirs: Callable[[], B], repeats: int, say: Callable[[str], None], *, warm: bool = True
) -> tuple[list[A], list[B]]:
    """Calls one after the other, ``repeats`` times each; with ``warm`` after a round that does not count."""
    our_samples: list[A] = []
    their_samples: list[B] = []
    for number in range(-warm, repeats):
        say(f"round {number + 1} of {repeats}" if number >= 0 else "a round that warms caches")
        one, other = ours(), theirs()
        if number >= 0:
            our_samples.append(one)
            their_samples.append(other)
    return our_samples, their_samples


def each(costs: Sequence[Cost], of: Callable[[Cost], float]) -> tuple[float, ...]:
    """One measure of every cost, rounded to a millisecond."""
    return tuple(round(of(cost), 3) for cost in costs)
