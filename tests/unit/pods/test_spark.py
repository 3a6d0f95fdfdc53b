"""What Spark is told of its pods, and what is added to their templates."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from nightshift.errors import SpecError
from nightshift.pods.kinds import DRIVER, EXECUTOR
from nightshift.pods.spark import DriverFor, cluster_conf, make_events_folder, write_templates
from nightshift.pods.template import check_template, read_template
from nightshift.pods.verdict import failure
from nightshift.settings import Settings
from nightshift.specs.spark import Spark
from tests.conftest import PROJECT

RUN = "backfill__2024-02-05T07:00:00+00:00"
SPARK_POD = DriverFor("parcels", "2024-02-05", "parcels__retrain", RUN, "build_window", "a0123456789a")
K8S = PROJECT / "include" / "k8s"


@pytest.fixture
def shipped(settings: Settings) -> Settings:
    return replace(
        settings,
        spark_driver_template=K8S / "spark-driver-pod.yaml",
        spark_executor_template=K8S / "spark-executor-pod.yaml",
    )


@pytest.mark.parametrize(("kind", "role"), [(DRIVER, "driver"), (EXECUTOR, "executor")])
def test_ours_are_good_and_ask_for_little(kind: Any, role: str) -> None:
    template, problems = check_template(K8S / f"spark-{role}-pod.yaml", kind)
    assert problems == []
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    [container] = template["spec"]["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert template["spec"].get("automountServiceAccountToken", True) is (role == "driver")


def test_memory_is_the_pods_and_dynamic_allocation_is_off(shipped: Settings, tmp_path: Path) -> None:
    conf = cluster_conf(shipped, Spark(executors=3, cores=1.5, memory="4Gi"), SPARK_POD, tmp_path)
    assert conf["spark.dynamicAllocation.enabled"] == "false"
    for role in ("driver", "executor"):
        heap, beside = conf[f"spark.{role}.memory"], conf[f"spark.{role}.memoryOverhead"]
        assert (heap, beside) == ("3072m", "1024m")
        assert conf[f"spark.kubernetes.{role}.container.image"] == shipped.spark_image
    assert conf["spark.executor.instances"] == "3"
    assert (conf["spark.executor.cores"], conf["spark.kubernetes.executor.request.cores"]) == ("2", "1500m")
    assert conf["spark.kubernetes.driver.request.cores"] == "1000m"
    assert conf["spark.sql.shuffle.partitions"] == "12"
    assert conf["spark.eventLog.dir"] == f"file://{shipped.spark_events}"


def test_a_small_pod_leaves_what_java_needs_beside_its_heap(shipped: Settings, tmp_path: Path) -> None:
    conf = cluster_conf(shipped, Spark(memory="1Gi"), SPARK_POD, tmp_path)
    assert (conf["spark.driver.memory"], conf["spark.driver.memoryOverhead"]) == ("640m", "384m")


def test_a_driver_is_found_by_its_run_and_names_it(shipped: Settings, tmp_path: Path) -> None:
    conf = cluster_conf(shipped, Spark(), SPARK_POD, tmp_path)
    assert conf["spark.kubernetes.driver.pod.name"] == "parcels-2024-02-05-a0123456789a-driver"
    assert conf["spark.kubernetes.driver.annotation.nightshift/run-id"] == f"parcels__retrain {RUN}"
    assert conf["spark.kubernetes.driver.label.app.kubernetes.io/part-of"] == "nightshift"
    assert conf["spark.kubernetes.executor.label.nightshift/attempt"] == "a0123456789a"
    assert "attempt" not in SPARK_POD.selector()
    for key, value in SPARK_POD.labels().items():
        assert f"{key}={value}" in SPARK_POD.selector()
    assert SPARK_POD.own("executor") == f"{SPARK_POD.selector('executor')},nightshift/attempt=a0123456789a"


def test_a_long_name_leaves_room_for_what_tells_tries_apart() -> None:
    long = replace(SPARK_POD, pipeline="a_pipeline_of_a_name_that_is_longer_than_most")
    assert long.name() == "a-pipeline-of-a-2024-02-05-a0123456789a-driver"
    assert len(long.name()) <= 63


def test_templates_get_a_deadline_and_an_image_that_one_names_goes_first(shipped: Settings, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    document = yaml.safe_load(shipped.spark_executor_template.read_text())
    document["spec"]["containers"][0]["image"] = "registry.example/spark:7"
    own.write_text(yaml.safe_dump(document))
    settings = replace(shipped, spark_executor_template=own)
    write_templates(settings, tmp_path, 3600)
    driver, executor = (json.loads((tmp_path / f"{role}.yaml").read_text()) for role in ("driver", "executor"))
    assert driver["spec"]["activeDeadlineSeconds"] == 3600
    assert "activeDeadlineSeconds" not in executor["spec"]
    for pod in (driver, executor):
        assert pod["spec"]["containers"][0]["terminationMessagePolicy"] == "FallbackToLogsOnError"
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
    conf = cluster_conf(settings, Spark(), SPARK_POD, tmp_path)
    assert conf["spark.kubernetes.executor.container.image"] == "registry.example/spark:7"
    assert conf["spark.kubernetes.driver.container.image"] == settings.spark_image


def test_a_template_without_sparks_container_is_refused(shipped: Settings, tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text(shipped.spark_driver_template.read_text().replace("- name: spark", "- name: main"))
    with pytest.raises(
        SpecError, match="no container is called 'spark', which is the one that runs Spark; found: main"
    ):
        read_template(path, DRIVER)


def test_the_folder_of_events_is_its_owners_alone(settings: Settings) -> None:
    make_events_folder(settings)
    make_events_folder(settings)
    assert Path(settings.spark_events).stat().st_mode & 0o777 == 0o700


def test_spark_needs_a_gigabyte() -> None:
    with pytest.raises(ValidationError, match="memory 512Mi is less than 1Gi, which Spark needs to begin"):
        Spark(memory="512Mi")


def test_a_driver_that_was_killed_for_memory_is_told_in_sparks_words() -> None:
    pod = {
        "metadata": {"name": "d"},
        "spec": {"containers": [{"name": "spark", "resources": {"limits": {"memory": "1Gi"}}}]},
        "status": {
            "phase": "Failed",
            "containerStatuses": [
                {"name": "spark", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            ],
        },
    }
    assert str(failure("d", pod, DRIVER)) == (
        "pod d: it was killed for memory: it used more than its 1Gi. What to do: raise features.spark.memory."
    )
