"""Airflow's parts as pods, made of our values for its chart as the chart makes them."""

import os
import shlex
from typing import Any

import yaml
from kubernetes import client

from tests.conftest import PROJECT

VALUES = PROJECT / "include" / "k8s" / "airflow-values.yaml"
# What the chart runs by default.
COMMANDS = {
    "scheduler": ["bash", "-c", "exec airflow scheduler"],
    "dagProcessor": ["bash", "-c", "exec airflow dag-processor"],
    "apiServer": ["bash", "-c", "exec airflow api-server"],
}
SERVER = "airflow-api-server"
SERVED_AT = {"app": SERVER}


def airflow_pod(component: str, name: str, environ: dict[str, str], before: str = "") -> dict[str, Any]:
    """The pod of a component; ``before`` are commands that its own one follows."""
    values = yaml.safe_load(VALUES.read_text())
    own = values[component]
    image = os.environ.get(
        "NIGHTSHIFT_AIRFLOW_IMAGE", f"{values['defaultAirflowRepository']}:{values['defaultAirflowTag']}"
    )
    settings = {entry["name"]: entry["value"] for entry in [*values["env"], *own.get("env", ())]}
    command = COMMANDS.get(component) or own["args"]
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["bash", "-c", f"{before} && exec {shlex.join(command)}"] if before else command,
        "env": [{"name": key, "value": value} for key, value in {**settings, **environ}.items()],
        # Less than they ask for: a small node has all of them, and pods of shards.
        "resources": {**own["resources"], "requests": {"cpu": "50m", "memory": "512Mi"}},
        "securityContext": values["securityContexts"]["containers"],
        "volumeMounts": [
            *values["volumeMounts"],
            *own.get("extraVolumeMounts", ()),
            # The chart mounts the logs and airflow.cfg there.
            {"name": "home", "mountPath": settings["AIRFLOW_HOME"]},
        ],
    }
    if component == "apiServer":
        probe = {"httpGet": {"path": "/api/v2/monitor/health", "port": 8080}, "timeoutSeconds": 10}
        container |= {"readinessProbe": probe, "ports": [{"containerPort": 8080}]}
    first = [{**found, "image": image} for found in own.get("extraInitContainers", ())]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {**values["labels"], "app": name}},
        "spec": {
            "serviceAccountName": own.get("serviceAccount", {}).get("name", "default"),
            "securityContext": values["securityContexts"]["pod"],
            "terminationGracePeriodSeconds": 5,
            "restartPolicy": "Never",
            "initContainers": first,
            "containers": [container],
            "volumes": [*values["volumes"], *own.get("extraVolumes", ()), {"name": "home", "emptyDir": {}}],
        },
    }


def server_service() -> client.V1Service:
    """The service of the API server, by the name that the chart gives it."""
    spec = client.V1ServiceSpec(selector=SERVED_AT, ports=[client.V1ServicePort(port=8080)])
    return client.V1Service(metadata=client.V1ObjectMeta(name=SERVER), spec=spec)
