"""The line between the platform and the API server, which a test can cut: to Airflow the server is away then."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_BYTES = 65_536


class Line:
    """A TCP proxy on a port of loopback that stays the same."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = host, port
        self._open: set[socket.socket] = set()
        self.port = 0
        self.mend()

    def mend(self) -> None:
        """The server can be reached."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Every connection breaks, and new ones are refused."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in list(self._open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self._behind)
            except OSError:
                return
            for one, other in ((near, far), (far, near)):
                self._open.add(one)
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while some := one.recv(_BYTES):
                other.sendall(some)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.discard(one)
        one.close()


def through_a_line(kubeconfig: Path, target: Path) -> Line:
    """Writes a kubeconfig whose current cluster is reached through a line; returns the line."""
    document: Any = yaml.safe_load(kubeconfig.read_text())
    wanted = {item["name"]: item["context"]["cluster"] for item in document["contexts"]}[document["current-context"]]
    [cluster] = [item["cluster"] for item in document["clusters"] if item["name"] == wanted]
    address = urlsplit(cluster["server"])
    line = Line(str(address.hostname), address.port or 443)
    cluster["server"], cluster["tls-server-name"] = f"https://127.0.0.1:{line.port}", str(address.hostname)
    target.write_text(yaml.safe_dump(document))
    return line
