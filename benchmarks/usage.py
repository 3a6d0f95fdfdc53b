"""``python -IS usage.py FILE PROGRAM …`` runs a program, writes what it cost to FILE and ends as it did.

A small process of its own: to Linux, the greatest memory of a program is at least that of the process which started
it. It imports nothing but the standard library.
"""

import json
import os
import subprocess
import sys
import time

# Linux counts in KiB, macOS in bytes.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main(file: str, argv: list[str]) -> int:
    """Cpu (user and system) and wall seconds, MB of the largest process; of the program and all that it waited for."""
    began = time.perf_counter()
    child = subprocess.Popen(argv)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    cost = {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "rss": usage.ru_maxrss * RSS_UNIT / 1e6}
    with open(file, "w") as opened:  # noqa: PTH123
        json.dump(cost, opened)
    child.returncode = os.waitstatus_to_exitcode(status)
    return abs(child.returncode)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
