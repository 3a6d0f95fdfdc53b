"""The build plan: all that a Spark job needs to know, written down before it starts.

The job reads exactly these files. What is published while it runs changes neither its rows nor its fingerprints.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nightshift import storage
from nightshift.lineage import Manifest


@dataclass(frozen=True)
class Source:
    """A source's columns (name to contract type), and its files by day (``as_of`` of a snapshot).

    ``lag`` is a snapshot's: it is known so many days after its ``as_of``.
    """

    columns: dict[str, str]
    snapshot: bool
    files: dict[str, tuple[str, ...]]
    lag: int = 0


@dataclass(frozen=True)
class Target:
    """A dataset to build: its table, columns (key first, name to contract type) and days with their fingerprints.

    ``inputs`` are the days of each source that may be read for it: what only labels may know is not among
    those of features.
    """

    dataset: str
    table: str
    key: tuple[str, ...]
    columns: dict[str, str]
    days: dict[str, str]
    inputs: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class BuildPlan:
    """One Spark job. ``manifests`` are the staged manifests, one for each dataset and day, still without files.

    ``code`` has the hash of what builds each dataset, as it went into the fingerprints: a driver elsewhere, whose image
    may be older, builds nothing else under them. A dataset without one is not compared. ``reads`` are the files that
    the module reads, by their paths in the project; they are compared with the code, and so is
    ``library``, the version of the part that builds.
    """

    pipeline: str
    module: str
    attempt: str
    run_id: str
    timezone: str
    rows_per_file: int
    sources: dict[str, Source]
    targets: tuple[Target, ...]
    manifests: tuple[Manifest, ...]
    code: dict[str, str]
    reads: tuple[str, ...] = ()
    library: int = 0

    def document(self) -> dict[str, Any]:
        """The plan as plain data."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "BuildPlan":
        """The plan that ``document()`` made."""
        return cls(
            **{
                **document,
                "sources": {name: _source(item) for name, item in document["sources"].items()},
                "targets": tuple(_target(item) for item in document["targets"]),
                "manifests": tuple(Manifest.read(item) for item in document["manifests"]),
                "reads": tuple(document.get("reads", ())),
            }
        )


def read_plan(uri: str) -> BuildPlan:
    """The plan at a location. Raises FileNotFoundError."""
    return BuildPlan.read(storage.read_json(uri))


def _source(item: Mapping[str, Any]) -> Source:
    return Source(**{**item, "files": {day: tuple(uris) for day, uris in item["files"].items()}})


def _target(item: Mapping[str, Any]) -> Target:
    inputs = {name: tuple(days) for name, days in item["inputs"].items()}
    return Target(**{**item, "key": tuple(item["key"]), "inputs": inputs})
