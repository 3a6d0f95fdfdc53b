"""The logs of tasks, which are kept for a stated time. Airflow deletes rows of its tables on demand, and no log."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DAY = 86_400.0


def delete_old_logs(folder: Path, days: int, now: float) -> int:
    """Delete the files of tasks in Airflow's folder of logs that nobody wrote to for so long; return how many.

    ``now`` is in seconds of the epoch. Folders that are empty since a day go as well: a task may be about to write into
    a new one. Links are neither followed nor deleted, and what belongs to no DAG stays. A file that cannot be deleted
    is tried again the next time.
    """
    deleted = 0
    for path in _below(folder):
        with suppress(OSError):
            found = path.lstat()
            if path.is_symlink():
                continue
            if path.is_dir():
                if found.st_mtime < now - DAY:
                    path.rmdir()  # only where it is empty
            elif found.st_mtime < now - days * DAY:
                path.unlink()
                deleted += 1
    return deleted


def _below(folder: Path) -> Iterator[Path]:
    """Yield what is below the folders of DAGs, what a folder contains before it."""
    for dag in sorted(folder.glob("dag_id=*")):
        if not dag.is_symlink():
            for place, folders, files in os.walk(dag, topdown=False, followlinks=False):
                yield from (Path(place, name) for name in (*files, *folders))
