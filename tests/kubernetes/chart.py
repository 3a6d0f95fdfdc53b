"""Our chart on the cluster, by the commands of docs/kubernetes.md, with a Postgres of this machine."""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from kubernetes import client, utils

from nightshift.platform.postgres import Cluster as Postgres
from nightshift.platform.postgres import Role, ensure_roles, initialise, wait_until_ready
from tests.conftest import PROJECT
from tests.kubernetes.conftest import Cluster
from tests.kubernetes.documented import shown
from tests.postgres import stop
from tests.waiting import until

NAMESPACE = "nightshift-chart"
USER = 10001
LOGIN = {"username": "admin", "password": "first of the chart"}
AIRFLOW_LOGIN = {"username": "admin", "password": "of a test"}
# With what a URL must escape.
PASSWORDS = {
    role: f"{role}: 100%/@" for role in ("airflow", "mlflow", "nightshift", "nightshift_writer", "nightshift_people")
}


@dataclass(frozen=True)
class Chart:
    """The release, and the folder that is the claim `nightshift`."""

    cluster: Cluster
    folder: Path
    commands: list[str]

    @property
    def mlflow_pods(self) -> list[Any]:
        found = self.cluster.api.list_namespaced_pod(
            NAMESPACE, label_selector="app.kubernetes.io/name=nightshift-mlflow"
        )
        return list(found.items)

    def mlflow(self, path: str, host: str = "nightshift-mlflow:5000", **options: Any) -> requests.Response:
        """What the server answers, at the address of its service."""
        address = self.cluster.api.read_namespaced_service("nightshift-mlflow", NAMESPACE).spec.cluster_ip
        return requests.get(f"http://{address}:5000{path}", headers={"Host": host}, timeout=30, **options)

    def asked(self, path: str, **parameters: str) -> Any:
        """The same, by somebody who has the login."""
        answer = self.mlflow(f"/api/2.0/mlflow/{path}", auth=(LOGIN["username"], LOGIN["password"]), params=parameters)
        answer.raise_for_status()
        return answer.json()

    def install(self) -> None:
        """The document's command again."""
        [line] = [line for line in self.commands if line.startswith("helm upgrade")]
        run(line)


def run(line: str, cwd: Path = PROJECT, timeout: float = 300) -> str:
    """Runs a command, which must succeed."""
    argv = shlex.split(line)
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, f"{line} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def installed(cluster: Cluster) -> Iterator[Chart]:
    """The namespace, its secrets and the release, as the document says; nothing of them is left."""
    own = Path(tempfile.mkdtemp(prefix="nschart-"))
    volumes = {"nightshift": own / "storage", "nightshift-mlflow": own / "artifacts"}
    try:
        with _databases(_address(cluster)) as urls:
            _write_secrets(own / "secrets", urls)
            commands = _commands(own)
            for claim, folder in volumes.items():
                folder.mkdir()
                os.chown(folder, USER, USER)
                _make_volume(cluster, claim, folder)
            try:
                for line in commands:
                    run(line, cwd=own)
                utils.create_from_dict(cluster.api.api_client, _claim())
                yield Chart(cluster, volumes["nightshift"], commands)
            finally:
                _remove(cluster, volumes)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _address(cluster: Cluster) -> str:
    """The node's address, which must be this machine's."""
    addresses = cluster.api.list_node().items[0].status.addresses
    return str(next(found.address for found in addresses if found.type == "InternalIP"))


@contextmanager
def _databases(address: str) -> Iterator[dict[str, str]]:
    """A Postgres that pods reach; libpq URLs by role."""
    folder = Path(tempfile.mkdtemp(prefix="nschartpg-"))
    postgres = Postgres(data=folder / "data", sockets=folder / "run")
    server = None
    try:
        initialise(postgres)
        with (postgres.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        with (folder / "log").open("wb") as log:
            argv = postgres.argv(listen_addresses=address, fsync="off", max_connections="200")
            server = subprocess.Popen(argv, stdout=log, stderr=log, cwd="/", **postgres.as_account)
        wait_until_ready(postgres)
        owners = (Role(name, PASSWORDS[name], owns=(name,)) for name in ("airflow", "mlflow", "nightshift"))
        appending = ("nightshift_writer", "nightshift_people")
        enter = (Role(name, PASSWORDS[name], enters=("nightshift",)) for name in appending)
        ensure_roles(postgres, (*owners, *enter))
        databases = dict.fromkeys(appending, "nightshift")
        yield {role: _url(address, role, databases.get(role, role)) for role in PASSWORDS}
    finally:
        if server:
            stop(server)
        shutil.rmtree(folder, ignore_errors=True)


def _url(address: str, role: str, database: str) -> str:
    from urllib.parse import quote

    return f"postgresql://{role}:{quote(PASSWORDS[role], safe='')}@{address}:5432/{database}"


def _write_secrets(folder: Path, urls: dict[str, str]) -> None:
    """The files that the document's table names."""
    airflow = urls["airflow"].replace("postgresql://", "postgresql+psycopg://", 1)
    files = {
        "nightshift-mlflow/database": urls["mlflow"],
        "nightshift-mlflow/login": json.dumps(LOGIN),
        "nightshift-mlflow/tasks-login": json.dumps(
            {"username": "nightshift", "password": "of the tasks of the chart"}
        ),
        "nightshift-mlflow/cookie-key": secrets.token_hex(32),
        "nightshift-airflow/airflow-database": airflow,
        "nightshift-airflow/fernet-key": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "nightshift-airflow/api-secret-key": secrets.token_hex(32),
        "nightshift-airflow/jwt-secret": secrets.token_hex(64),
        "nightshift-airflow/database": urls["nightshift_writer"],
        "nightshift-airflow/removed-rows": secrets.token_hex(32),
        "nightshift-owner/database-owner": urls["nightshift"],
        "nightshift-people/people": urls["nightshift_people"],
        "nightshift-logins/passwords.json": json.dumps({AIRFLOW_LOGIN["username"]: AIRFLOW_LOGIN["password"]}),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _commands(own: Path) -> list[str]:
    """The document's commands, in a namespace of the tests' own."""
    namespace = own / "namespace.yaml"
    text = (PROJECT / "include" / "k8s" / "namespace" / "namespace.yaml").read_text()
    namespace.write_text(text.replace("name: nightshift\n", f"name: {NAMESPACE}\n"))
    image = os.environ.get("NIGHTSHIFT_AIRFLOW_IMAGE", "")
    replaced = {
        "include/k8s/namespace/namespace.yaml": str(namespace),
        "include/k8s/": f"{PROJECT}/include/k8s/",
        "-n nightshift ": f"-n {NAMESPACE} ",
        "--wait": "--wait" + (f" --set image.tag={image.partition(':')[2]}" if image else ""),
    }
    lines = shown("The chart")
    for old, new in replaced.items():
        lines = [line.replace(old, new) for line in lines]
    return lines


def _make_volume(cluster: Cluster, claim: str, folder: Path) -> None:
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"{NAMESPACE}-{claim}"},
        "spec": {
            "accessModes": ["ReadWriteMany", "ReadWriteOnce"], "capacity": {"storage": "10Gi"}, "storageClassName": "",
            "hostPath": {"path": str(folder)}, "claimRef": {"namespace": NAMESPACE, "name": claim},
        },
    }  # fmt: skip
    utils.create_from_dict(cluster.api.api_client, volume)


def _claim() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "nightshift", "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": f"{NAMESPACE}-nightshift",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }  # fmt: skip


def _remove(cluster: Cluster, volumes: dict[str, Path]) -> None:
    from kubernetes.client.exceptions import ApiException

    for name in volumes:
        cluster.api.delete_persistent_volume(f"{NAMESPACE}-{name}")
    try:
        cluster.api.delete_namespace(NAMESPACE, grace_period_seconds=0)
    except ApiException as error:
        if error.status != 404:
            raise
    until(lambda: NAMESPACE not in {found.metadata.name for found in cluster.api.list_namespace().items}, seconds=120)


def eviction(name: str) -> client.V1Eviction:
    return client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=NAMESPACE))
