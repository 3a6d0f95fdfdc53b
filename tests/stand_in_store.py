"""A stand-in for an S3 store: the few requests that pyarrow and delta-rs make. It can ignore conditional puts."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
_MOMENT = ("Sun, 29 Nov 2026 00:00:00 GMT", "2026-11-29T00:00:00.000Z")


class StandInStore(ThreadingHTTPServer):
    """Objects by path, the bucket first; ``puts`` are the paths that were written, in their order.

    Where it is ``read_only``, its client has no right to write.
    """

    daemon_threads = True

    def __init__(self, *, ignores_conditions: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ignores_conditions = ignores_conditions
        self.read_only = False
        self.objects: dict[str, bytes] = {}
        self.puts: list[str] = []
        self.parts: dict[str, dict[int, bytes]] = {}

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def stand_in_store(*, ignores_conditions: bool) -> Iterator[StandInStore]:
    """Serves one in threads of this process."""
    with StandInStore(ignores_conditions=ignores_conditions) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandInStore

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def do_PUT(self) -> None:
        path, asked, body = *self._asked(), self._body()
        if self.server.read_only:
            return self._answer(403, _DENIED)
        if "partNumber" in asked:
            self.server.parts[path][int(asked["partNumber"])] = body
        elif self._conditional() and path in self.server.objects:
            return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self._keep(path, body)
        return self._answer(200, ETag=_etag(body))

    def do_POST(self) -> None:
        path, asked, body = *self._asked(), self._body()
        if self.server.read_only:
            return self._answer(403, _DENIED)
        if "delete" in asked:
            for key in re.findall(r"<Key>(.*?)</Key>", body.decode()):
                self.server.objects.pop(f"{path.rstrip('/')}/{unescape(key)}", None)
            return self._answer(200, b"<DeleteResult></DeleteResult>")
        if "uploads" in asked:
            self.server.parts[path] = {}
            text = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            return self._answer(200, text)
        if "uploadId" in asked:
            parts = self.server.parts.pop(path)
            self._keep(path, b"".join(parts[number] for number in sorted(parts)))
            return self._answer(200, b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>")
        return self._answer(501)

    def do_GET(self) -> None:
        path, asked = self._asked()
        if "list-type" in asked:
            return self._answer(200, self._listing(path, asked), Content_Type="application/xml")
        found = self.server.objects.get(path)
        if found is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        status, extra, shown = 200, {}, found
        if asked_range := self.headers.get("Range"):
            first, _, last = asked_range.removeprefix("bytes=").partition("-")
            begin = int(first) if first else max(len(found) - int(last), 0)
            end = min(int(last) + 1, len(found)) if first and last else len(found)
            status, shown = 206, found[begin:end]
            extra = {"Content_Range": f"bytes {begin}-{end - 1}/{len(found)}"}
        return self._answer(status, shown, ETag=_etag(found), Last_Modified=_MOMENT[0], **extra)

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        self.server.objects.pop(self._asked()[0], None)
        self._answer(204)

    def _conditional(self) -> bool:
        return self.headers.get("If-None-Match") == "*" and not self.server.ignores_conditions

    def _keep(self, path: str, body: bytes) -> None:
        self.server.objects[path] = body
        self.server.puts.append(path)

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        return unquote(parts.path), {name: values[0] for name, values in query.items()}

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = _unchunked(self.rfile)
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return _unchunked(BytesIO(body)) if "aws-chunked" in (self.headers.get("Content-Encoding") or "") else body

    def _listing(self, bucket: str, asked: dict[str, str]) -> bytes:
        root, prefix, delimiter = f"{bucket.rstrip('/')}/", asked.get("prefix", ""), asked.get("delimiter", "")
        keys = sorted(path[len(root) :] for path in self.server.objects if path.startswith(root))
        lines, folders = list[str](), set[str]()
        for key in (key for key in keys if key.startswith(prefix) and key > asked.get("start-after", "")):
            inside, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if found:
                folders.add(prefix + inside + delimiter)
                continue
            body = self.server.objects[root + key]
            lines.append(
                f"<Contents><Key>{escape(key)}</Key><LastModified>{_MOMENT[1]}</LastModified>"
                f"<ETag>{escape(_etag(body))}</ETag><Size>{len(body)}</Size></Contents>"
            )
        lines += [f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(folders)]
        text = "".join(lines)
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{text}</ListBucketResult>".encode()

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _unchunked(stream: BinaryIO) -> bytes:
    """What is in chunks, up to the empty one; a signature after a chunk's size is passed over."""
    body = b""
    while size := int(stream.readline().partition(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    return body
