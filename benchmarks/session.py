"""What the benchmarks of one run share: sizes, progress, a scratch folder, one platform."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.live import Live


@dataclass
class Session:
    """``quick`` asks for small sizes and few repeats; ``folder`` is removed at the end."""

    quick: bool
    folder: Path
    name: str = ""
    _live: "Live | None" = None

    def say(self, line: str) -> None:
        """A line of progress on standard error."""
        print(f"{time.strftime('%H:%M:%S')} {self.name}: {line}", file=sys.stderr, flush=True)

    def pick(self, whole: int, quick: int) -> int:
        """A size or a number of repeats."""
        return quick if self.quick else whole

    def live(self) -> "Live":
        """A platform of its own, started with the first call; its project is a copy of the repository's."""
        from nightshift.platform.environment import process_environment
        from nightshift.platform.local import up
        from tests.live import Live, copied_project, live_settings

        if self._live is None:
            folder = self.folder / "live"
            settings = live_settings(folder)
            copied_project(settings.home)
            self._live = Live(settings, process_environment(settings))
            up(settings, self.say)
        return self._live

    def end(self) -> None:
        """Stops the platform, where there is one."""
        from nightshift.platform.local import down

        if self._live is not None:
            down(self._live.settings, self.say)


@contextmanager
def session(quick: bool) -> Iterator[Session]:
    """A session whose folder and platform are gone afterwards."""
    # A Unix socket's path has to be short: not below whatever TMPDIR says of a deep folder.
    opened = Session(quick, Path(tempfile.mkdtemp(prefix="nsbench-")).resolve())
    try:
        yield opened
    finally:
        opened.end()
        shutil.rmtree(opened.folder, ignore_errors=True)
