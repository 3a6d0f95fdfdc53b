"""Programs that a test writes to stand where others are looked for."""

from pathlib import Path


def program(path: Path, text: str) -> Path:
    """A shell script that may be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path
