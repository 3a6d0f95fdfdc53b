"""A Spark job in the namespace and by the templates as they are shipped, as an account that the image does not know."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nightshift import tables
from nightshift.commands import FeaturesCommand
from nightshift.demo.flights import land
from nightshift.job import Job
from nightshift.lineage import find_staged
from nightshift.settings import Settings
from nightshift.spark_local import run_local
from nightshift.specs.load import load_pipeline
from nightshift.specs.model import Pipeline
from nightshift.specs.spark import Spark
from nightshift.storage import write_json
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.spark_nights import DAYS, FIRST, NAME, account_login
from tests.kubernetes.test_namespace import MOUNT, NAMESPACE, POD_USER, storage
from tests.needs import needs
from tests.spark.typed import build_plan

__all__ = ["storage"]

pytestmark = needs(
    os.getuid() == 0,
    "not root, who alone makes files of the pods' account",
    "Spark's pods run under `restricted`, with the accounts that are shipped",
)

DS = DAYS[0]
COMMAND = FeaturesCommand(NAME, DS, DS, f"{MOUNT}/lake/plan.json")


def staged(settings: Settings, pipeline: Pipeline) -> Any:
    """The rows of the day, as the job staged them."""
    table = f"{settings.tables}/{NAME}/features"
    manifest = find_staged(table, DS.isoformat(), f"f{DS:%m%d}")
    assert manifest is not None
    return tables.read(table, manifest.files)


def test_a_job_runs_as_the_namespace_allows(
    cluster: Cluster, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account_login(cluster.api, NAMESPACE, tmp_path / "kubeconfig")
    for name, value in {
        "KUBECONFIG": tmp_path / "kubeconfig",
        "AIRFLOW_HOME": tmp_path / "airflow",
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": '{"conn_type": "kubernetes"}',
        "NIGHTSHIFT_VAR": tmp_path / "var",
        "NIGHTSHIFT_LAKE": f"{MOUNT}/lake",
    }.items():
        monkeypatch.setenv(name, str(value))
    from nightshift.orchestration.spark_pods import SparkPods

    settings = Settings.from_env()
    pipeline = load_pipeline(settings, NAME)
    asked = Spark(executors=1, cores=0.1, memory="1Gi", start="2m")
    pipeline = pipeline.model_copy(update={"features": pipeline.features.model_copy(update={"spark": asked})})
    land(settings, FIRST, DS, lambda line: None)
    link = Path(MOUNT)
    assert not link.exists()
    link.symlink_to(storage)
    try:
        write_json(COMMAND.plan, build_plan(settings, pipeline, [DS], [DS - timedelta(days=1)]).document())
        Path(settings.spark_events).mkdir(mode=0o700)
        for path in (storage, *storage.rglob("*")):
            os.chown(path, POD_USER, POD_USER)
        job = Job(settings, pipeline, DS, run_id="by hand")
        master = f"k8s://{cluster.api.api_client.configuration.host}"
        SparkPods(job, NAME, "build_features", master, 600).run(COMMAND)
        ours = staged(settings, pipeline)
        [events] = Path(settings.spark_events).iterdir()
        assert events.stat().st_uid == POD_USER

        local = replace(settings, lake=str(tmp_path / "lake"))
        plan = tmp_path / "plan.json"
        write_json(str(plan), build_plan(local, pipeline, [DS], [DS - timedelta(days=1)]).document())
        run_local(local, replace(COMMAND, plan=str(plan)))
        assert ours.num_rows > 400
        assert ours.equals(staged(local, pipeline))
    finally:
        link.unlink()
