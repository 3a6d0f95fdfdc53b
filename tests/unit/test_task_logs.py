"""Logs of tasks go when their time is over, and nothing else."""

import os
import time
from pathlib import Path

import pytest

from nightshift.platform.watcher import Looks
from nightshift.settings import Settings
from nightshift.task_logs import DAY, delete_old_logs

NOW = time.time()


def write(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a line")
    os.utime(path, (NOW - days * DAY, NOW - days * DAY))
    return path


def age(folder: Path, days: float) -> None:
    os.utime(folder, (NOW - days * DAY, NOW - days * DAY))


def test_old_logs_of_tasks_go_and_nothing_else(tmp_path: Path) -> None:
    task = tmp_path / "dag_id=flights" / "run_id=old" / "task_id=train"
    old, new = write(task / "attempt=1.log", 401), write(task / "attempt=2.log", 399)
    kept = [
        write(tmp_path / name, 9999) for name in ("dag_processor/2024/x.log", "scheduler.log", "other/attempt=1.log")
    ]
    outside = write(tmp_path.parent / f"{tmp_path.name}-outside" / "dag_id=x" / "attempt=1.log", 9999)
    (task / "link.log").symlink_to(outside)
    (task / "way").symlink_to(outside.parent)
    (tmp_path / "dag_id=linked").symlink_to(outside.parent)
    assert delete_old_logs(tmp_path, 400, NOW) == 1
    assert not old.exists()
    assert [path for path in (new, *kept, outside) if not path.exists()] == []
    assert delete_old_logs(tmp_path, 400, NOW) == 0


def test_folders_go_once_they_are_empty_for_a_day(tmp_path: Path) -> None:
    run = tmp_path / "dag_id=flights" / "run_id=old"
    write(run / "task_id=train" / "attempt=1.log", 500)
    fresh = tmp_path / "dag_id=flights" / "run_id=new" / "task_id=train"
    fresh.mkdir(parents=True)
    age(fresh, 0.5)
    delete_old_logs(tmp_path, 400, NOW)
    for folder in (run / "task_id=train", run):
        assert folder.exists()
        age(folder, 2)
        delete_old_logs(tmp_path, 400, NOW)
        assert not folder.exists()
    assert fresh.exists()


def test_no_logs_at_all(tmp_path: Path) -> None:
    assert delete_old_logs(tmp_path / "absent", 400, NOW) == 0


def test_the_watcher_deletes_them_once_a_day(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    looks, folder = Looks(settings), settings.var / "airflow" / "logs" / "dag_id=flights"
    for at, left in ((NOW, False), (NOW + DAY - 1, True), (NOW + DAY, False)):
        log = write(folder / "attempt=1.log", 1000)
        looks.clear(at)
        assert log.exists() is left


def test_how_long_is_a_setting() -> None:
    assert Settings.from_env({}).log_days == 400
    assert Settings.from_env({"NIGHTSHIFT_LOG_DAYS": "30"}).log_days == 30
    for wrong in ("0", "-1", "a year"):
        with pytest.raises(Exception, match="NIGHTSHIFT_LOG_DAYS"):
            Settings.from_env({"NIGHTSHIFT_LOG_DAYS": wrong})
