"""Our chart on a real cluster: MLflow is up, a retrain logs to it, a day is scored by pods, it goes again.

Airflow's parts are pods with the image, the accounts, the secrets and the settings that our values give to its chart,
which itself cannot be had here. The cluster enforces `restricted`, not network policies.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from nightshift import tables
from nightshift.job import Job
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from tests.conftest import PROJECT
from tests.e2e.turbines import landing as turbines
from tests.helm import needs_helm
from tests.kubernetes.airflow import SERVER, airflow_pod, server_service
from tests.kubernetes.chart import (
    AIRFLOW_LOGIN,
    LOGIN,
    NAMESPACE,
    PASSWORDS,
    USER,
    Chart,
    eviction,
    installed,
    run,
)
from tests.kubernetes.conftest import Cluster
from tests.needs import needs
from tests.nights import CHAMPION_AS_OF, NAME, NIGHTS, ROWS
from tests.waiting import until

pytestmark = [
    needs_helm,
    needs(os.getuid() == 0, "not root, who alone makes files of the pods' account", "our chart on a cluster"),
]
HOME = "/nightshift/project"
# What the image has, in a folder that one pipeline more can be put into.
COPIED = (
    f"mkdir -p {HOME}/include && cp -r dags plugins spark_jobs COMMIT {HOME} && cp -r include/pipelines {HOME}/include"
)
ENVIRON = {
    "NIGHTSHIFT_NAMESPACE": NAMESPACE,
    "NIGHTSHIFT_SCORING_IMAGE": Settings.from_env().scoring_image,
    "NIGHTSHIFT_HOME": HOME,
    "PYTHONPATH": HOME,
    "AIRFLOW__CORE__DAGS_FOLDER": f"{HOME}/dags",
    "AIRFLOW__CORE__PLUGINS_FOLDER": f"{HOME}/plugins",
    "NIGHTSHIFT_POD_TEMPLATE": "/opt/nightshift/include/k8s/scoring-pod.yaml",
}


@pytest.fixture(scope="module")
def chart(cluster: Cluster) -> Iterator[Chart]:
    with installed(cluster) as found:
        yield found


@pytest.fixture(scope="module")
def airflow(chart: Chart) -> str:
    """Airflow's parts in pods, with one pipeline more and its landing; the address of the API server."""
    landing = chart.folder / "landing"
    turbines.land_sites(landing, date(2024, 1, 1))
    turbines.land(landing, date(2024, 3, 1), NIGHTS[0])
    for path in (landing, *landing.rglob("*")):
        os.chown(path, USER, USER)
    # The job that Airflow's chart runs first, and runs again with each upgrade.
    chart.cluster.succeed(NAMESPACE, airflow_pod("migrateDatabaseJob", "migrate", ENVIRON, before=COPIED), seconds=300)
    chart.cluster.succeed(NAMESPACE, airflow_pod("migrateDatabaseJob", "migrate-again", ENVIRON), seconds=300)
    given, home = PROJECT / "tests" / "e2e" / NAME, chart.folder / "project"
    shutil.copy(given / "feature_module.py", home / "spark_jobs" / "features" / f"{NAME}.py")
    # Pods that find room beside others on a small node.
    spec = (given / f"{NAME}.yaml").read_text().replace("deadline: 5m", "deadline: 5m, cpu: 0.2, memory: 512Mi")
    (home / "include" / "pipelines" / f"{NAME}.yaml").write_text(spec)
    api = chart.cluster.api
    api.create_namespaced_service(NAMESPACE, server_service())
    names = {"apiServer": SERVER, "scheduler": "airflow-scheduler", "dagProcessor": "airflow-dag-processor"}
    for component, name in names.items():
        api.create_namespaced_pod(NAMESPACE, airflow_pod(component, name, ENVIRON))
    until(lambda: all(is_ready(chart, name) for name in names.values()), seconds=300)
    return f"http://{api.read_namespaced_service(SERVER, NAMESPACE).spec.cluster_ip}:8080"


def is_ready(chart: Chart, name: str) -> bool:
    status = chart.cluster.api.read_namespaced_pod(name, NAMESPACE).status
    assert status.phase in ("Pending", "Running"), chart.cluster.api.read_namespaced_pod_log(name, NAMESPACE)[-2000:]
    return any((found.type, found.status) == ("Ready", "True") for found in status.conditions or ())


def inside(command: str) -> str:
    """What a command in the scheduler's pod says."""
    return run(f"kubectl -n {NAMESPACE} exec airflow-scheduler -- {command}", timeout=500)


def ask_airflow(address: str, path: str) -> Any:
    """The answer of Airflow's API to its administrator."""
    token = requests.post(f"{address}/auth/token", json=AIRFLOW_LOGIN, timeout=30).json()["access_token"]
    answer = requests.get(f"{address}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    answer.raise_for_status()
    return answer.json()


def scored_pods(chart: Chart) -> set[str]:
    """The names of the scoring pods that have been started so far."""
    events = chart.cluster.api.list_namespaced_event(NAMESPACE, field_selector="reason=Started").items
    names = {event.involved_object.name for event in events}
    return {name for name in names if name.startswith(f"{NAME}-")}


def test_mlflow_is_up_for_those_who_have_its_login(chart: Chart) -> None:
    assert chart.mlflow("/health").text == "OK"
    path = "/api/2.0/mlflow/experiments/search?max_results=5"
    assert chart.mlflow(path).status_code == 401
    assert chart.mlflow(path, auth=(LOGIN["username"], "password")).status_code == 401
    assert chart.mlflow(path, auth=(LOGIN["username"], LOGIN["password"])).status_code == 200
    assert chart.mlflow(path, host="evil.example.org").status_code == 403


def test_its_pod_has_secrets_in_files_alone(chart: Chart) -> None:
    [pod] = chart.mlflow_pods
    execute = f"kubectl -n {NAMESPACE} exec {pod.metadata.name} --"
    # Of the server and its workers; what reads them ends meanwhile.
    processes = run(f"{execute} sh -c 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; true'")
    assert "MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://mlflow@" in processes
    logs = chart.cluster.api.read_namespaced_pod_log(pod.metadata.name, NAMESPACE)
    for text in (str(pod), processes, logs):
        for secret in (LOGIN["password"], PASSWORDS["mlflow"], "100%25"):
            assert secret not in text
    assert run(f"{execute} id -u").strip() == str(USER)
    assert run(f"{execute} sh -c 'stat -c %a /private/*'").split() == ["600", "600"]


def test_a_retrain_logs_to_it(chart: Chart, airflow: str) -> None:
    said = inside(f"nightshift retrain {NAME} --as-of {CHAMPION_AS_OF}")
    assert "promote" in said
    [version] = chart.asked("model-versions/search", filter=f"name = '{NAME}'")["model_versions"]
    record = chart.asked("runs/get", run_id=version["run_id"])["run"]
    assert record["info"]["status"] == "FINISHED"
    assert "rmse" in json.dumps(record["data"]["metrics"])
    assert record["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
    files = chart.asked("artifacts/list", run_id=version["run_id"])["files"]
    assert {"model"} <= {found["path"] for found in files}
    # The server keeps them: they are on its volume.
    kept = chart.folder.parent / "artifacts"
    assert any(path.stat().st_uid == USER for path in kept.rglob("*.ubj"))


def test_a_day_is_scored_by_pods(chart: Chart, airflow: str) -> None:
    ds = NIGHTS[0]
    before = scored_pods(chart)
    wanted = requests.post(f"{airflow}/auth/token", json={**AIRFLOW_LOGIN, "password": "admin"}, timeout=30)
    assert wanted.status_code == 401
    until(lambda: NAME in {found["dag_id"] for found in ask_airflow(airflow, "/api/v2/dags?limit=100")["dags"]}, 300)
    inside(f"airflow backfill create --dag-id {NAME} --from-date {ds} --to-date {ds}")
    runs = f"/api/v2/dags/{NAME}/dagRuns"

    def over() -> Any:
        states = [found["state"] for found in ask_airflow(airflow, runs)["dag_runs"]]
        return states if states and set(states) <= {"success", "failed"} else None

    assert until(over, seconds=500, pause=2) == ["success"]
    storage = Path("/nightshift")
    assert not storage.exists()
    storage.symlink_to(chart.folder)
    try:
        settings = replace(Settings.from_env(), home=storage / "project", lake=f"{storage}/lake")
        job = Job(settings, load_pipeline(settings, NAME), ds)
        found = tables.state(job.table("predictions"))
        assert found.partitions[ds.isoformat()].rows == ROWS
    finally:
        storage.unlink()
    # 30 rows a shard.
    assert len(scored_pods(chart) - before) == 4
    assert chart.cluster.api.list_namespaced_pod(NAMESPACE, label_selector=f"nightshift/pipeline={NAME}").items == []


def test_a_drain_waits_for_a_shard(chart: Chart) -> None:
    template = yaml.safe_load((PROJECT / "include" / "k8s" / "scoring-pod.yaml").read_text())
    container = template["spec"]["containers"][0]
    container |= {
        "image": Settings.from_env().scoring_image,
        "command": ["python", "-c", "import time; time.sleep(600)"],
    }
    container["resources"] = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}
    template["metadata"]["name"] = "shard"
    api = chart.cluster.api
    api.create_namespaced_pod(NAMESPACE, template)
    try:
        until(lambda: is_ready(chart, "shard"))

        def refused() -> bool:
            with pytest.raises(ApiException) as caught:
                api.create_namespaced_pod_eviction("shard", NAMESPACE, eviction("shard"))
            assert caught.value.status == 429
            # The controller needs a moment to know the pod.
            return "disruption budget nightshift-scoring needs 60" in str(caught.value.body)

        until(refused)
    finally:
        api.delete_namespaced_pod("shard", NAMESPACE, grace_period_seconds=0)


def test_its_objects_are_those_of_kustomize(chart: Chart) -> None:
    """The API server finds nothing to change in them, but the labels and the name of the namespace."""
    made = yaml.safe_load_all(run("kubectl kustomize include/k8s/namespace"))
    wanted = [found for found in made if found["kind"] != "Namespace"]
    assert len(wanted) >= 6
    for document in wanted:
        kind, name = document["kind"], document["metadata"]["name"]
        there = json.loads(run(f"kubectl -n {NAMESPACE} get {kind} {name} -o json"))
        for subject in document.get("subjects", ()):
            subject["namespace"] = NAMESPACE
        for key in set(document) - {"metadata"}:
            if there[key] != document[key]:
                filled = {field: value for field, value in document[key].items() if value != []}  # as it answers
                assert filled.items() <= there[key].items(), (kind, name, key)


def test_installing_again_changes_nothing(chart: Chart) -> None:
    before = [(pod.metadata.uid, pod.status.container_statuses[0].restart_count) for pod in chart.mlflow_pods]
    chart.install()
    assert [(pod.metadata.uid, pod.status.container_statuses[0].restart_count) for pod in chart.mlflow_pods] == before
    releases = json.loads(run(f"helm list -n {NAMESPACE} -o json"))
    assert [(found["name"], found["revision"], found["status"]) for found in releases] == [
        ("nightshift", "2", "deployed")
    ]


def test_uninstalled_it_leaves_the_artifacts_and_finds_them_again(chart: Chart, airflow: str) -> None:
    before = chart.asked("model-versions/search", filter=f"name = '{NAME}'")["model_versions"]
    assert before
    api = chart.cluster.api
    api.delete_namespaced_service(SERVER, NAMESPACE)
    for pod in api.list_namespaced_pod(NAMESPACE, label_selector="app").items:
        api.delete_namespaced_pod(pod.metadata.name, NAMESPACE, grace_period_seconds=0)
    run(f"helm uninstall nightshift -n {NAMESPACE} --wait")
    kinds = "all,configmap,pvc,serviceaccount,role,rolebinding,networkpolicy,resourcequota,limitrange,pdb"
    until(lambda: not api.list_namespaced_pod(NAMESPACE).items)
    left = run(f"kubectl -n {NAMESPACE} get {kinds} -o name").split()
    assert sorted(left) == [
        "configmap/kube-root-ca.crt",
        "persistentvolumeclaim/nightshift",
        "persistentvolumeclaim/nightshift-mlflow",
        "serviceaccount/default",
    ]
    secrets = {found.metadata.name for found in api.list_namespaced_secret(NAMESPACE).items}
    assert secrets == {
        "nightshift-airflow",
        "nightshift-logins",
        "nightshift-mlflow",
        "nightshift-owner",
        "nightshift-people",
    }
    chart.install()
    assert chart.asked("model-versions/search", filter=f"name = '{NAME}'")["model_versions"] == before


def test_the_release_is_held_back_by_a_secret_that_is_not_there(chart: Chart) -> None:
    """The pod does not start, and says what it lacks."""
    body = client.V1Secret(metadata=client.V1ObjectMeta(name="half"), string_data={"database": "postgresql://"})
    chart.cluster.api.create_namespaced_secret(NAMESPACE, body)
    run(f"helm upgrade nightshift {PROJECT}/include/k8s/chart -n {NAMESPACE} --reuse-values --set mlflow.secret=half")

    def said() -> bool:
        events = chart.cluster.api.list_namespaced_event(NAMESPACE, field_selector="reason=FailedMount").items
        return any(
            "non-existent config" in event.message or "references non-existent" in event.message for event in events
        )

    until(said)
