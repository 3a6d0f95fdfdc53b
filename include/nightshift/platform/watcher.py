"""The process that tells people: ``python -m nightshift.platform.watcher``. It looks, tells, and says that it lives.

Once a day it deletes the logs of tasks that are older than they are kept. On Kubernetes it sees none: there the DAG
``maintenance`` does it.
"""

import logging
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nightshift import storage
from nightshift.errors import NightshiftError
from nightshift.platform.health import LOOK
from nightshift.platform.layout import Layout
from nightshift.settings import Settings
from nightshift.task_logs import DAY, delete_old_logs

if TYPE_CHECKING:
    from nightshift.platform.watch import Watch

log = logging.getLogger("nightshift.watcher")

EVERY_SECONDS = 20.0
# While Airflow starts, for one.
SOON_SECONDS = 5.0


def main() -> None:
    """Look again and again. Nothing is imported, and nobody is told, where there is no file of channels."""
    logger = logging.getLogger("nightshift")
    handler = logging.StreamHandler(sys.stdout)  # of nobody else: what httpx and apprise log has addresses
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    looks = Looks(Settings.from_env())
    while True:
        looks.look()
        looks.clear(time.time())
        time.sleep(SOON_SECONDS if looks.problems else EVERY_SECONDS)


class Looks:
    """One watcher's looks, and the file that says how the last one went."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.problems = settings, list[str]()
        self._watch: Watch | None = None
        self._cleared_at = 0.0

    def clear(self, now: float) -> None:
        """Delete the logs of tasks that are old, unless that was done less than a day ago."""
        if now < self._cleared_at + DAY:
            return
        self._cleared_at = now
        folder = Layout(self.settings.var).airflow / "logs"
        if deleted := delete_old_logs(folder, self.settings.log_days, now):
            log.info("%d logs of tasks deleted, which were older than %d days", deleted, self.settings.log_days)

    def look(self) -> None:
        """Look once, and keep how it went; after a look that saw and said everything, the heartbeat."""
        before = self.problems
        try:
            self.problems = self._look()
        except NightshiftError as error:
            self.problems = [str(error)]
        for problem in self.problems:
            if problem not in before:
                log.error("%s", problem)
        file = Layout(self.settings.var).run / LOOK
        storage.write_json(str(file), {"at": time.time(), "problems": self.problems})

    def _look(self) -> list[str]:
        if not self.settings.channels.exists():
            return []
        from nightshift.notices.channels import read_channels
        from nightshift.platform.watch import Watch

        channels = read_channels(self.settings)
        if channels is None:
            return []
        self._watch = self._watch or Watch(self.settings)
        problems = self._watch.look(channels, datetime.now(UTC))
        if channels.heartbeat and not problems:
            problems += beat(channels.heartbeat.get_secret_value())
        return problems


def beat(address: str) -> list[str]:
    """Ask the address of an outside monitor, which alarms when it is not asked for long; return what went wrong."""
    import httpx

    try:
        httpx.get(address, timeout=10).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL):
        return ["the heartbeat was not accepted by its address"]
    return []


if __name__ == "__main__":
    main()
