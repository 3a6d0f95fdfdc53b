"""``python -m benchmarks [NAME …]``: measure, write ``results.json`` and the tables of ``docs/benchmarks.md``."""

import argparse
import importlib
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks import machine, page
from benchmarks.figures import Result
from benchmarks.session import Session, session
from nightshift.specs.spelling import nearest

# By name: the module, and what it compares.
BENCHMARKS = {
    "cli_start": "nightshift --help beside the help of airflow and mlflow",
    "scoring": "a scoring process beside XGBoost alone and MLflow's pyfunc; 1 and 10 million rows",
    "parse": "the DAG file with 1 and 200 specs beside one with as many empty tasks",
    "first_line": "cpu of each step's process before its first useful line",
    "nights": "a day through the live scheduler beside the same steps in a shell; an unchanged day again",
    "rows": "a day with 1, 10 and 100 times the rows",
    "pods": "a shard in a pod through Airflow, by the API alone, as a process; on the cluster of KUBECONFIG",
    "demo": "the first `make demo` after set-up; to be asked for",
}
NOT_BY_DEFAULT = ("pods", "demo")


def main(argv: list[str]) -> int:
    """Runs the benchmarks; the JSON document of their results goes to standard output."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    names = arguments.names or [name for name in BENCHMARKS if name not in NOT_BY_DEFAULT]
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}{nearest(name, BENCHMARKS)}; allowed: {', '.join(BENCHMARKS)}")
    found: dict[str, Any] = {"machine": machine.machine(), "versions": machine.versions(), "benchmarks": {}}
    with session(arguments.quick) as opened:
        for name in names:
            found["benchmarks"][name] = _measured(opened, name)
            if not arguments.quick:
                page.save(found)
    print(json.dumps(found, indent=1))
    return 0


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:11} {text}" for name, text in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Ours and a peer take turns in one run; the ratio of their medians is compared with a target.",
        epilog=f"benchmarks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all but pods and demo")
    parser.add_argument("--quick", action="store_true", help="small sizes, one repeat, and no file is written")
    return parser


def _measured(opened: Session, name: str) -> dict[str, Any]:
    opened.name, began = name, time.monotonic()
    result: Result = importlib.import_module(f"benchmarks.{name}").run(opened)
    opened.say(f"{time.monotonic() - began:.0f} s")
    for figure in result.figures:
        opened.say(" ".join(map(page.number, (figure.name, figure.ours, figure.peer, figure.theirs, figure.ratio))))
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", **result.document()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
