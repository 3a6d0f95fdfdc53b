"""Fingerprints (what goes into a partition and what is done to it) and manifests (what an attempt did).

A fingerprint is ``f`` and 15 hexadecimal digits of the recipe's hash; where a gate removed rows it is followed by
``-`` and 8 digits of the hash of their keys: what reads the partition must notice, but the recipe stays comparable.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from nightshift import __version__, storage


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
    """The fingerprint of a partition from which a gate removed the rows with these keys."""
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
    """A landing file as it was read; size (bytes) and time (ns) are compared first, content decides."""

    uri: str
    size: int
    mtime_ns: int
    sha256: str


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

    ``replaces`` is the fingerprint it found published, ``rebuild`` the order that it was built for, if any.
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

    @property
    def rows(self) -> int:
        """The rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def warnings(self) -> int:
        """How many expectations failed that only warn."""
        return self.gate.warnings if self.gate else 0

    def document(self) -> dict[str, Any]:
        """The manifest as plain data; without an order, as it was before there were orders."""
        document = asdict(self)
        if not self.rebuild:
            del document["rebuild"]
        return document

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

    An attempt that was beaten leaves a manifest of the same fingerprint, perhaps a newer one: its files are others.
    """
    own = [manifest for manifest in kept_manifests(table, ds, fingerprint) if set(manifest.files) == set(files)]
    return max(own, key=lambda manifest: manifest.created_at, default=None)


def report_link(manifest: Manifest | None) -> dict[str, str]:
    """The link to the gate report of a published partition, for whoever finds it up to date; none without a gate."""
    return {"gate report": manifest.gate.page} if manifest and manifest.gate else {}


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
