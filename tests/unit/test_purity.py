"""The guard of pure tests, by tests that are run by it."""

import pytest

from tests.conftest import PROJECT

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.process

STARTS = """
    import subprocess
    subprocess.run(['true'], check=True)
"""
SPAWNS = """
    import os
    os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)
"""
FORKS = """
    import os
    if os.fork() == 0:
        os._exit(0)
    os.wait()
"""
CONNECTS = """
    import socket
    with socket.socket() as opened:
        opened.connect_ex(('127.0.0.1', 9))
"""
ASKS_POSTGRES = """
    import psycopg
    try:
        psycopg.connect('host=/nowhere')
    except psycopg.OperationalError:
        pass
"""
SWALLOWS = """
    import subprocess
    try:
        subprocess.run(['/nowhere'])
    except Exception:
        pass
"""
IMPURE = {
    "process": STARTS,
    "posix_spawn": SPAWNS,
    "fork": FORKS,
    "socket": CONNECTS,
    "libpq": ASKS_POSTGRES,
    "swallowed": SWALLOWS,
}


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the processes that are started find the guard."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))


def outcome(pytester: pytest.Pytester, body: str, mark: str = "") -> tuple[int, int, str]:
    """How many tests passed and failed, and what was printed."""
    pytester.makepyfile(f"import pytest\n\n{mark}\ndef test_it():\n    {body}\n")
    pytester.makeini("[pytest]\nmarkers =\n    pure\n    process")
    result = pytester.runpytest_subprocess("-p", "tests.purity", "-p", "no:cacheprovider")
    found = result.parseoutcomes()
    return found.get("passed", 0), found.get("failed", 0), result.stdout.str()


@pytest.mark.parametrize("body", IMPURE.values(), ids=IMPURE)
def test_a_test_without_a_mark_fails_if_it_starts_or_opens_something(pytester: pytest.Pytester, body: str) -> None:
    passed, failed, said = outcome(pytester, body)
    assert (passed, failed) == (0, 1)
    assert "has no mark, so it is pure" in said


def test_a_test_that_says_so_may(pytester: pytest.Pytester) -> None:
    assert outcome(pytester, STARTS, "@pytest.mark.process")[:2] == (1, 0)


def test_a_pure_test_passes(pytester: pytest.Pytester) -> None:
    assert outcome(pytester, "assert True")[:2] == (1, 0)
