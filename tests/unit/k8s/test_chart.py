"""Our chart as helm renders it: of the schema of Kubernetes, closed to mistakes, one with include/k8s/namespace."""

import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from nightshift.platform import mlflow_server, watcher
from nightshift.settings import Settings
from tests.conftest import PROJECT
from tests.helm import CHART, KUBERNETES, helm, needs_helm, render

pytestmark = [needs_helm, pytest.mark.process]

SECRET = ("--set", "mlflow.secret=mlflow")
NAMESPACE = PROJECT / "include" / "k8s" / "namespace"
VARIANTS = {
    "as it comes": SECRET,
    "an object store": (
        *SECRET, "--set", "mlflow.artifacts.uri=s3://bucket/mlflow", "--set", "mlflow.replicas=2",
        "--set", "mlflow.serviceAccountAnnotations.example\\.org/role=mlflow", "--set", "image.pullSecrets={registry}",
    ),
    "a claim": (*SECRET, "--set", "mlflow.artifacts.claim=mine", "--set", "mlflow.hosts={mlflow.example.org}"),
    "a watcher": (*SECRET, "--set", "watcher.secret=told", "--set", "image.pullSecrets={registry}"),
    "a watcher of stores": (*SECRET, "--set", "watcher.secret=told", "--set", "watcher.claim="),
    "a class": (
        *SECRET, "--set", "mlflow.artifacts.storageClass=", "--set", "mlflow.nodeSelector.disk=ssd",
        "--set", "mlflow.tolerations[0].operator=Exists", "--set-string", "quota.pods=7",
    ),
}  # fmt: skip


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    [found] = [item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    return found


def test_lint() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART, *SECRET, "--kube-version", KUBERNETES).stdout


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("version", ["1.30.14", kubernetes_validate.latest_version()])
def test_no_key_is_unknown_to_kubernetes(variant: str, version: str) -> None:
    objects = render(CHART, *VARIANTS[variant])
    assert len(objects) >= 13
    for found in objects:
        kubernetes_validate.validate(found, version, strict=True)
        assert found["metadata"]["namespace"] == "night"
        assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "nightshift"


def test_an_unknown_key_would_be_told() -> None:
    """What the test above rests on."""
    deployment = named(render(CHART, *SECRET), "Deployment", "nightshift-mlflow")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    container["securityContext"]["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


def test_the_namespace_is_that_of_kustomize() -> None:
    """Every object of the files that `kubectl apply -k` reads, but the namespace itself, and nothing changed in it."""
    known = yaml.safe_load((NAMESPACE / "kustomization.yaml").read_text())
    files = [list(yaml.safe_load_all((NAMESPACE / name).read_text())) for name in known["resources"]]
    wanted = [document for documents in files for document in documents if document["kind"] != "Namespace"]
    assert len(wanted) >= 6
    objects = render(CHART, *SECRET)
    for document in wanted:
        found = named(objects, document["kind"], document["metadata"]["name"])
        for subject in document.get("subjects", ()):
            subject["namespace"] = "night"
        assert {**found, "metadata": None} == {**document, "metadata": None}
        assert document["metadata"].get("labels", {}).items() <= found["metadata"]["labels"].items()
    assert not [found for found in objects if found["kind"] == "Namespace"]


def test_a_package_has_all_of_it(tmp_path: Path) -> None:
    helm("package", CHART, "--destination", tmp_path)
    [package] = tmp_path.iterdir()
    assert render(package, *SECRET) == render(CHART, *SECRET)


def test_a_quota_of_ones_own_is_what_drains_wait_for() -> None:
    objects = render(CHART, *VARIANTS["a class"])
    hard = named(objects, "ResourceQuota", "nightshift")["spec"]["hard"]
    assert (hard["pods"], hard["requests.cpu"]) == ("7", "32")
    assert named(objects, "PodDisruptionBudget", "nightshift-scoring")["spec"]["minAvailable"] == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (),
            "mlflow.secret is not set. Allowed: the name of a Secret of this namespace with the files database, login",
        ),
        ((*SECRET, "--set", "mlflow.replica=2"), "additional properties 'replica' not allowed"),
        ((*SECRET, "--set", "mlfow.replicas=2"), "additional properties 'mlfow' not allowed"),
        (("--set", "mlflow.password=guess"), "additional properties 'password' not allowed"),
        ((*SECRET, "--set", "image.tag=latest"), "image/tag"),
        ((*SECRET, "--set", "mlflow.user=0"), "mlflow/user"),
        ((*SECRET, "--set", "mlflow.hosts={https://mlflow.example.org}"), "mlflow/hosts/0"),
        (
            (*SECRET, "--set", "mlflow.artifacts.uri=s3://bucket", "--set", "mlflow.artifacts.claim=mine"),
            "mlflow.artifacts has both uri and claim. Allowed: one of them",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_told(arguments: tuple[str, ...], message: str) -> None:
    done = helm("template", "release", CHART, "--kube-version", KUBERNETES, *arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stdout == ""


def test_mlflow_is_told_names_of_secrets_and_may_nothing() -> None:
    objects = render(CHART, *SECRET)
    assert not [found for found in objects if found["kind"] == "Secret"]
    pod = named(objects, "Deployment", "nightshift-mlflow")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert all(set(entry) == {"name", "value"} for entry in container["env"]), "no secret in the environment"
    # The module is in the image, whose command is tini.
    assert container["args"][:3] == ["python", "-m", mlflow_server.__name__]
    assert "command" not in container
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    accounts = [subject["name"] for found in objects if found["kind"] == "RoleBinding" for subject in found["subjects"]]
    assert "nightshift-mlflow" not in accounts


def test_the_administrators_login_of_mlflow_is_its_servers_alone() -> None:
    items = [
        item["key"]
        for name in ("mlflow", "a watcher")
        for found in render(CHART, *(SECRET if name == "mlflow" else VARIANTS[name]))
        if found["kind"] == "Deployment"
        for volume in found["spec"]["template"]["spec"]["volumes"]
        for source in [volume, *volume.get("projected", {}).get("sources", [])]
        for item in source.get("secret", {}).get("items", [])
        if found["metadata"]["name"] != "nightshift-mlflow"
    ]
    assert "login" not in items
    values = yaml.safe_load((PROJECT / "include" / "k8s" / "airflow-values.yaml").read_text())
    [secret] = [
        source["secret"]
        for volume in values["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        if source["secret"]["name"] == "nightshift-mlflow"
    ]
    assert secret["items"] == [{"key": "tasks-login", "path": "tasks-login"}]


def test_who_is_told_is_a_secret_that_the_watcher_alone_mounts() -> None:
    assert not [item for item in render(CHART, *SECRET) if item["metadata"]["name"] == "nightshift-watcher"]
    objects = render(CHART, *VARIANTS["a watcher"])
    pod = named(objects, "Deployment", "nightshift-watcher")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert all(set(entry) == {"name", "value"} for entry in container["env"]), "no secret in the environment"
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    settings = Settings.from_env(environ)
    [mounted] = [item["mountPath"] for item in container["volumeMounts"] if item["name"] == "secrets"]
    files = [item["path"] for source in pod["volumes"][0]["projected"]["sources"] for item in source["secret"]["items"]]
    assert {str(settings.channels), str(settings.database_file)} < {f"{mounted}/{name}" for name in files}
    assert container["args"] == ["python", "-m", watcher.__name__]
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    airflows = yaml.safe_load((PROJECT / "include" / "k8s" / "airflow-values.yaml").read_text())["env"]
    theirs = {entry["name"]: entry["value"] for entry in airflows}
    given = yaml.safe_load((CHART / "values.yaml").read_text())["watcher"]["settings"]
    assert given.items() <= theirs.items()


def test_only_airflow_reaches_mlflow() -> None:
    objects = render(CHART, *SECRET)
    policy = named(objects, "NetworkPolicy", "nightshift-mlflow")["spec"]
    airflow = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "nightshift-airflow"}}}
    assert policy["ingress"] == [{"from": [airflow], "ports": [{"protocol": "TCP", "port": 5000}]}]
    reached = [item["spec"]["podSelector"] for item in objects if item["kind"] == "NetworkPolicy"]
    assert {} in reached, "what is not allowed is denied to every pod"


def test_the_chart_has_the_version_of_the_package() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


def reached(objects: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """By policy, where its pods may connect to."""
    return {
        item["metadata"]["name"]: item["spec"].get("egress", [])
        for item in objects
        if item["kind"] == "NetworkPolicy" and "Egress" in item["spec"]["policyTypes"]
    }


def test_nothing_outside_of_the_namespace_is_reached_that_was_not_named() -> None:
    spark = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "nightshift-spark"}}}
    found = reached(render(CHART, *SECRET))
    [dns] = found.pop("nightshift-scoring")
    assert [port["port"] for port in dns["ports"]] == [53, 53]
    assert found == {
        "nightshift-mlflow": [],
        "nightshift-airflow": [{"to": [{"podSelector": {}}]}],
        "nightshift-spark": [{"to": [spark]}],
        "nightshift-spark-driver": [],
    }


def test_what_is_named_is_reached_by_those_that_need_it() -> None:
    named_places = tuple(
        word
        for place, address in {
            "database": "10.0.0.7/32",
            "apiServer": "10.0.0.1/32",
            "objectStore": "10.0.0.8/32",
        }.items()
        for word in ("--set", f"egress.{place}.to[0].ipBlock.cidr={address}")
    )
    found = reached(render(CHART, *SECRET, *named_places, "--set", "egress.apiServer.port=8443"))

    def rule(address: str, port: int) -> dict[str, Any]:
        return {"to": [{"ipBlock": {"cidr": address}}], "ports": [{"protocol": "TCP", "port": port}]}

    database, api_server, store = (
        rule(f"10.0.0.{host}/32", port) for host, port in ((7, 5432), (1, 8443), (8, 443))
    )  # fmt: skip
    assert found["nightshift-mlflow"] == [database]
    assert found["nightshift-airflow"] == [{"to": [{"podSelector": {}}]}, database, api_server]
    assert found["nightshift-spark-driver"] == [api_server]
    assert found["nightshift-scoring"][1:] == [store]


def test_a_rule_without_a_destination_would_open_all_and_is_refused() -> None:
    done = helm(
        "template", "release", CHART, *SECRET, "--set", "egress.database.to[0].nobody=x", "--set-json",
        "egress.objectStore.to=[{}]", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "egress" in done.stderr
