"""Look up known vulnerabilities of every package of the lock. Exit status: 0 none known, 1 some, 2 not known."""

import json
import subprocess
import sys
from pathlib import Path

from supply_chain.verdict import UNKNOWN, verdict

LOCK = Path(__file__).parents[1] / "requirements.txt"


def main() -> int:
    """Print the verdict on the lock; return the exit status."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", str(LOCK)]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    try:
        found = verdict(json.loads(done.stdout))
    except ValueError:  # it could not ask at all, and its last line says why
        print(f"UNKNOWN for every package of {LOCK.name}: {(done.stderr.strip().splitlines() or ['no answer'])[-1]}")
        return UNKNOWN
    print(*found.lines, sep="\n")
    return found.status


if __name__ == "__main__":
    sys.exit(main())
