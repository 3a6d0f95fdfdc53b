"""The pod of one shard: the template, what the spec asks for, and the very arguments that a shell would take."""

import copy
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.commands import ScoreCommand
from nightshift.pods.kinds import SCORING
from nightshift.specs.model import seconds
from nightshift.specs.scoring import Scoring, Volume

PREFIX = "nightshift/"
ATTEMPT = f"{PREFIX}attempt"
PART_OF = "app.kubernetes.io/part-of"
RUN_ID = f"{PREFIX}run-id"
"""The annotation that names DAG and run, with a space between them: a label cannot hold every run id."""
_NOT_IN_LABELS = re.compile(r"[^-A-Za-z0-9_.]+")
_HASHED = re.compile(r"-[0-9a-f]{8}$")
_LONGEST = 63


@dataclass(frozen=True)
class PodFor:
    """Whom a pod works for: a run and one of its shards."""

    pipeline: str
    ds: str
    run: str
    shard: int

    def name(self) -> str:
        """The beginning of the pod's name."""
        pipeline = self.pipeline.replace("_", "-")[:30].rstrip("-")
        return f"{pipeline}-{self.ds}-shard-{self.shard}"

    def labels(self) -> dict[str, str]:
        """By which it is found, by people and by later tries, so that no try's own number is among them."""
        return {
            f"{PREFIX}pipeline": label_value(self.pipeline),
            f"{PREFIX}ds": self.ds,
            f"{PREFIX}run": label_value(self.run),
            f"{PREFIX}shard": str(self.shard),
            PART_OF: "nightshift",
        }

    def annotations(self) -> dict[str, str]:
        """By which it is told whether anybody still waits for it."""
        return {RUN_ID: f"{self.pipeline} {self.run}"}

    def selector(self) -> str:
        """A label selector of the pods of all tries of this shard in this run."""
        return ",".join(f"{key}={value}" for key, value in self.labels().items())


def label_value(text: str) -> str:
    """Text as Kubernetes takes it for the value of a label: what it does not take becomes ``_``.

    Where that loses something, a hash of the whole ends it, so that two texts never become one.
    """
    plain = _NOT_IN_LABELS.sub("_", text).strip("-_.")
    if plain == text and len(text) <= _LONGEST and not _HASHED.search(text):
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{plain[: _LONGEST - 9].rstrip('-_.')}-{digest}".lstrip("-")


def scoring_pod(
    template: Mapping[str, Any], image: str, scoring: Scoring, command: ScoreCommand, memory: int, attempt: int = 1
) -> dict[str, Any]:
    """The pod of a shard, as Kubernetes' documents have it; ``memory`` in mebibytes is both request and limit.

    An image that the template names is taken rather than ``image``. ``attempt`` is the try of the task that makes it.
    """
    pod = copy.deepcopy(dict(template))
    spec, asked = pod["spec"], scoring.pod
    pod.setdefault("metadata", {}).setdefault("labels", {})[ATTEMPT] = str(attempt)
    # Airflow adds what it wants to the first container, whatever its name.
    spec["containers"].sort(key=lambda found: found["name"] != SCORING.container)
    container = spec["containers"][0]
    container.setdefault("image", image)
    container["args"] = command.argv()
    # The last lines of a container that failed become its message, which says why when its log is gone.
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    size, cpu = f"{memory}Mi", f"{round(scoring.cpu * 1000)}m"
    container["resources"] = {"requests": {"cpu": cpu, "memory": size}, "limits": {"memory": size}}
    spec["restartPolicy"] = "Never"
    spec["activeDeadlineSeconds"] = seconds(scoring.deadline)
    if asked.environment:
        given_env = [{"name": name, "value": value} for name, value in asked.environment.items()]
        container.setdefault("env", []).extend(given_env)
    if asked.volumes:
        container.setdefault("volumeMounts", []).extend(
            {"name": name, "mountPath": volume.mount, "readOnly": volume.read_only}
            for name, volume in asked.volumes.items()
        )
        spec.setdefault("volumes", []).extend(_source(name, volume) for name, volume in asked.volumes.items())
    if asked.node_selector:
        spec["nodeSelector"] = {**spec.get("nodeSelector", {}), **asked.node_selector}
    if asked.tolerations:
        given = [toleration.model_dump(exclude_none=True) for toleration in asked.tolerations]
        spec["tolerations"] = [*spec.get("tolerations", []), *given]
    if asked.priority_class:
        spec["priorityClassName"] = asked.priority_class
    return pod


def _source(name: str, volume: Volume) -> dict[str, Any]:
    if volume.claim:
        return {"name": name, "persistentVolumeClaim": {"claimName": volume.claim, "readOnly": volume.read_only}}
    if volume.secret:
        return {"name": name, "secret": {"secretName": volume.secret, "defaultMode": 0o440}}
    return {"name": name, "configMap": {"name": volume.config_map}}
