"""How long ``nightshift --help`` takes, beside the help of the tools that an operator also types.

``python benchmarks/cli_start.py`` prints the median wall time of each, and its ratio to ours.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
RUNS = 7


def seconds(command: str) -> float:
    """The median of some runs, after one that warms the file cache."""
    times = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        subprocess.run([BIN / command, "--help"], capture_output=True, check=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main() -> None:
    ours = seconds("nightshift")
    print(f"nightshift {ours:.2f} s")
    for peer in ("airflow", "mlflow"):
        theirs = seconds(peer)
        print(f"{peer:10} {theirs:.2f} s, {theirs / ours:.1f} times ours")


if __name__ == "__main__":
    main()
