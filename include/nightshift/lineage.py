"""Fingerprints (what goes into a partition and what is done to it) and manifests (what an attempt did).

A fingerprint is ``f`` and 15 hexadecimal digits of the recipe's hash; where a gate removed rows it is followed by
``-k`` and 15 digits of a keyed hash of their keys (before, ``-`` and 8 of a plain one): what reads the partition must
notice, but the recipe stays comparable.
"""

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from nightshift import __version__, storage
from nightshift.publications import publishers

# What manifests came to say later. Where it is empty they are as they were before.
_LATER = frozenset({"rebuild", "known", "differences", "libraries", "digested"})
_LIBRARIES = (
    "pyspark", "pyarrow", "deltalake", "numpy", "pandas", "great-expectations", "xgboost-cpu", "xgboost"
)  # fmt: skip


def canonical(document: Any) -> str:
    """A document as canonical JSON: sorted keys, no white space, dates as ISO text."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def sha256(content: bytes | str) -> str:
    """The SHA-256 of bytes, or of text as UTF-8, in hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def recipe(**parts: Any) -> str:
    """The fingerprint of a recipe: the hash of its parts by name.

    It begins with a letter that no number begins with. Spark reads a folder such as ``fingerprint=12e3456789012345``
    as a number, whatever its settings, and would write it out to its last digit.
    """
    return f"f{sha256(canonical(parts))[:15]}"


def with_removed(fingerprint: str, keys: Sequence[Sequence[Any]]) -> str:
    """The earlier name of a partition from which a gate removed the rows with these keys: anybody can try keys on it.

    What is published now is named by ``gates.removed``.
    """
    if not keys:
        return fingerprint
    return f"{fingerprint}-{sha256(canonical(sorted(canonical(list(key)) for key in keys)))[:8]}"


def recipe_of(fingerprint: str) -> str:
    """The recipe's part of a fingerprint."""
    return fingerprint.split("-", maxsplit=1)[0]


@dataclass(frozen=True)
class DataFile:
    """A file of a partition: its path relative to the table's root, bytes and rows."""

    path: str
    size: int
    rows: int


@dataclass(frozen=True)
class Upstream:
    """What was read of one dataset: the table's version and the fingerprint of each day."""

    version: int
    days: dict[str, str]


@dataclass(frozen=True)
class Landed:
    """A landing file as it was read; size (bytes), time (ns) and ETag are compared first, content decides."""

    uri: str
    size: int
    mtime_ns: int
    sha256: str
    etag: str = ""


@dataclass(frozen=True)
class GateSummary:
    """The outcome of a gate: where its report is, the report's SHA-256, and its status."""

    report: str
    sha256: str
    status: str
    warnings: int = 0

    @property
    def page(self) -> str:
        """The report for people, beside the one for programs."""
        return f"{self.report.removesuffix('.json')}.html"


@dataclass(frozen=True)
class Manifest:
    """What an attempt read, did and wrote for one partition.

    ``replaces`` is the fingerprint it found published, ``rebuild`` the order that it was built for, if any. ``known``
    says of features whether all files that they are made of had landed at their ``cutoff``, or came ``later``.
    ``differences`` are between the columns of landing files and their contract's: names by kind.
    ``libraries`` are the versions that made it: they are in no recipe, and tell why rows differ. ``digested`` says of
    a published one that the table's commit names its SHA-256: without that, a commit that names none could be of an
    earlier version, or have lost it.
    """

    pipeline: str
    dataset: str
    ds: str
    fingerprint: str
    attempt: str
    run_id: str
    created_at: str
    code_version: str
    spec_hash: str
    files: tuple[DataFile, ...] = ()
    replaces: str = ""
    upstream: dict[str, Upstream] = field(default_factory=dict)
    landing: tuple[Landed, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    gate: GateSummary | None = None
    model_sha256: str = ""
    ledger_head: str = ""
    rebuild: str = ""
    known: str = ""
    differences: Mapping[str, Sequence[str]] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    digested: bool = field(default=False, compare=False)

    @property
    def rows(self) -> int:
        """The rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def warnings(self) -> int:
        """The number of expectations that failed and only warn."""
        return self.gate.warnings if self.gate else 0

    def document(self) -> dict[str, Any]:
        """The manifest as plain data; without what came later and is empty, as it was before that."""
        document = asdict(self)
        for item in document["landing"]:
            if not item["etag"]:
                del item["etag"]
        return {name: value for name, value in document.items() if value or name not in _LATER}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "Manifest":
        """The manifest that ``document()`` made."""
        return cls(
            **{
                **document,
                "files": tuple(DataFile(**item) for item in document["files"]),
                "upstream": {name: Upstream(**item) for name, item in document["upstream"].items()},
                "landing": tuple(Landed(**item) for item in document["landing"]),
                "gate": GateSummary(**document["gate"]) if document["gate"] else None,
            }
        )


def staged_uri(table: str, ds: str, fingerprint: str, attempt: str) -> str:
    """Where a completed attempt leaves its manifest, before any gate has seen its rows."""
    return storage.join(table, "_staged", f"ds={ds}", f"{fingerprint}-{attempt}.json")


def published_uri(table: str, ds: str, fingerprint: str, attempt: str) -> str:
    """Where the manifest of a publication is kept for ever."""
    return storage.join(table, "_manifests", f"ds={ds}", f"{fingerprint}-{attempt}.json")


def find_staged(table: str, ds: str, fingerprint: str) -> Manifest | None:
    """The manifest of a completed attempt at this fingerprint, if there is one with all of its files."""
    for file in storage.list_files(storage.join(table, "_staged", f"ds={ds}")):
        if Path(file.uri).name.startswith(f"{fingerprint}-"):
            manifest = Manifest.read(storage.read_json(file.uri))
            if manifest.fingerprint == fingerprint and all(
                storage.exists(storage.join(table, item.path)) for item in manifest.files
            ):
                return manifest
    return None


def kept_manifests(table: str, ds: str, fingerprint: str) -> list[Manifest]:
    """The kept manifests of a day's fingerprint; some are of attempts that were never published."""
    found = [
        Manifest.read(storage.read_json(file.uri))
        for file in storage.list_files(storage.join(table, "_manifests", f"ds={ds}"))
        if Path(file.uri).name.startswith(f"{fingerprint}-")
    ]
    return [manifest for manifest in found if manifest.fingerprint == fingerprint]


def find_published(table: str, ds: str, fingerprint: str, files: Sequence[DataFile]) -> Manifest | None:
    """The manifest of the publication that has exactly these files.

    An attempt that was beaten leaves a manifest of the same fingerprint, perhaps a newer one: its files are others,
    unless both took the results of the same shards. Of such the table's history knows which was published.
    """
    own = [manifest for manifest in kept_manifests(table, ds, fingerprint) if set(manifest.files) == set(files)]
    rank = {attempt: at for at, attempt in enumerate(publishers(table, ds, fingerprint))} if len(own) > 1 else {}
    return max(own, key=lambda manifest: (rank.get(manifest.attempt, -1), manifest.created_at), default=None)


def report_link(manifest: Manifest | None) -> dict[str, str]:
    """The link to the gate report of a published partition, for whoever finds it up to date; none without a gate."""
    return {"gate report": manifest.gate.page} if manifest and manifest.gate else {}


@cache
def libraries() -> dict[str, str]:
    """The versions here of Python and of the libraries that rows may depend on; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def library_changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The libraries that have another version now; of what was not noted then nothing is known."""
    return [
        f"{name} {now[name]} (then {then[name]})" for name in sorted(then) if now.get(name, then[name]) != then[name]
    ]


@cache
def code_version(home: Path) -> str:
    """The commit that runs (``-dirty`` with local changes), else the one an image was made of, or the version."""
    command = ["git", "-C", str(home), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    found = ""
    if any((folder / ".git").exists() for folder in (home, *home.parents)):
        with suppress(OSError):
            found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    if not found:
        # `make airflow-image` writes it, since an image has neither git nor the repository.
        with suppress(OSError):
            found = (home / "COMMIT").read_text(encoding="utf-8").strip()
    return found or __version__
