"""The parts of the library that decide what is in a partition or a model, each with the version that recipes name.

A version is raised when the same inputs give other rows: what was made before is stale then. ``make lint`` compares the
code of each part with ``golden/lock.json``; ``python -m golden PART`` shows whether the rows are equal (ADR 33).
"""

from typing import Final

VERSIONS: Final[dict[str, int]] = {
    "csv": 1,  # landing files in CSV, their cells, and how they are written as a table
    "parquet": 1,  # landing files in Parquet without timestamps
    "parquet_times": 2,  # those with timestamps; 2: INT96 is read as UTC
    "building": 1,  # what Spark reads, its session's settings, and how rows are written
    "training": 1,  # how a training set becomes a model
    "scoring": 1,  # how features and a model become scores
    "evaluation": 1,  # how predictions and labels become a day's quality
}


def version(part: str) -> int:
    """The version that recipes name."""
    return VERSIONS[part]
