"""The commits of a table against the manifests that they published: a change of either alone shows.

Read from the log's own files, all at once: the library would open each version anew.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from nightshift import storage
from nightshift.finding import Finding, Kind
from nightshift.lineage import sha256

_COMMIT = re.compile(r"/(\d{20})\.json$")
_PLACE = re.compile(r"attempt=[^/]+/ds=[^/]+/fingerprint=([^/]+)/[^/]+")
_RESTORE = {
    "manifest": "restore the file from a backup of the lake; until then believe neither its provenance nor its gate",
    "commit": "restore the file of the log from a backup of the lake",
}


@dataclass
class Compared:
    """What was found in one table.

    ``since`` is the first version whose commit names digests, None where none does; ``covered`` and ``before`` count
    publications with and without one. ``heads`` are the ledger's heads that manifests name, each with one of them;
    ``read`` are the newest versions of other tables that manifests were made of, ``last`` is this table's own.
    """

    table: str
    since: int | None = None
    covered: int = 0
    before: int = 0
    heads: dict[str, str] = field(default_factory=dict)
    last: int = -1
    read: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def found(self, kind: Kind, place: str, what: str) -> None:
        """Adds a finding about a commit or a manifest of this table."""
        self.findings.append(Finding(kind, f"{self.table}: {place}", what, _RESTORE[kind]))


@dataclass(frozen=True)
class _Kept:
    """A manifest as it lies beside the data; ``document`` is empty where it is none."""

    name: str
    digest: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class _Commit:
    """What one file of the log says: the days that it publishes, and the files that it adds to each."""

    version: int
    restores: bool
    days: Mapping[str, Mapping[str, Any]]
    files: Mapping[str, Sequence[tuple[str, int, int | None]]]


def compare(table: str) -> Compared:
    """Compares every commit of a table with the manifests that it names."""
    compared = Compared(table)
    kept = _kept(table, compared)
    for commit in _commits(table, compared):
        _compare(compared, commit, kept)
        if not commit.restores:  # a restored version adds files that were published before
            _unnamed(compared, commit, kept)
    return compared


def cut_logs(tables: Sequence[Compared]) -> Iterator[Finding]:
    """Finds tables whose log ends before a version that another table was made of."""
    last = {table.table: table.last for table in tables}
    read: dict[str, int] = {}
    for uri, version in (item for table in tables for item in table.read.items()):
        read[uri] = max(version, read.get(uri, -1))
    for uri, version in sorted(read.items()):
        if version > last.get(uri, -1):
            what = f"its log ends at version {last.get(uri, -1)}, and version {version} was read: commits were cut off"
            yield Finding("commit", uri, what, _RESTORE["commit"])


def _compare(compared: Compared, commit: _Commit, kept: Mapping[str, Mapping[str, _Kept]]) -> None:
    place = f"commit {commit.version}"
    for ds, item in commit.days.items():
        manifests = kept.get(ds, {})
        name = f"{item.get('fingerprint')}-{item.get('attempt')}.json"
        there = manifests.get(name)
        if "sha256" not in item:
            compared.before += 1
            if there and there.document.get("digested"):
                compared.found("commit", place, f"the digest of the manifest of {ds} was taken out of it")
            continue
        compared.covered += 1
        compared.since = commit.version if compared.since is None else compared.since
        if there is None:
            if any(other.digest == item["sha256"] for other in manifests.values()):
                compared.found("commit", place, f"its publication of {ds} has the digest of another manifest")
            else:
                compared.found("manifest", f"{ds}/{name}", f"it is gone, though {place} published it")
        elif there.digest != item["sha256"]:
            what = f"its digest is not the one that {place} names: the manifest was changed, or the commit"
            compared.found("manifest", f"{ds}/{name}", what)
        elif said := _differences(commit, ds, item, there.document):
            compared.found("commit", place, f"of {ds} it does not say what the manifest says: {said}")


def _unnamed(compared: Compared, commit: _Commit, kept: Mapping[str, Mapping[str, _Kept]]) -> None:
    """Finds days whose files a commit adds, of a publication whose manifest says that the commit names it."""
    for ds in commit.files.keys() - commit.days.keys():
        paths = {path for path, _, _ in commit.files[ds] if _PLACE.fullmatch(path)}
        named = (item.document for item in kept.get(ds, {}).values() if item.document.get("digested"))
        if paths and any(paths & {file["path"] for file in document["files"]} for document in named):
            what = f"it adds files of {ds} and does not name their publication: that was taken out of it, or another "
            what += "program added them again"
            compared.found("commit", f"commit {commit.version}", what)


def _differences(commit: _Commit, ds: str, item: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    names = [name for name in ("fingerprint", "attempt", "run_id") if item.get(name) != document.get(name)]
    files = sorted((file["path"], file["size"], file["rows"]) for file in document["files"])
    names += ["files"] if sorted(commit.files.get(ds, ())) != files else []
    return ", ".join(names)


def _kept(table: str, compared: Compared) -> dict[str, dict[str, _Kept]]:
    """The manifests of each day by their file's name."""
    root = storage.join(table, "_manifests")
    uris = [file.uri for file in storage.list_files(root, recursive=True) if file.uri.endswith(".json")]
    found: dict[str, dict[str, _Kept]] = {}
    for uri, content in zip(uris, storage.read_all(uris), strict=True):
        folder, _, name = uri[len(root) + 1 :].rpartition("/")
        ds = folder.removeprefix("ds=")
        document = _document(content)
        if not document:
            compared.found("manifest", f"{ds}/{name}", "it is no manifest: it was changed, or cut short")
        else:
            _note(compared, document, f"{table}: {ds}/{name}")
        name = storage.name_of(uri)
        found.setdefault(ds, {})[name] = _Kept(name, sha256(content), document)
    return found


def _note(compared: Compared, document: Mapping[str, Any], place: str) -> None:
    """Keeps what a manifest says of other places."""
    if head := document.get("ledger_head"):
        compared.heads.setdefault(str(head), place)
    root = compared.table.removesuffix(str(document["dataset"]))
    for name, upstream in document["upstream"].items():
        compared.read[root + name] = max(upstream["version"], compared.read.get(root + name, -1))


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
        versions = [item["version"] for item in document["upstream"].values()]
        whole = isinstance(document["files"], list) and all(isinstance(version, int) for version in versions)
        return document if whole and "dataset" in document else {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _commits(table: str, compared: Compared) -> Iterator[_Commit]:
    """The commits in their order, without those that cannot be read, which are findings, as gaps are."""
    log = storage.join(table, "_delta_log")
    uris = [file.uri for file in storage.list_files(log) if _COMMIT.search(file.uri)]
    expected = 0
    for uri, content in zip(uris, storage.read_all(uris), strict=True):
        version = int(uri[-25:-5])
        for missing in range(expected, version):
            compared.found("commit", f"commit {missing}", "it is gone from the log")
        expected = version + 1
        compared.last = version
        try:
            yield _commit(version, content)
        except (ValueError, KeyError, TypeError, AttributeError):
            compared.found("commit", f"commit {version}", "it cannot be read: it was changed, or cut short")


def _commit(version: int, content: bytes) -> _Commit:
    actions = [json.loads(line) for line in content.decode().splitlines() if line.strip()]
    info: dict[str, Any] = next((action["commitInfo"] for action in actions if "commitInfo" in action), {})
    files: dict[str, list[tuple[str, int, int | None]]] = {}
    for add in (action["add"] for action in actions if "add" in action):
        rows = json.loads(add.get("stats") or "{}").get("numRecords")
        # Of a file that another program adds, the day need not be text.
        files.setdefault(str(add["partitionValues"].get("ds")), []).append((unquote(add["path"]), add["size"], rows))
    days = json.loads(info.get("nightshift") or "{}")
    for item in days.values():
        item.get("sha256")  # an AttributeError where it is no object
    return _Commit(version, info.get("operation") == "RESTORE", days, files)
