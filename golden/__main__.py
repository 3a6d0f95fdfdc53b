"""``python -m golden --check`` for `make lint`; ``python -m golden PART…`` makes golden rows and writes the lock."""

import sys
from pathlib import Path

from golden import lock, parts
from nightshift.parts import VERSIONS
from nightshift.syntax.reach import whole

HOME = Path(__file__).resolve().parents[1]
_MAKERS = {"building": "spark_rows.py", "training": "models.py", "scoring": "models.py"}


def main(argv: list[str]) -> int:
    """Run the command; returns the exit status."""
    if argv == ["--check"]:
        found = list(lock.problems(lock.read(), VERSIONS, {name: parts.code(HOME, name) for name in parts.names()}))
        for line in found:
            sys.stderr.write(f"{line}\n")
        return 1 if found else 0
    if not argv or not set(argv) <= set(VERSIONS):
        sys.stderr.write(f"usage: python -m golden --check | PART…; parts: {', '.join(parts.names())}\n")
        return 2
    locked = lock.read() if lock.FILE.is_file() else {}
    refused = 0
    for name in argv:
        now = _state(name)
        if why := lock.refusal(locked.get(name), now):
            sys.stderr.write(f"part {name} is not locked: {why}\n")
            refused = 1
            continue
        same = name in locked and locked[name].rows == now.rows
        sys.stdout.write(f"part {name}: version {now.version}, golden rows {'are equal' if same else 'are new'}\n")
        locked[name] = now
    lock.write(locked)
    return refused


def _state(name: str) -> parts.State:
    from golden.rows import text

    makers = [HOME / "golden" / file for file in ("rows.py", *([_MAKERS[name]] if name in _MAKERS else []))]
    inputs = parts.digest(*(whole(file.read_bytes(), file.name) for file in makers))
    return parts.State(VERSIONS[name], parts.code(HOME, name), parts.digest(text(name)), inputs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
