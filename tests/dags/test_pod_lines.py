"""The lines of a pod's log, by a server that breaks the connection as API servers do."""

from collections.abc import Iterator
from typing import Any

import pytest
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from nightshift.orchestration.pod_lines import PodLines

AT = "2026-11-26T09:00:0{}Z {}"


class Answer:
    """Bytes as they come, and then the end or an error."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks, self.error = chunks, error

    def stream(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.error is not None:
            raise self.error


class Api:
    def __init__(self, *answers: Answer) -> None:
        self.answers, self.asked = list(answers), list[dict[str, Any]]()

    def read_namespaced_pod_log(self, **options: Any) -> Answer:
        self.asked.append(options)
        return self.answers.pop(0)


def test_lines_come_once_although_the_server_says_them_again() -> None:
    first = [AT.format("1.5", "one"), AT.format("1.50000001", "two"), AT.format(2, "thr")]
    again = [AT.format(1, "none"), *first[:2], AT.format(2, "three"), AT.format("2.1", "four")]
    cut = "\n".join(first).encode()
    api = Api(Answer(cut[:20], cut[20:-35], error=ProtocolError("broken")), Answer("\n".join(again).encode()))
    lines = PodLines(api, "p", "n", "spark")  # type: ignore[arg-type]
    assert list(lines.follow()) == ["one"]
    assert list(lines.follow()) == ["two", "three", "four"]
    assert "since_seconds" not in api.asked[0]
    assert api.asked[1]["since_seconds"] >= 120, "the clocks of two machines differ"
    assert api.asked[1]["container"] == "spark"


@pytest.mark.parametrize("error", [ReadTimeoutError(None, "", "silence"), ProtocolError("broken")])  # type: ignore[arg-type]
def test_a_broken_connection_ends_the_lines_and_nothing_else(error: Exception) -> None:
    lines = PodLines(Api(Answer(error=error)), "p", "n", "spark")  # type: ignore[arg-type]
    assert list(lines.follow()) == []


def test_a_node_may_tell_the_time_of_its_zone() -> None:
    first, then = "2026-11-26T23:30:00.5+02:00 one", "2026-11-26T21:30:00.500000001Z two"
    api = Api(Answer(first.encode()), Answer(f"{first}\n{then}\nfailed to follow the container".encode()))
    lines = PodLines(api, "p", "n", "spark")  # type: ignore[arg-type]
    assert list(lines.follow()) == ["one"]
    assert list(lines.follow()) == ["two", "failed to follow the container"]
