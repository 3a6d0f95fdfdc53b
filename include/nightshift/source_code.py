"""Code of the project as part of a fingerprint: what decides the rows, and nothing else."""

from collections.abc import Iterable
from pathlib import Path

from nightshift.errors import SpecError
from nightshift.lineage import recipe, sha256
from nightshift.syntax.reach import reached

_FEATURES = "spark_jobs.features"


def feature_code(home: Path, module: str, entry: str, reads: Iterable[str] = ()) -> str:
    """The hash of what ``entry`` (``build`` or ``label``) of a feature module reaches.

    Definitions of the module and of what it imports below ``spark_jobs`` count where they are reached, whatever they
    are called and wherever they stand. ``reads`` are files that the module reads, by their paths in the project.
    """
    code = reached(home, f"{_FEATURES}.{module}", entry)
    files = {name: sha256(_content(home / name)) for name in sorted(reads)}
    return recipe(code=code, reads=files) if files else recipe(code=code)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise SpecError("there is no such file", where=str(path), do="write it, or correct features.reads") from None
