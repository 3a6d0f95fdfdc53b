"""Our values for Airflow's official chart: what can be said without that chart, and all of it where it is there."""

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from nightshift.settings import Settings
from tests.conftest import PROJECT
from tests.helm import needs_helm, render
from tests.kubernetes.airflow import COMMANDS, airflow_pod
from tests.needs import needs

VALUES = PROJECT / "include" / "k8s" / "airflow-values.yaml"
DOCUMENT = PROJECT / "docs" / "kubernetes.md"
CHART = os.environ.get("NIGHTSHIFT_AIRFLOW_CHART")
POD_SPEC = {"Deployment": ("spec", "template", "spec"), "StatefulSet": ("spec", "template", "spec"),
            "Job": ("spec", "template", "spec"), "Pod": ("spec",)}  # fmt: skip


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(VALUES.read_text())
    return found


@pytest.fixture(scope="module")
def environ(values: dict[str, Any]) -> dict[str, str]:
    entries = values["env"]
    found = {entry["name"]: entry["value"] for entry in entries}
    assert len(found) == len(entries), "a variable stands there twice"
    return found


def test_versions_are_those_of_the_project(values: dict[str, Any], environ: dict[str, str]) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    image = f"nightshift-airflow:{version}"
    assert f"{values['defaultAirflowRepository']}:{values['defaultAirflowTag']}" == image
    assert [container["image"] for container in values["apiServer"]["extraInitContainers"]] == [image]
    assert environ["NIGHTSHIFT_SCORING_IMAGE"] == f"nightshift-scoring:{version}"
    locked = re.search(r"^apache-airflow==([\d.]+)", (PROJECT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked is not None
    assert values["airflowVersion"] == locked[1]


def test_settings_are_known(environ: dict[str, str]) -> None:
    settings = Settings.from_env(environ)
    assert settings.compute == "kubernetes"
    assert settings.mlflow_uri == "http://nightshift-mlflow:5000"
    assert {settings.landing, settings.lake, settings.models, settings.reports} == {
        f"/nightshift/{name}" for name in ("landing", "lake", "models", "reports")
    }
    documented = (PROJECT / "docs" / "architecture.md").read_text()
    for name in environ:
        assert not name.startswith("NIGHTSHIFT_") or name.removeprefix("NIGHTSHIFT") in documented, name


def test_every_secret_is_a_file_that_the_document_tells_to_make(
    values: dict[str, Any], environ: dict[str, str]
) -> None:
    used = re.findall(r"/run/secrets/nightshift/([\w-]+)", " ".join(environ.values()))
    assert len(used) == 8
    for name in used:
        assert re.search(rf"(?:`|/){name}`", _table()), name
    for name in re.findall(r"secretName: ([\w-]+)|SecretName: ([\w-]+)", VALUES.read_text()):
        assert f"`{''.join(name)}/" in _table(), name
    assert not any(values["enableBuiltInSecretEnvVars"].values())


def test_the_api_server_and_the_migration_alone_have_the_login_of_people(values: dict[str, Any]) -> None:
    having = []
    for component in (*COMMANDS, "triggerer", "workers", "migrateDatabaseJob"):
        own = values[component]
        pieces = [*own.get("env", ()), *own.get("extraVolumes", ()), *own.get("extraVolumeMounts", ())]
        having += [component] if "people" in str(pieces) else []
        if "people" in str(pieces):
            environ = {entry["name"]: entry["value"] for entry in own["env"]}
            assert environ["NIGHTSHIFT_PEOPLE_FILE"] == "/run/secrets/people/people"
            assert [volume["secret"]["secretName"] for volume in own["extraVolumes"] if volume["name"] == "people"] == [
                "nightshift-people"
            ]
            assert [mount["mountPath"] for mount in own["extraVolumeMounts"] if mount["name"] == "people"] == [
                "/run/secrets/people"
            ]
    assert having == ["apiServer", "migrateDatabaseJob"]
    assert "people" not in str([values["env"], values["volumes"], values["volumeMounts"]])


def _table() -> str:
    text = DOCUMENT.read_text()
    return text[text.index("| file below `secrets/`") : text.index("kubectl apply -f include/k8s/namespace")]


@pytest.mark.parametrize("component", [*COMMANDS, "migrateDatabaseJob"])
def test_what_pods_are_made_of_is_known_to_kubernetes(component: str) -> None:
    pod = airflow_pod(component, "pod", {})
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_containers_ask_for_what_the_quota_wants(values: dict[str, Any]) -> None:
    blocks = [values[name]["resources"] for name in ("scheduler", "triggerer", "dagProcessor", "apiServer", "workers")]
    blocks += [values["migrateDatabaseJob"]["resources"]]
    blocks += [container["resources"] for container in values["apiServer"]["extraInitContainers"]]
    assert all(_is_enough(block) for block in blocks)


def _is_enough(resources: dict[str, Any]) -> bool:
    return {"cpu", "memory"} <= set(resources["requests"]) and "memory" in resources["limits"]


def _pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for found in objects:
        if path := POD_SPEC.get(found["kind"]):
            spec = found
            for key in path:
                spec = spec[key]
            yield found["metadata"]["name"], spec


@needs_helm
@needs(
    CHART,
    "no chart of Airflow: helm pull apache-airflow/airflow --version 1.22.0, and name it in NIGHTSHIFT_AIRFLOW_CHART",
    "Airflow's own chart takes our values",
)
def test_airflows_chart_takes_them(values: dict[str, Any]) -> None:
    """helm checks the values by the chart's own schema; the objects by that of Kubernetes, quota and `restricted`."""
    assert Path(str(CHART)).name == "airflow-1.22.0.tgz"
    objects = render(Path(str(CHART)), "--values", str(VALUES), namespace="nightshift")
    for found in objects:
        kubernetes_validate.validate(found, "1.34.0", strict=True)
    assert not [found for found in objects if found["kind"] == "Secret"]
    pods = dict(_pods(objects))
    assert len(pods) >= 5
    for name, spec in pods.items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        for container in [*spec["containers"], *spec.get("initContainers", ())]:
            assert _is_enough(container["resources"]), (name, container["name"])
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, (name, container["name"])
            assert not any("secretKeyRef" in entry.get("valueFrom", {}) for entry in container["env"])
