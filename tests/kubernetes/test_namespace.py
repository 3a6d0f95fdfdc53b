"""The namespace and the template as they are shipped, where the cluster itself refuses a pod that asks for more."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import utils
from kubernetes.client.exceptions import ApiException

from nightshift.commands import ScoreCommand
from nightshift.pods.pod import scoring_pod
from nightshift.pods.template import read_template
from nightshift.scoring.plan import read_result
from nightshift.settings import Settings
from nightshift.specs.scoring import Scoring
from tests.conftest import PROJECT
from tests.kubernetes.conftest import TEMPLATE, Cluster
from tests.kubernetes.documented import shown
from tests.needs import needs
from tests.unit.scoring.parcels import make_plan

NAMESPACE = "nightshift"
POD_USER = 10001
MOUNT = "/nightshift"

pytestmark = needs(
    os.getuid() == 0,
    "not root, who alone makes files of the pods' account",
    "pods score under `restricted`, with the accounts and the policy that are shipped",
)


@pytest.fixture(scope="module")
def storage(cluster: Cluster) -> Iterator[Path]:
    """The namespace by the document's commands, and its claim: a folder that is the pods' own."""
    folder = Path(tempfile.mkdtemp(prefix="nsclaim-"))
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "nightshift"},
        "spec": {
            "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}, "storageClassName": "",
            "hostPath": {"path": str(folder)}, "claimRef": {"namespace": NAMESPACE, "name": "nightshift"},
        },
    }  # fmt: skip
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "nightshift", "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": "nightshift",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }  # fmt: skip
    try:
        for line in shown("From a bare cluster to the first scored day"):
            subprocess.run(shlex.split(line), cwd=PROJECT, check=True, timeout=60)
        for document in (volume, claim):
            utils.create_from_dict(cluster.api.api_client, document)
        yield folder
    finally:
        subprocess.run(["kubectl", "delete", "-k", "include/k8s/namespace"], cwd=PROJECT, check=False, timeout=120)
        cluster.api.delete_persistent_volume("nightshift")
        shutil.rmtree(folder)


def pod_of(plan: Path) -> dict[str, Any]:
    settings = Settings.from_env()
    command = ScoreCommand(str(plan), 0)
    pod = scoring_pod(read_template(TEMPLATE), settings.scoring_image, Scoring(memory="512Mi"), command, 512)
    pod["metadata"]["name"] = "shard"
    return pod


def test_a_shard_is_scored_as_the_template_says(cluster: Cluster, storage: Path) -> None:
    """Plans name their files by the path that pods have, so it is made where the test sees it at that path, too."""
    link = Path(MOUNT)
    assert not link.exists()
    link.symlink_to(storage)
    try:
        plan = make_plan(link / "lake", [1000])
        for path in (storage, *storage.rglob("*")):
            os.chown(path, POD_USER, POD_USER)
        cluster.succeed(NAMESPACE, pod_of(Path(plan.uri)))
        result = read_result(plan.uri, 0)
        assert result is not None
        assert result.file.rows == 1000
        assert (storage / "lake" / "predictions" / result.file.path).stat().st_uid == POD_USER
    finally:
        link.unlink()


@pytest.mark.parametrize(
    ("key", "value"),
    [("allowPrivilegeEscalation", True), ("runAsNonRoot", False), ("capabilities", {"add": ["SYS_ADMIN"]})],
)
def test_the_cluster_refuses_a_pod_that_asks_for_more(cluster: Cluster, storage: Path, key: str, value: Any) -> None:
    pod = pod_of(storage / "plan.json")
    pod["spec"]["containers"][0]["securityContext"][key] = value
    with pytest.raises(ApiException) as caught:
        cluster.api.create_namespaced_pod(NAMESPACE, pod)
    assert caught.value.status == 403
    assert "violates PodSecurity" in str(caught.value.body)


@pytest.mark.parametrize(
    ("account", "verb", "what", "allowed"),
    [
        ("airflow", "create", "pods", "yes"),
        ("airflow", "get", "pods/log", "yes"),
        ("airflow", "list", "events", "yes"),
        ("airflow", "get", "secrets", "no"),
        ("airflow", "create", "pods/exec", "no"),
        ("airflow", "list", "nodes", "no"),
        ("airflow", "create", "services", "yes"),
        ("airflow", "delete", "services", "no"),
        ("airflow", "create", "networkpolicies.networking.k8s.io", "no"),
        ("spark", "create", "pods", "yes"),
        ("spark", "get", "pods/log", "no"),
        ("spark", "create", "configmaps", "no"),
        ("spark", "get", "secrets", "no"),
        ("spark-executor", "get", "pods", "no"),
        ("scoring", "get", "pods", "no"),
        ("scoring", "create", "pods", "no"),
    ],
)
def test_accounts_may_what_they_need(storage: Path, account: str, verb: str, what: str, allowed: str) -> None:
    who = f"--as=system:serviceaccount:{NAMESPACE}:nightshift-{account}"
    resource, _, below = what.partition("/")
    argv = ["kubectl", "auth", "can-i", verb, resource, f"--subresource={below}", "-n", NAMESPACE, who]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == allowed


def test_the_image_is_what_is_promised(cluster: Cluster) -> None:
    image = Settings.from_env().scoring_image
    [node] = cluster.api.list_node().items[:1]
    sizes = [found.size_bytes for found in node.status.images or () if any(image in name for name in found.names or ())]
    assert sizes, f"the node has no image {image}"
    assert sizes[0] < 450_000_000
