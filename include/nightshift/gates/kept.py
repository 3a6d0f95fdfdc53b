"""A gate's report as it is kept, and what vouches for it when it is shown.

A report is two files: one for programs, which has its own digest and that of the other, the page for people. The
manifest of the partition that was published has the digest of the first, the commit that published it the manifest's.
So a report of what was published cannot be altered by who writes reports alone. A gate that blocked published nothing:
its report is compared with itself only.
"""

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.gates.report import html_page
from nightshift.gates.results import GateReport
from nightshift.lineage import canonical, sha256
from nightshift.settings import Settings

_PATH = re.compile(r"(?P<dataset>.+)/ds=(?P<ds>[^/]+)/(?P<attempt>[^/]+)\.(?P<kind>html|json)")
_EARLIER = "An earlier version wrote this page and kept no digest of it: whether it was altered is not known."


_DO = (
    "put the report back from a backup, or look at what is published: `nightshift history PIPELINE --ds DS`; who can "
    "write below the reports, and why, is a question for those who look after them"
)


class ReportAltered(NightshiftError):
    """A report is not as it was written."""


def contents(report: GateReport) -> tuple[bytes, bytes]:
    """The report for programs and the page for people, as they are kept."""
    page = html_page(report).encode()
    document = {**report.document(), "page_sha256": sha256(page)}
    return storage.json_bytes({**document, "digest": _digest(document)}), page


def read(settings: Settings, pipeline: str, path: str) -> bytes:
    """A file of a report as it was written, ``<dataset>/ds=<ds>/<attempt>.html`` or ``.json``.

    A page that an earlier version wrote says so. Raises ReportAltered, for a page that somebody put there,
    too, and OSError where there is no such file.
    """
    content = storage.read_bytes(storage.join(settings.reports, pipeline, path))
    place = _PATH.fullmatch(path)
    if place is None:
        raise _altered(path, "it is no gate report")
    own = content
    if place["kind"] == "html":
        try:
            own = storage.read_bytes(storage.join(settings.reports, pipeline, f"{path.removesuffix('.html')}.json"))
        except OSError:
            raise _altered(path, "the report for programs, which has its digest, is gone") from None
    vouched = _vouched(settings, pipeline, place.groupdict())
    if vouched and sha256(own) != vouched:
        raise _altered(path, "its digest is not the one that the manifest of the published partition has")
    document = _document(own, path)
    if "digest" not in document:
        return _marked(content) if place["kind"] == "html" else content
    named = {name: document.get(name) for name in ("pipeline", "dataset", "ds", "attempt")}
    if named != {"pipeline": pipeline} | {name: place[name] for name in ("dataset", "ds", "attempt")}:
        raise _altered(path, "it is the report of another partition or attempt")
    if document["digest"] != _digest(document):
        raise _altered(path, "its digest is not the one that it was written with")
    if place["kind"] == "html" and document["page_sha256"] != sha256(content):
        raise _altered(path, "its digest is not the one that the report for programs has")
    return content


def _vouched(settings: Settings, pipeline: str, place: Mapping[str, str]) -> str:
    """The report's digest by the manifest of its attempt; empty where none was kept, or none can be read."""
    for root in _roots(storage.join(settings.tables, pipeline)):
        folder = storage.join(root, place["dataset"], "_manifests", f"ds={place['ds']}")
        for file in _files(folder):
            if file.endswith(f"-{place['attempt']}.json"):
                gate = _document(storage.read_bytes(file), file).get("gate") or {}
                if str(gate.get("report", "")).endswith(f"/ds={place['ds']}/{place['attempt']}.json"):
                    return str(gate.get("sha256", ""))
    return ""


def _roots(folder: str) -> list[str]:
    """The folders of a pipeline's tables, those of generations above 1 with them."""
    try:
        names = [name for name in storage.list_folders(folder) if name.startswith("generation=")]
    except (OSError, NightshiftError):
        names = []
    return [folder, *(storage.join(folder, name) for name in names)]


def _files(folder: str) -> list[str]:
    try:
        return [file.uri for file in storage.list_files(folder)]
    except (OSError, NightshiftError):
        return []


def _document(content: bytes, path: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _altered(path, "it is no JSON document")
    return found


def _altered(path: str, what: str) -> ReportAltered:
    return ReportAltered(f"this gate report is not shown: {what}", where=path, do=_DO)


def _digest(document: Mapping[str, Any]) -> str:
    return sha256(canonical({name: value for name, value in document.items() if name != "digest"}))


def _marked(page: bytes) -> bytes:
    note = f'<body>\n<p role="note"><b>{escape(_EARLIER)}</b></p>'.encode()
    return page.replace(b"<body>", note, 1) if b"<body>" in page else note + page
