"""What the compose profile `kubernetes` does to its cluster, done to that of KUBECONFIG in a namespace of its own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import PROJECT

NAMESPACE = "nightshift-compose"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig that `account.sh` wrote; run twice, as each `up` runs it."""
    folder, admin = tmp_path_factory.mktemp("k8s"), os.environ["KUBECONFIG"]
    for name in ("namespace", "compose"):
        shutil.copytree(PROJECT / "include" / "k8s" / name, folder / name)
    for file in (folder / "namespace" / "namespace.yaml", folder / "namespace" / "kustomization.yaml"):
        file.write_text(file.read_text().replace(": nightshift\n", f": {NAMESPACE}\n"))
    storage, script = folder / "compose" / "storage.yaml", folder / "compose" / "account.sh"
    storage.write_text(
        storage.read_text()
        .replace("namespace: nightshift\n", f"namespace: {NAMESPACE}\n")
        .replace("PersistentVolume\nmetadata:\n  name: nightshift", f"PersistentVolume\nmetadata:\n  name: {NAMESPACE}")
        .replace("volumeName: nightshift\n", f"volumeName: {NAMESPACE}\n")
    )
    script.write_text(script.read_text().replace("-n nightshift create", f"-n {NAMESPACE} create"))
    server = kubectl(admin, "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
    out = folder / "kubeconfig"
    try:
        for _ in range(2):
            subprocess.run(
                ["sh", str(script), admin, server, str(folder / "namespace"), str(storage), str(out)], check=True
            )
        assert urlsplit(server).netloc in out.read_text()
        yield out
    finally:
        kubectl(admin, "delete", "namespace", NAMESPACE)
        kubectl(admin, "delete", "persistentvolume", NAMESPACE)


def kubectl(kubeconfig: str | Path, *arguments: str) -> str:
    argv = ["kubectl", "--kubeconfig", str(kubeconfig), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120).stdout.strip()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("create pods", "yes"),
        ("get pods --subresource=log", "yes"),
        ("get secrets", "no"),
        ("create pods --subresource=exec", "no"),
    ],
)
def test_airflow_may_what_it_needs(account: Path, question: str, answer: str) -> None:
    # The context's namespace is `nightshift`, which is another here.
    assert kubectl(account, "-n", NAMESPACE, "auth", "can-i", *question.split()) == answer


def test_its_kubeconfig_is_its_own(account: Path) -> None:
    assert account.stat().st_mode & 0o777 == 0o600
    assert account.stat().st_uid == 10001


def test_the_claim_is_the_nodes_folder(account: Path) -> None:
    admin = os.environ["KUBECONFIG"]
    phase = ("get", "persistentvolumeclaim", "nightshift", "-n", NAMESPACE, "-o", "jsonpath={.status.phase}")
    assert kubectl(admin, *phase) == "Bound"
