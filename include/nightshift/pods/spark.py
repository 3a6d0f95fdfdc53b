"""The pods of a Spark job as plain data: the driver's name and labels, Spark's configuration, both templates.

Spark makes the pods (``spark-submit --deploy-mode cluster``); what its configuration has no key for goes into the
templates that it is given.
"""

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightshift import storage
from nightshift.pods.kinds import DRIVER, EXECUTOR, Kind
from nightshift.pods.pod import ATTEMPT, PART_OF, PREFIX, RUN_ID, label_value
from nightshift.pods.template import read_template
from nightshift.settings import Settings
from nightshift.specs.scoring import mebibytes
from nightshift.specs.spark import Spark

IMAGE_HOME = "/nightshift-jobs"
"""Where the image has ``spark_jobs``."""
_LOG4J = f"-Dlog4j2.configurationFile=file:{IMAGE_HOME}/spark_jobs/log4j2.properties"
# As local jobs have it; executors, which exist for jobs that take long, keep Java's second compiler and its collector.
_DRIVER_JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC"
_QUIET = "-Xlog:disable -Xlog:all=error:stderr"
# Of a pod's memory this part is not Java's heap: its threads and classes, and Python.
_OVERHEAD, _LEAST_OVERHEAD = 0.25, 384
_LONGEST_PREFIX = 40
_POLICY = "org.apache.spark.deploy.k8s.features.NetworkPolicyFeatureStep"


@dataclass(frozen=True)
class DriverFor:
    """Whom a driver works for: a step of a run; ``attempt`` is the token of the try."""

    pipeline: str
    ds: str
    dag: str
    run: str
    step: str
    attempt: str

    def name(self) -> str:
        """The driver's name, which no other try has."""
        return f"{self.prefix()}-driver"

    def prefix(self) -> str:
        """The beginning of its executors' names."""
        own = f"-{self.ds}-{self.attempt}"
        return f"{self.pipeline.replace('_', '-')[: _LONGEST_PREFIX - len(own)].rstrip('-')}{own}"

    def labels(self) -> dict[str, str]:
        """By which the drivers of all tries are found, by people and by later tries."""
        return {
            f"{PREFIX}pipeline": label_value(self.pipeline),
            f"{PREFIX}ds": self.ds,
            f"{PREFIX}run": label_value(self.run),
            f"{PREFIX}step": label_value(self.step),
            PART_OF: "nightshift",
        }

    def selector(self, role: str = "driver") -> str:
        """A label selector of the pods of all tries; ``role`` is ``driver`` or ``executor``."""
        return ",".join([*(f"{key}={value}" for key, value in self.labels().items()), f"spark-role={role}"])

    def own(self, role: str) -> str:
        """A label selector of the pods of this try."""
        return f"{self.selector(role)},{ATTEMPT}={self.attempt}"


def cluster_conf(settings: Settings, asked: Spark, driver: DriverFor, templates: Path) -> dict[str, str]:
    """Spark's configuration of a job in pods; ``templates`` is the folder of ``write_templates``."""
    events = settings.spark_events
    memory, cores = mebibytes(asked.memory), math.ceil(asked.cores)
    overhead = max(_LEAST_OVERHEAD, round(_OVERHEAD * memory))
    heap, beside, cpu = f"{memory - overhead}m", f"{overhead}m", f"{round(1000 * asked.cores)}m"
    return {
        "spark.kubernetes.namespace": settings.namespace,
        "spark.kubernetes.driver.pod.name": driver.name(),
        "spark.kubernetes.executor.podNamePrefix": driver.prefix(),
        # What follows the driver is not spark-submit, which would not say what the driver says.
        "spark.kubernetes.submission.waitAppCompletion": "false",
        # Executors need no file of configuration, and the driver no right to make one.
        "spark.kubernetes.executor.disableConfigMap": "true",
        # The namespace has a policy for Spark's pods, so that Airflow needs no right to make one for each job.
        "spark.kubernetes.driver.pod.excludedFeatureSteps": _POLICY,
        "spark.dynamicAllocation.enabled": "false",
        "spark.executor.instances": str(asked.executors),
        "spark.executor.cores": str(cores),
        "spark.driver.cores": "1",
        "spark.kubernetes.executor.request.cores": cpu,
        "spark.kubernetes.driver.request.cores": f"{min(1000, round(1000 * asked.cores))}m",
        "spark.sql.shuffle.partitions": str(2 * asked.executors * cores),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events if "://" in events else f"file://{events}",
        "spark.eventLog.compress": "true",
        "spark.eventLog.rolling.enabled": "false",
        "spark.sql.warehouse.dir": "/tmp/warehouse",  # noqa: S108 (a folder of the pod's own)
        "spark.driver.extraJavaOptions": f"{_DRIVER_JAVA} {_QUIET} {_LOG4J}",
        "spark.executor.extraJavaOptions": f"{_QUIET} {_LOG4J}",
        "spark.pyspark.python": "python3",
        **{f"spark.{role}.memory": heap for role in ("driver", "executor")},
        **{f"spark.{role}.memoryOverhead": beside for role in ("driver", "executor")},
        **_pods("driver", settings.spark_driver_template, DRIVER, settings, driver, templates),
        **_pods("executor", settings.spark_executor_template, EXECUTOR, settings, driver, templates),
        **{f"spark.kubernetes.driver.annotation.{RUN_ID}": f"{driver.dag} {driver.run}"},
    }


def write_templates(settings: Settings, folder: Path, deadline: int) -> None:
    """Leaves both templates for spark-submit. Raises SpecError, which lists what is wrong with them."""
    driver = template_of(read_template(settings.spark_driver_template, DRIVER), DRIVER)
    driver["spec"]["activeDeadlineSeconds"] = deadline
    executor = template_of(read_template(settings.spark_executor_template, EXECUTOR), EXECUTOR)
    for role, template in (("driver", driver), ("executor", executor)):
        Path(folder, f"{role}.yaml").write_text(json.dumps(template), encoding="utf-8")


def template_of(template: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """The template with what Spark would not add."""
    pod = copy.deepcopy(dict(template))
    [container] = [found for found in pod["spec"]["containers"] if found["name"] == kind.container]
    # The last lines of a container that failed become its message, which says why when its log is gone.
    container["terminationMessagePolicy"] = "FallbackToLogsOnError"
    return pod


def make_events_folder(settings: Settings) -> None:
    """Spark takes no folder of events that is not there."""
    if storage.is_local(settings.spark_events):
        Path(settings.spark_events.removeprefix("file://")).mkdir(mode=0o700, parents=True, exist_ok=True)


def _pods(role: str, path: Path, kind: Kind, settings: Settings, driver: DriverFor, templates: Path) -> dict[str, str]:
    containers = read_template(path, kind)["spec"]["containers"]
    named = next((found.get("image") for found in containers if found["name"] == kind.container), None)
    labels = {**driver.labels(), ATTEMPT: driver.attempt}
    return {
        f"spark.kubernetes.{role}.container.image": named or settings.spark_image,
        f"spark.kubernetes.{role}.podTemplateFile": str(Path(templates, f"{role}.yaml")),
        f"spark.kubernetes.{role}.podTemplateContainerName": kind.container,
        **{f"spark.kubernetes.{role}.label.{name}": value for name, value in labels.items()},
    }
