"""A platform whose shards are scored by pods of the cluster that KUBECONFIG names.

The cluster has the scoring image (`make scoring-image`, and load it), and its node mounts folders of this machine.
NIGHTSHIFT_TEST_DISK is a folder for them on a small file system that the node has, too, which a test fills.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from nightshift.platform.airflow_client import Run
from nightshift.pods.pod import PodFor
from nightshift.pods.verdict import failure
from tests.conftest import PROJECT
from tests.kubernetes.line import Line, through_a_line
from tests.live import running_platform
from tests.nights import NAME, Nights, Reader, champion_and_nights, reading
from tests.waiting import until

TEMPLATE = PROJECT / "include" / "k8s" / "scoring-pod.yaml"
# Of each run of tests its own, so that two do not meet, nor one what a killed one left.
NAMESPACE = f"nightshift-tests-{os.getpid()}"
# One shard a night: a fault has one pod to hit.
SCORING = {"rows_per_shard": 1000, "deadline": "5m"}
# Read by the Python of a pod before anything else.
SITE = "sitecustomize.py"


@dataclass(frozen=True)
class Cluster:
    """The cluster, seen by its administrator, and the folder that its pods share with this machine."""

    api: client.CoreV1Api
    folder: Path

    def pods(self, selector: str = "app.kubernetes.io/name=nightshift-scoring") -> list[Any]:
        return list(self.api.list_namespaced_pod(NAMESPACE, label_selector=selector).items)

    def succeed(self, namespace: str, document: dict[str, Any], seconds: float = 60) -> None:
        """Makes a pod and waits for its end, which must be a good one."""
        self.api.create_namespaced_pod(namespace, document)
        name = document["metadata"]["name"]

        def ended() -> Any:
            found = self.api.read_namespaced_pod(name, namespace)
            return found if found.status.phase in ("Succeeded", "Failed") else None

        pod = until(ended, seconds=seconds)
        assert pod.status.phase == "Succeeded", failure(name, self.api.api_client.sanitize_for_serialization(pod))

    def delete(self, name: str, grace: int = 0) -> None:
        self.api.delete_namespaced_pod(name, NAMESPACE, grace_period_seconds=grace)


@dataclass(frozen=True)
class Pods:
    """Nights whose shards are scored by pods; ``line`` is the platform's only way to the API server.

    ``template`` is the file of the platform's pod template, which is an operator's: no spec brings other code.
    """

    nights: Nights
    cluster: Cluster
    line: Line
    template: Path

    def of(self, run: Run) -> list[Any]:
        """The pods of a run's only shard, of all its tries."""
        return self.cluster.pods(PodFor(NAME, run.ds, run.run_id, 0).selector())

    def begin(self, ds: date) -> Run:
        """Starts the run of a day."""
        day = f"{ds}T00:00:00Z"
        self.nights.live.api(f"/api/v2/dags/{NAME}/dagRuns", "POST", {"logical_date": day})
        [run] = self.nights.client.runs(NAME, ds, ds)
        return run

    def end(self, ds: date) -> Run:
        """The run of a day, once it is over."""
        [run] = self.nights.over([ds])
        return run

    def tries(self, run: Run) -> list[dict[str, Any]]:
        """Every try of the run's shard, as Airflow's API tells them; none before there is a shard."""
        if not [item for item in self.nights.instances(run, "score") if item["map_index"] == 0]:
            return []
        path = f"/api/v2/dags/{NAME}/dagRuns/{run.run_id}/taskInstances/score/0/tries"
        found: list[dict[str, Any]] = self.nights.live.api(path)["task_instances"]
        return sorted(found, key=lambda item: int(item["try_number"]))

    def states(self, run: Run) -> list[str]:
        """The state of every try of the run's shard."""
        return [item["state"] for item in self.tries(run)]

    def log(self, run: Run, number: int = 1) -> str:
        """What a try of the run's shard says."""
        path = f"/api/v2/dags/{NAME}/dagRuns/{run.run_id}/taskInstances/score/logs/{number}?map_index=0"
        return json.dumps(self.nights.live.api(path))

    def assert_good(self, run: Run, tries: int) -> None:
        """The run succeeded with so many tries of its shard; its day is what it is undisturbed."""
        assert run.state == "success", f"{self.nights.failed(run)}: {self.log(run, len(self.tries(run)))}"
        assert len(self.tries(run)) == tries
        self.nights.assert_undisturbed([date.fromisoformat(run.ds)])

    def now(self, run: Run) -> Any:
        """The pod of the run that is there, once it runs its container."""
        return until(lambda: next((pod for pod in self.of(run) if pod.status.phase == "Running"), None), pause=0.1)

    def seen_until_over(self, run: Run, seconds: float) -> set[str]:
        """The names of all pods of the run that are seen while it goes on."""
        ds, seen = date.fromisoformat(run.ds), set[str]()

        def over() -> bool:
            seen.update(found.metadata.name for found in self.of(run))
            return self.nights.client.runs(NAME, ds, ds)[0].state != "running"

        until(over, seconds=seconds)
        return seen

    @contextmanager
    def asking(self, **scoring: Any) -> Iterator[None]:
        """The spec with other keys in ``scoring``."""
        path = self.nights.settings.pipelines / f"{NAME}.yaml"
        before = path.read_text()
        lines = [line for line in before.splitlines() if not line.startswith("scoring:")]
        # YAML readers differ on 1e-05.
        wanted = json.dumps({**SCORING, **scoring}).replace("1e-05", "0.00001")
        rewrite(path, "\n".join([*lines, f"scoring: {wanted}", ""]))
        try:
            yield
        finally:
            rewrite(path, before)

    @contextmanager
    def slow(self, code: str) -> Iterator[dict[str, Any]]:
        """What ``scoring.pod`` needs for pods whose Python runs this code first."""
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="slow"), data={SITE: code})
        self.cluster.api.create_namespaced_config_map(NAMESPACE, body)
        before = self.template.read_text()
        template = yaml.safe_load(before)
        template["spec"]["containers"][0]["env"] = [{"name": "PYTHONPATH", "value": "/slow:/scoring"}]
        rewrite(self.template, yaml.safe_dump(template))
        try:
            yield {"volumes": {"slow": {"mount": "/slow", "config_map": "slow"}}}
        finally:
            rewrite(self.template, before)
            self.cluster.api.delete_namespaced_config_map("slow", NAMESPACE)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that KUBECONFIG names."""
    if "KUBECONFIG" not in os.environ:
        pytest.exit("KUBECONFIG names no cluster: docs/kubernetes.md says how to make one for tests", 4)
    with opened_cluster() as found:
        yield found


@contextmanager
def opened_cluster() -> Iterator[Cluster]:
    """The cluster, with a namespace of the tests' own and a folder that pods may write to."""
    config.load_kube_config()
    api = client.CoreV1Api()
    where = os.environ.get("NIGHTSHIFT_TEST_DISK")
    with tempfile.TemporaryDirectory(prefix="nskube-", dir=where, ignore_cleanup_errors=True) as folder:
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}  # pods here run as whoever runs the tests
        metadata = client.V1ObjectMeta(name=NAMESPACE, labels=labels)
        api.create_namespace(client.V1Namespace(metadata=metadata))
        try:
            account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="nightshift-scoring"))
            api.create_namespaced_service_account(NAMESPACE, account)
            yield Cluster(api, Path(folder).resolve())
        finally:
            api.delete_namespace(NAMESPACE, grace_period_seconds=0)
            until(lambda: NAMESPACE not in {found.metadata.name for found in api.list_namespace().items})


def rewrite(path: Path, text: str) -> None:
    """A file's new content, so that whoever reads it meanwhile has the old or the new one."""
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.replace(path)


def template_for(folder: Path) -> dict[str, Any]:
    """Our template; its storage is a folder of this machine, and pods have the account that the platform has."""
    template = yaml.safe_load(TEMPLATE.read_text())
    spec, uid = template["spec"], os.getuid()
    spec["securityContext"] |= {"runAsUser": uid, "runAsGroup": os.getgid(), "runAsNonRoot": uid != 0}
    [container] = spec["containers"]
    container["volumeMounts"][1]["mountPath"] = str(folder)
    spec["volumes"][1] = {"name": "storage", "hostPath": {"path": str(folder), "type": "Directory"}}
    return template


@pytest.fixture(scope="session")
def pods(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """The platform with the pipeline, its champion and its nights."""
    with pods_platform(cluster, tmp_path_factory.mktemp("pods")) as found:
        yield found


@contextmanager
def pods_platform(cluster: Cluster, folder: Path, **more: str) -> Iterator[Pods]:
    """A platform whose shards are scored by pods, the pipeline with its champion; files of its own in ``folder``."""
    path = folder / "pod.yaml"
    path.write_text(yaml.safe_dump(template_for(cluster.folder)))
    wanted = {"COMPUTE": "kubernetes", "NAMESPACE": NAMESPACE, "POD_TEMPLATE": str(path)}
    # Pods see these two, and neither secrets nor databases.
    wanted |= {"LAKE": str(cluster.folder / "lake"), "MODELS": str(cluster.folder / "models")}
    if image := os.environ.get("NIGHTSHIFT_SCORING_IMAGE"):
        wanted["SCORING_IMAGE"] = image
    environ = {f"NIGHTSHIFT_{name}": value for name, value in {**wanted, **more}.items()}
    own = Path(tempfile.mkdtemp(prefix="nslive-")).resolve()
    with pytest.MonkeyPatch.context() as patch:
        line = through_a_line(Path(os.environ["KUBECONFIG"]), path.with_name("kubeconfig"))
        patch.setenv("KUBECONFIG", str(path.with_name("kubeconfig")))
        with (
            running_platform(own, **environ) as live,
            champion_and_nights(live, folder / "undisturbed") as nights,
        ):
            found = Pods(nights, cluster, line, path)
            with found.asking():
                yield found


@pytest.fixture
def reader(pods: Pods) -> Iterator[Reader]:
    """Reads until the test is over, which fails if it ever saw a part of a day."""
    with reading(pods.nights) as found:
        yield found
