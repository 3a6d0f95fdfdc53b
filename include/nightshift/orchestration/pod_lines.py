"""The lines of a container's log as they come, each once, however often the line to the API server breaks."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

# A connection that says nothing for so long may be dead; it is made anew, and nothing is lost or told twice.
_SILENCE_SECONDS = 60
_CONNECT_SECONDS = 10
_CLOCKS_DIFFER_SECONDS = 120
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)")


class PodLines:
    """Follows a container. Kubernetes cuts to whole seconds what comes after a time, so lines are told by their own."""

    def __init__(self, client: "CoreV1Api", pod: str, namespace: str, container: str) -> None:
        self.client = client
        self.where = {"name": pod, "namespace": namespace, "container": container}
        self._last = (datetime.min.replace(tzinfo=UTC), "")

    def follow(self) -> Iterator[str]:
        """The lines after those that were given before; ends where the log does, or the line to the API server."""
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        since = {"since_seconds": self._age()} if self._last[1] else {}
        try:
            answer: Any = self.client.read_namespaced_pod_log(
                **self.where, **since, follow=True, timestamps=True, _preload_content=False,
                _request_timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
            )  # fmt: skip
            yield from self._new(_split(answer.stream()))
        except (ApiException, HTTPError):  # whoever follows looks at the pod, and comes again
            return

    def _new(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            moment, _, text = line.partition(" ")
            at = _moment(moment)
            if at is None:  # the kubelet's own words
                yield line
            elif at > self._last:
                self._last = at
                yield text

    def _age(self) -> int:
        """Seconds that the last line is old, and more, since the clocks of two machines differ."""
        return max(0, int((datetime.now(UTC) - self._last[0]).total_seconds())) + _CLOCKS_DIFFER_SECONDS


def _moment(text: str) -> tuple[datetime, str] | None:
    """An RFC 3339 time as its second, whatever the zone, and its nanoseconds, which ``datetime`` would cut."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    second, fraction, zone = found.groups(default="")
    return datetime.fromisoformat(second + zone).astimezone(UTC), fraction.ljust(9, "0")


def _split(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace").rstrip() for line in whole)
    if rest:
        yield rest.decode("utf-8", "replace")
