"""The DAG that clears away, where pods are made: what it has, and that old logs of tasks go."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from airflow.sdk.configuration import conf

from nightshift.orchestration.maintenance import maintenance_dag
from nightshift.settings import Settings
from tests.dags.conftest import context, execute


@pytest.mark.process
def test_logs_are_deleted_after_their_days(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert maintenance_dag(settings) is None
    dag = maintenance_dag(replace(settings, compute="kubernetes"))
    assert dag is not None
    assert set(dag.task_ids) == {"reap_pods", "delete_logs"}
    monkeypatch.setenv("NIGHTSHIFT_LOG_DAYS", "30")
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    assert conf.get("logging", "base_log_folder") == str(tmp_path)
    folder = tmp_path / "dag_id=parcels" / "run_id=a"
    folder.mkdir(parents=True)
    for name, days in (("old.log", 31), ("new.log", 29)):
        (folder / name).write_text("a line")
        os.utime(folder / name, (time.time() - days * 86_400,) * 2)
    assert execute(dag.get_task("delete_logs"), context()) == 1
    assert [file.name for file in folder.iterdir()] == ["new.log"]
