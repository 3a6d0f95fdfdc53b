"""Tests without a mark are pure: one that starts a process or opens a socket fails.

So ``make test-fast``, which runs these alone, needs nothing but Python. An audit hook sees what Python starts and
opens, and a wrapper sees connections of libpq, whose sockets are C's.
"""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

# Whoever uses one of these fixtures, or has one of these marks, starts processes.
STARTING = frozenset({"postgres", "mlflow_server", "spark", "live_platform", "half_up", "cli"})
MARKS = frozenset({"process", "spark", "platform", "fault"})
# All tests in these talk to a cluster, an engine or a platform.
FOLDERS = frozenset({"containers", "faults", "kubernetes"})
_STARTS = frozenset({"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"})
_OPENS = frozenset({"socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"})


class Watch:
    """What the pure test that runs now has started and opened; threads of earlier tests do not count."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._others: set[int] | None = None

    def begin(self) -> None:
        """From now on everything counts that this thread does, and threads that are yet to be started."""
        main = threading.get_ident()
        self.seen, self._others = [], {found for found in sys._current_frames() if found != main}

    def end(self) -> None:
        """Nothing counts from now on."""
        self.seen, self._others = [], None

    def notice(self, event: str) -> None:
        """Counts an event."""
        if self._others is not None and threading.get_ident() not in self._others:
            self.seen.append(event)


_WATCH = Watch()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _STARTS or event in _OPENS:
        _WATCH.notice(event if event in _OPENS else " ".join([event, *map(str, arguments[:1])]))


def pytest_configure() -> None:
    """Watches this process from now on; an audit hook cannot be taken away again."""
    from psycopg import generators

    connect = generators.connect

    def connecting(*arguments: Any, **options: Any) -> Any:
        _WATCH.notice("a connection of libpq")
        return connect(*arguments, **options)

    generators.connect = connecting
    sys.addaudithook(_audit)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as pure what has no mark and no fixture that starts something."""
    for item in items:
        uses = STARTING.intersection(getattr(item, "fixturenames", ()))
        starts = uses or item.path.parent.name in FOLDERS or any(item.get_closest_marker(name) for name in MARKS)
        if not starts:
            item.add_marker(pytest.mark.pure)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watches a pure test from the first of its fixtures on."""
    if item.get_closest_marker("pure"):
        _WATCH.begin()
    try:
        return (yield)
    finally:
        _WATCH.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fails a pure test that was not."""
    result = yield
    if seen := sorted(set(_WATCH.seen)):
        pytest.fail(
            f"{item.nodeid} has no mark, so it is pure, and it did: {', '.join(seen)[:300]}. "
            "What to do: let it do without, or mark it @pytest.mark.process",
            pytrace=False,
        )
    return result
