"""Nights whose features Spark builds in pods: one driver and one executor of a real cluster, which has the image."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any

import psutil
import pytest
from kubernetes import client

from nightshift.errors import SpecError
from nightshift.pods.pod import RUN_ID
from nightshift.pods.reaping import SELECTOR, why_reaped
from tests.faults.breaking import scheduler, send, tasks
from tests.kubernetes.spark_nights import (
    DAYS,
    NAME,
    NAMESPACE,
    Spark,
    assert_same,
    build_one_locally,
    namespace,
    spark,
)
from tests.waiting import until

__all__ = ["namespace", "spark"]

NO_NODE = {"no": "such-node"}
BROKEN = """def build(inputs, days):
    return {}["nothing_of_the_kind"]


def _unused("""


def test_a_day_is_built_by_a_driver_and_an_executor_as_it_is_locally(spark: Spark) -> None:
    ds = DAYS[0]
    run = spark.begin(ds)
    driver = spark.running("driver")
    executor = spark.running("executor")
    assert spark.ended(run)["state"] == "success", spark.log(run)
    assert spark.ended(run, "gate_features")["state"] == "success"
    assert spark.ended(run, "gate_labels")["state"] == "success"
    assert_same(spark, ds, "features")
    assert_same(spark, ds - timedelta(days=1), "labels")
    spark.gone()

    names = {"pipeline": NAME, "ds": ds.isoformat(), "step": "build_features"}
    for pod in (driver, executor):
        labels = pod["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "nightshift-spark", "by which network policies know it"
        assert {f"nightshift/{key}": value for key, value in names.items()}.items() <= labels.items()
        [container] = pod["spec"]["containers"]
        assert container["resources"]["limits"]["memory"] == "1Gi"
        assert container["resources"]["requests"] == {"cpu": "100m", "memory": "1Gi"}
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert driver["spec"]["serviceAccountName"] == "nightshift-spark"
    assert executor["spec"]["serviceAccountName"] == "nightshift-spark-executor"
    assert executor["spec"]["automountServiceAccountToken"] is False

    log = spark.log(run)
    assert f"driver {driver['metadata']['name']} in namespace {NAMESPACE}" in log
    assert log.count("spark_jobs: features: ") == 1, "each line once"
    assert "rows of 1 days staged in" in log
    events = list(Path(spark.settings.spark_events).iterdir())
    assert len(events) == 1
    assert events[0].stat().st_size > 10_000


def test_a_driver_whose_run_is_gone_is_reaped(spark: Spark) -> None:
    """What an hour-old pod looks like to maintenance, whose DAG is there; its own test deletes one."""
    run = spark.begin(DAYS[1])
    driver = spark.running("driver")
    try:
        found = spark.api.list_namespaced_pod(NAMESPACE, label_selector=SELECTOR).items
        assert driver["metadata"]["name"] in {pod.metadata.name for pod in found}
        assert driver["metadata"]["annotations"][RUN_ID] == f"{NAME} {run.run_id}"
        later = datetime.now(UTC) + timedelta(hours=1)
        assert why_reaped(driver, later, lambda dag, run_id: (dag, run_id) == (NAME, run.run_id)) is None
        why = why_reaped(driver, later, lambda dag, run_id: False)
        assert why == f"its run {run.run_id} of {NAME} is over or gone"
        assert spark.client.has_dag("maintenance")
    finally:
        spark.stop(run)
        spark.gone()


def test_a_task_that_is_stopped_takes_driver_and_executor_along(spark: Spark) -> None:
    run = spark.begin(DAYS[2])
    spark.running("executor")
    spark.stop(run)
    spark.gone()


def test_a_task_that_is_stopped_before_there_is_a_driver_leaves_none(spark: Spark) -> None:
    for begun in (lambda run: spark.instance(run)["state"] == "running", lambda run: submits()):
        run = spark.again(DAYS[2])
        until(partial(begun, run), pause=0.1)
        spark.stop(run)
        until(lambda: not submits() and not tasks(scheduler(spark.settings)))
        spark.gone()


def submits() -> list[psutil.Process]:
    """What makes drivers here."""
    asks = f"spark.kubernetes.namespace={NAMESPACE}"
    return [found for found in psutil.process_iter(["cmdline"]) if asks in (found.info["cmdline"] or ())]


def test_a_driver_that_nobody_waits_for_is_deleted_by_the_next_try(spark: Spark) -> None:
    """The task is killed without a word while its driver waits for an executor."""
    ds = DAYS[3]
    with spark.template("executor", nodeSelector=NO_NODE), spark.asking(start="5m"):
        run = spark.begin(ds)
        left = spark.running("driver")["metadata"]["name"]
        until(lambda: spark.pods("executor"))
        send(tasks(scheduler(spark.settings)), SIGKILL)
    until(lambda: spark.instance(run)["try_number"] == 2, seconds=120)
    assert spark.ended(run)["state"] == "success", spark.log(run, 2)
    assert f"driver {left} of an earlier try is deleted" in spark.log(run, 2)
    assert spark.ended(run, "gate_features")["state"] == "success"
    assert_same(spark, ds, "features")
    spark.gone()


def test_a_modules_failure_is_told_as_it_is_locally(spark: Spark) -> None:
    """The pods have the project's code here, which is how a module of the tests comes to them."""
    ds = DAYS[4]
    with spark.module(lambda text: text.replace("def build(", BROKEN)), spark.code_of_the_project():
        run = spark.begin(ds)
        ended = spark.ended(run)
        with pytest.raises(SpecError) as caught:
            build_one_locally(spark, ds)
    assert (ended["state"], ended["try_number"]) == ("failed", 1), "a SpecError is never tried again"
    assert re.fullmatch(
        r"spark_jobs/features/flights\.py build: line \d+: KeyError was raised: nothing_of_the_kind\.",
        str(caught.value),
    )
    assert str(caught.value) in spark.log(run)
    # The pod stays for people, and is maintenance's after three days.
    [driver] = spark.pods("driver")
    assert driver["status"]["phase"] == "Failed"
    spark.api.delete_namespaced_pod(driver["metadata"]["name"], NAMESPACE)
    spark.gone()


def test_an_image_of_other_code_builds_nothing_under_the_plans_fingerprint(spark: Spark) -> None:
    ds = DAYS[4]
    another = "\nbuilt = build\n\n\ndef build(inputs, days):\n    return built(inputs, days).distinct()\n"
    with spark.module(lambda text: text + another):
        run = spark.again(ds)
        ended = spark.ended(run)
        number = ended["try_number"]
        assert ended["state"] == "failed"
    assert (
        "spark_jobs/features/flights.py build: the code here is not that of the plan. "
        "What to do: build the image of Spark's pods anew, and give it to the nodes; "
        "if code has just changed, clear the task."
    ) in spark.log(run, number)
    for driver in spark.pods("driver"):
        spark.api.delete_namespaced_pod(driver["metadata"]["name"], NAMESPACE)
    spark.gone()


@pytest.mark.parametrize(
    ("role", "change", "words"),
    [
        (
            "driver",
            {"image": "registry.invalid/nightshift-spark:1"},
            r"pod \S+-driver: its image cannot be had: .*registry\.invalid.* "
            r"What to do: correct NIGHTSHIFT_SPARK_IMAGE, or give the nodes the image \(docs/kubernetes\.md\)\.",
        ),
        (
            "driver",
            {"nodeSelector": NO_NODE},
            r"pod \S+-driver: no node takes it: 0/1 nodes are available: .*selector.* "
            r"What to do: free or add nodes, or lower features\.spark\.cores and features\.spark\.memory\.",
        ),
        (
            "executor",
            {"nodeSelector": NO_NODE},
            r"pod \S+-exec-1: no node takes it: 0/1 nodes are available: .*selector.* "
            r"What to do: free or add nodes, or lower features\.spark\.cores and features\.spark\.memory\.",
        ),
    ],
)
def test_pods_that_cannot_begin_fail_the_try_in_time(spark: Spark, role: str, change: Any, words: str) -> None:
    with spark.template(role, **change), spark.asking(start="10s"):
        run = spark.again(DAYS[5])
        number = spark.instance(run)["try_number"]
        ended = spark.ended(run, seconds=90)
        assert ended["state"] == "up_for_retry"
        assert re.search(words, spark.log(run, max(number, 1)))
        spark.stop(run)
    spark.gone()


def test_a_quota_that_is_used_up_is_told_with_the_clusters_words(spark: Spark) -> None:
    quota = client.V1ResourceQuota(
        metadata=client.V1ObjectMeta(name="none"), spec=client.V1ResourceQuotaSpec(hard={"pods": "0"})
    )
    spark.api.create_namespaced_resource_quota(NAMESPACE, quota)
    try:
        until(lambda: spark.api.read_namespaced_resource_quota("none", NAMESPACE).status.hard)
        run = spark.again(DAYS[5])
        number = spark.instance(run)["try_number"]
        assert spark.ended(run)["state"] == "up_for_retry"
        said = spark.log(run, max(number, 1))
        assert re.search(
            r"no driver could be made: pods .* is forbidden: exceeded quota: none, requested: pods=1", said
        )
        spark.stop(run)
    finally:
        spark.api.delete_namespaced_resource_quota("none", NAMESPACE)
    spark.gone()
