"""Become a program that listens, once nothing that its predecessor left holds its port.

``python -m nightshift.platform.predecessor PORT PROGRAM ARGUMENT…``, which the supervisor starts. A server whose first
process was killed may leave the process that listens: nobody would watch it, and no new one could take the port.
"""

import os
import sys
from pathlib import Path

from nightshift.errors import PlatformError
from nightshift.platform import processes
from nightshift.platform.layout import Layout
from nightshift.platform.supervisor import MARKER


def main(port: int, argv: list[str]) -> None:
    """Become the program. Exit with a message where somebody else holds the port."""
    try:
        for ended in free(port, Layout(Path(os.environ[MARKER]))):
            print(f"ended {ended}, which listened on port {port} after its supervised process was gone", flush=True)
    except PlatformError as error:
        sys.exit(str(error))
    os.execv(argv[0], argv)  # noqa: S606


def free(port: int, layout: Layout) -> list[str]:
    """End the processes of the platform that listen on a port, with their children, and return their names.

    Raises PlatformError where the port is held by a process that is not of the platform, or that survives.
    """
    ended: list[str] = []
    while (found := processes.listener(port)) is not None:
        name = processes.named(found)
        if not processes.is_marked(found, layout):
            raise PlatformError(f"port {port} is taken by {name}", do="stop it, or set another port")
        if processes.end(layout, [found, *found.children(recursive=True)], seconds=2):
            raise PlatformError(f"{name} holds port {port} and cannot be ended", do="end it as its owner")
        ended.append(name)
    return ended


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
