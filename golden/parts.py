"""Which files each part of the library consists of, and the state of a part: its version, its code, its golden rows."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from nightshift.parts import VERSIONS
from nightshift.syntax.reach import whole

_TABLES = ("include/nightshift/tables/rows.py", "include/nightshift/tables/staging.py")
_LANDING = (*(f"include/nightshift/inputs/{name}.py" for name in ("parse", "cells", "columns")), *_TABLES)
_MATRIX = "include/nightshift/model_manifest.py"
_FILES: Mapping[str, tuple[str, ...]] = {
    "csv": (*_LANDING, "include/nightshift/inputs/csv_files.py", "include/nightshift/aligned.py"),
    "parquet": (*_LANDING, "include/nightshift/inputs/parquet_files.py"),
    "parquet_times": (*_LANDING, "include/nightshift/inputs/parquet_files.py"),
    "building": (
        *_TABLES,
        *(f"spark_jobs/{name}.py" for name in ("reading", "building", "writing", "main")),
    ),
    "training": (
        *(f"include/nightshift/training/{name}.py" for name in ("split", "parameters", "training_set", "fit")),
        _MATRIX,
    ),
    "scoring": ("include/nightshift/scoring/score.py", _MATRIX),
    "evaluation": ("include/nightshift/monitoring/decay.py",),
}


@dataclass(frozen=True)
class State:
    """A part: its declared version, the digest of its code, that of its golden rows, and of what makes those."""

    version: int
    code: str
    rows: str
    inputs: str

    def document(self) -> dict[str, str | int]:
        """The state as plain data."""
        return asdict(self)


def names() -> tuple[str, ...]:
    """The parts."""
    return tuple(VERSIONS)


def code(home: Path, part: str) -> str:
    """The digest of a part's code: that of its files' trees, wherever they lie."""
    return digest(*sorted(whole((home / name).read_bytes(), name) for name in _FILES[part]))


def digest(*texts: str) -> str:
    """One digest for some texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
