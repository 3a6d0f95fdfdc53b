"""One `up`, `down` or `restore` of a platform at a time: another would take what is half started for a crash's rest."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TextIO

from nightshift.errors import PlatformError
from nightshift.platform.layout import Layout

# The slowest first start takes a third of it, migrations and all.
WAIT = timedelta(minutes=30)
_LOOK_SECONDS = 0.2


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Holds the platform's turn. What is written meanwhile, logs too, is closed to others.

    Raises PlatformError naming the process that has the turn once ``WAIT`` is over.
    """
    before = os.umask(0o077)
    try:
        with (layout.run / "lock").open("a+") as file:
            _take(file)
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield
    finally:
        os.umask(before)


def _take(file: TextIO) -> None:
    until = time.monotonic() + WAIT.total_seconds()
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(_LOOK_SECONDS)
                continue
            file.seek(0)
            raise PlatformError(
                f"another command has been at work on the platform for {WAIT} (process {file.read() or 'unknown'})",
                where=file.name,
                allowed="one at a time",
                do="see what it waits for; end it if it hangs",
            ) from None
        return
