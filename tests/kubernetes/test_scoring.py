"""A night whose shards are scored by pods."""

from kubernetes import client

from nightshift.pods.kinds import SCORING
from nightshift.pods.pod import RUN_ID
from tests.kubernetes.conftest import NAMESPACE, Pods
from tests.nights import NAME, NIGHTS, Reader
from tests.waiting import until


def test_a_night_is_scored_by_a_pod_that_goes_when_it_is_done(pods: Pods, reader: Reader) -> None:
    with pods.slow("import time; time.sleep(8)") as pod, pods.asking(pod=pod):
        begun = pods.begin(NIGHTS[0])
        made = pods.now(begun)
        run = pods.end(NIGHTS[0])
    pods.assert_good(run, tries=1)
    assert pods.of(run) == []

    labels = {name.removeprefix("nightshift/"): text for name, text in made.metadata.labels.items()}
    assert {"pipeline": NAME, "ds": run.ds, "shard": "0", "attempt": "1"}.items() <= labels.items()
    [container] = made.spec.containers
    assert container.name == SCORING.container
    assert container.resources.limits == {"memory": "1Gi"}
    assert made.spec.active_deadline_seconds == 300
    assert made.spec.automount_service_account_token is False

    log = pods.log(run)
    assert "96 rows scored in" in log
    assert "PYTHONPATH" not in log, "no environment in the log"


def test_several_shards_are_several_pods(pods: Pods, reader: Reader) -> None:
    with pods.asking(rows_per_shard=30):
        run = pods.begin(NIGHTS[1])
        run = pods.end(NIGHTS[1])
    assert run.state == "success"
    assert len(pods.nights.instances(run, "score")) == 4
    pods.nights.assert_undisturbed([NIGHTS[1]])


def test_a_day_that_is_published_makes_no_pod(pods: Pods, reader: Reader) -> None:
    pods.begin(NIGHTS[2])
    first = pods.end(NIGHTS[2])
    assert first.state == "success"
    with pods.slow("raise SystemExit('no pod was to be made')") as pod, pods.asking(pod=pod):
        pods.nights.backfill([NIGHTS[2]])
        again = pods.end(NIGHTS[2])
    pods.assert_good(again, tries=2)
    assert "Building pod" not in pods.log(again, 2)


def test_a_pod_that_takes_long_is_waited_for_without_a_worker(pods: Pods, reader: Reader) -> None:
    """By so small a share of a processor the shard is expected to take more than a minute."""
    with pods.slow("import time; time.sleep(45)") as pod, pods.asking(cpu=0.00001, pod=pod):
        begun = pods.begin(NIGHTS[14])
        until(lambda: pods.states(begun) == ["deferred"])
        run = pods.end(NIGHTS[14])
    pods.assert_good(run, tries=1)
    assert "96 rows scored in" in pods.log(run)
    assert pods.of(run) == []


def test_maintenance_asks_for_the_runs_of_pods_and_leaves_young_ones(pods: Pods) -> None:
    """What it deletes is ten minutes old at least: that is tested with documents of pods."""
    spec = client.V1PodSpec(
        restart_policy="Never",
        containers=[client.V1Container(name=SCORING.container, image=pods.nights.settings.scoring_image)],
    )
    metadata = client.V1ObjectMeta(
        name="orphan",
        labels={"app.kubernetes.io/part-of": "nightshift"},
        annotations={RUN_ID: f"{NAME} manual__of_no_run"},
    )
    spec.node_selector = {"no": "such-node"}
    pods.cluster.api.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=metadata, spec=spec))
    try:
        made = pods.nights.live.api("/api/v2/dags/maintenance/dagRuns", "POST", {"logical_date": None})
        path = f"/api/v2/dags/maintenance/dagRuns/{made['dag_run_id']}"
        until(lambda: pods.nights.live.api(path)["state"] in ("success", "failed"))
        assert pods.nights.live.api(path)["state"] == "success"
        assert pods.cluster.pods("app.kubernetes.io/part-of=nightshift")
    finally:
        pods.cluster.delete("orphan")
