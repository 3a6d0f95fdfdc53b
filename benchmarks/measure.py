"""What a process costs, and two sides that take turns."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")
BIN = Path(sys.executable).parent
PROJECT = Path(__file__).resolve().parents[1]
USAGE = Path(__file__).with_name("usage.py")


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
    with tempfile.NamedTemporaryFile("r") as usage:
        command = [sys.executable, "-IS", str(USAGE), usage.name, *map(str, argv)]
        done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
        if done.returncode:
            said = f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            raise RuntimeError(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{said}")
        return Cost(**json.load(usage), output=done.stdout)


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
