"""The flights' pipeline on a live platform whose Spark is a cluster, and the same days built locally."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils

from nightshift import tables
from nightshift.demo.flights import land
from nightshift.job import Job, table_uri
from nightshift.platform.airflow_client import AirflowClient, Run, login
from nightshift.settings import Settings
from nightshift.spark_local import run_local
from nightshift.specs.load import load_pipeline
from nightshift.steps import run_step
from tests.conftest import PROJECT
from tests.kubernetes.conftest import rewrite
from tests.live import Live, running_platform
from tests.waiting import until

NAMESPACE = "nightshift-spark-tests"
NAME = "flights"
DAYS = [date(2013, 3, 1) + timedelta(days=number) for number in range(6)]
# What is known of the last day has landed, and no more than its lookback is read.
FIRST, LAST = date(2013, 1, 28), DAYS[-1]
SMALL = {"executors": 1, "cores": 0.1, "memory": "1Gi", "start": "2m"}


@dataclass(frozen=True)
class Spark:
    """A live platform whose Spark is the cluster; ``local`` has the same landing, and a lake built without it."""

    live: Live
    client: AirflowClient
    api: client.CoreV1Api
    local: Settings

    @property
    def settings(self) -> Settings:
        return self.live.settings

    def pods(self, role: str) -> list[dict[str, Any]]:
        found = self.api.list_namespaced_pod(NAMESPACE, label_selector=f"spark-role={role}").items
        return [self.api.api_client.sanitize_for_serialization(pod) for pod in found]

    def running(self, role: str) -> dict[str, Any]:
        """A pod of that role, once it runs."""
        return until(  # type: ignore[no-any-return]
            lambda: next((pod for pod in self.pods(role) if pod["status"].get("phase") == "Running"), None), pause=0.1
        )

    def gone(self, seconds: float = 60) -> None:
        """Neither a driver nor an executor is left, nor what spark-submit made beside them."""

        def left() -> list[Any]:
            services = self.api.list_namespaced_service(NAMESPACE).items
            maps = self.api.list_namespaced_config_map(NAMESPACE).items
            own = [found for found in maps if found.metadata.name != "kube-root-ca.crt"]
            return [*self.pods("driver"), *self.pods("executor"), *services, *own]

        until(lambda: not left(), seconds=seconds)

    def begin(self, ds: date) -> Run:
        day = f"{ds}T00:00:00Z"
        self.live.api(f"/api/v2/dags/{NAME}/dagRuns", "POST", {"logical_date": day})
        [run] = self.client.runs(NAME, ds, ds)
        return run

    def instance(self, run: Run, task: str = "build_features") -> dict[str, Any]:
        path = f"/api/v2/dags/{NAME}/dagRuns/{run.run_id}/taskInstances/{task}"
        found: dict[str, Any] = self.live.api(path)
        return found

    def ended(self, run: Run, task: str = "build_features", seconds: float = 300) -> dict[str, Any]:
        """The task once it is over for now: a failed one that is to be tried again counts."""
        over = ("success", "failed", "up_for_retry", "upstream_failed")
        seen: list[dict[str, Any]] = []

        def ended() -> bool:
            seen.append(self.instance(run, task))
            return seen[-1]["state"] in over

        until(ended, seconds=seconds)
        return seen[-1]  # not another look: the next try may have begun

    def stop(self, run: Run) -> None:
        """What an operator does in the UI: mark the task failed."""
        path = f"/api/v2/dags/{NAME}/dagRuns/{run.run_id}/taskInstances/build_features"
        self.live.api(path, "PATCH", {"new_state": "failed"})

    def log(self, run: Run, number: int = 1) -> str:
        path = f"/api/v2/dags/{NAME}/dagRuns/{run.run_id}/taskInstances/build_features/logs/{number}"
        return json.dumps(self.live.api(path), ensure_ascii=False)

    def again(self, ds: date) -> Run:
        """The run of a day, begun or cleared."""
        found = self.client.runs(NAME, ds, ds)
        if not found:
            return self.begin(ds)
        path = f"/api/v2/dags/{NAME}/dagRuns/{found[0].run_id}/clear"
        self.live.api(path, "POST", {"dry_run": False, "only_failed": True})
        # One that fails at once may not be seen before it waits for its next try.
        until(lambda: self.instance(found[0])["state"] in ("queued", "running", "up_for_retry"))
        return found[0]

    @contextmanager
    def module(self, change: Callable[[str], str]) -> Iterator[None]:
        """The feature module of the project, changed."""
        path = self.settings.feature_modules / f"{NAME}.py"
        before = path.read_text()
        rewrite(path, change(before))
        try:
            yield
        finally:
            rewrite(path, before)

    @contextmanager
    def template(self, role: str, **keys: Any) -> Iterator[None]:
        """The template of a role with other keys: an ``image`` of its container, all others of its pod."""
        path = getattr(self.settings, f"spark_{role}_template")
        before = path.read_text()
        document = yaml.safe_load(before)
        if image := keys.pop("image", None):
            document["spec"]["containers"][0]["image"] = image
        document["spec"] |= keys
        rewrite(path, yaml.safe_dump(document))
        try:
            yield
        finally:
            rewrite(path, before)

    @contextmanager
    def code_of_the_project(self) -> Iterator[None]:
        """Pods whose code is that of the platform's project folder instead of the image's."""
        folder = Path(self.settings.lake).parent
        write_templates(self.settings, folder, self.settings.home)
        try:
            yield
        finally:
            write_templates(self.settings, folder)

    @contextmanager
    def asking(self, **keys: Any) -> Iterator[None]:
        """The spec with other keys in ``features.spark``."""
        path = self.settings.pipelines / f"{NAME}.yaml"
        before = path.read_text()
        rewrite(path, with_spark(before, {**SMALL, **keys}))
        try:
            yield
        finally:
            rewrite(path, before)


def with_spark(spec: str, keys: dict[str, Any]) -> str:
    lines = [line for line in spec.splitlines() if not line.startswith("  spark: ")]
    lines.insert(lines.index("features:") + 1, f"  spark: {json.dumps(keys)}")
    return "\n".join([*lines, ""])


def template_for(role: str, folder: Path, home: Path | None = None) -> dict[str, Any]:
    """Our template; its storage is a folder of this machine, and pods have the account that the platform has.

    With ``home`` the pods' code is that of a project folder instead of the image's.
    """
    template = yaml.safe_load((PROJECT / "include" / "k8s" / f"spark-{role}-pod.yaml").read_text())
    spec, uid = template["spec"], os.getuid()
    spec["securityContext"] |= {"runAsUser": uid, "runAsGroup": os.getgid(), "runAsNonRoot": uid != 0}
    [container] = spec["containers"]
    container["volumeMounts"][1]["mountPath"] = str(folder)
    spec["volumes"][1] = {"name": "storage", "hostPath": {"path": str(folder), "type": "Directory"}}
    if home is not None:
        container["volumeMounts"].append({"name": "code", "mountPath": "/nightshift-jobs", "readOnly": True})
        spec["volumes"].append({"name": "code", "hostPath": {"path": str(home), "type": "Directory"}})
    return dict(template)


def write_templates(settings: Settings, folder: Path, home: Path | None = None) -> None:
    for role, path in (("driver", settings.spark_driver_template), ("executor", settings.spark_executor_template)):
        rewrite(path, yaml.safe_dump(template_for(role, folder, home)))


def account_login(api: client.CoreV1Api, namespace: str, path: Path) -> None:
    """A kubeconfig of the account that a namespace has for Airflow, so that its rights are enough."""
    body = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=7200))
    token = api.create_namespaced_service_account_token("nightshift-airflow", namespace, body).status.token
    document = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    document["users"][0]["user"] = {"token": token}
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def namespace() -> Iterator[client.CoreV1Api]:
    """A namespace with the accounts as they are shipped."""
    if "KUBECONFIG" not in os.environ:
        pytest.exit("KUBECONFIG names no cluster: docs/kubernetes.md says how to make one for tests", 4)
    config.load_kube_config()
    api = client.CoreV1Api()
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}  # pods here run as whoever runs the tests
    api.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE, labels=labels)))
    try:
        accounts = PROJECT / "include" / "k8s" / "namespace" / "accounts.yaml"
        utils.create_from_yaml(api.api_client, str(accounts), namespace=NAMESPACE)
        yield api
    finally:
        api.delete_namespace(NAMESPACE, grace_period_seconds=0)
        until(lambda: NAMESPACE not in {found.metadata.name for found in api.list_namespace().items})


@pytest.fixture(scope="module")
def spark(namespace: client.CoreV1Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """The platform; its lake and the local one have the same inputs published."""
    aside = tmp_path_factory.mktemp("aside")
    with tempfile.TemporaryDirectory(prefix="nsspark-", ignore_cleanup_errors=True) as shared:
        folder = Path(shared).resolve()
        wanted = {"LAKE": folder / "lake", "NAMESPACE": NAMESPACE, "SPARK_MASTER": f"k8s://{namespace_url(namespace)}"}
        wanted |= {f"SPARK_{role.upper()}_TEMPLATE": aside / f"{role}.yaml" for role in ("driver", "executor")}
        environ = {f"NIGHTSHIFT_{name}": str(value) for name, value in wanted.items()}
        own = Path(tempfile.mkdtemp(prefix="nslive-")).resolve()
        with pytest.MonkeyPatch.context() as patch:
            account_login(namespace, NAMESPACE, aside / "kubeconfig")
            patch.setenv("KUBECONFIG", str(aside / "kubeconfig"))
            with running_platform(own, **environ) as live:
                write_templates(live.settings, folder)
                land(live.settings, FIRST, LAST, lambda line: None)
                local = replace(live.settings, lake=str(aside / "lake"), reports=str(aside / "reports"))
                build_locally(local)
                inputs = Path(table_uri(local, load_pipeline(local, NAME), "inputs"))
                shutil.copytree(inputs, table_uri(live.settings, load_pipeline(local, NAME), "inputs"))
                with login(live.settings) as airflow:
                    until(lambda: airflow.has_dag(NAME))
                    found = Spark(live, airflow, namespace, local)
                    with found.asking():
                        yield found


def namespace_url(api: client.CoreV1Api) -> str:
    return str(api.api_client.configuration.host)


def build_locally(settings: Settings) -> None:
    """The features of all days, in one job of a local Spark."""
    first = Job(settings, load_pipeline(settings, NAME), DAYS[0], run_id="local", also=tuple(DAYS[1:]))
    settings = replace(settings, spark_master="local[*]")
    for step in ("gate_inputs", "build_features"):
        run_step(replace(first, settings=settings), step, run_local)
    for ds in DAYS:
        for step in ("gate_inputs", "build_features", "gate_features", "gate_labels"):
            run_step(replace(first, settings=settings, ds=ds, also=()), step, run_local)


def build_one_locally(spark: Spark, ds: date) -> None:
    """Builds a day on a lake of its own, as the failed one was to be built."""
    settings = replace(spark.local, spark_master="local[*]", lake=f"{spark.local.lake}-again")
    pipeline = load_pipeline(settings, NAME)
    shutil.copytree(table_uri(spark.local, pipeline, "inputs"), table_uri(settings, pipeline, "inputs"))
    run_step(Job(settings, pipeline, ds), "build_features", run_local)


def assert_same(spark: Spark, ds: date, dataset: str) -> None:
    """Row by row, in order, under the same fingerprint."""
    day, pipeline = ds.isoformat(), load_pipeline(spark.local, NAME)
    ours, theirs = (table_uri(where, pipeline, dataset) for where in (spark.settings, spark.local))
    mine, expected = tables.state(ours), tables.state(theirs)
    assert mine.fingerprint(day) == expected.fingerprint(day) != ""
    rows = tables.read(ours, mine.files(day))
    assert rows.num_rows > 400
    assert rows.equals(tables.read(theirs, expected.files(day)))
