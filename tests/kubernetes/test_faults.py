"""What goes wrong with pods: what the operator of the night sees, and that the day is whole in the end."""

import time
from pathlib import Path

from tests.disks import full
from tests.faults.breaking import kill_program
from tests.kubernetes.conftest import NAMESPACE, Pods, rewrite
from tests.nights import NAME, NIGHTS, Reader
from tests.waiting import until

SLEEP = "import time; time.sleep({})"
SLEEP_AT_THE_END = "import atexit, time; atexit.register(time.sleep, {})"


def test_killed_for_memory_the_next_try_has_more(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[3]
    with pods.asking(memory="32Mi", pod={"memory_factor": 16}):
        begun = pods.begin(ds)
        run = pods.end(ds)
    pods.assert_good(run, tries=2)
    assert "it was killed for memory: it used more than its 32Mi" in pods.log(run, 1)
    assert "the next try gets more" in pods.log(run, 1)
    assert "1 earlier tries were killed for memory: this one has 128 Mi" in pods.log(run, 2)
    [left] = pods.of(begun)
    assert left.status.container_statuses[0].state.terminated.reason == "OOMKilled", "it stays for people to look at"


def test_deleted_in_the_middle(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[4]
    with pods.slow(SLEEP.format(15)) as pod, pods.asking(pod=pod):
        begun = pods.begin(ds)
        pods.cluster.delete(pods.now(begun).metadata.name)
        run = pods.end(ds)
    pods.assert_good(run, tries=2)
    assert "it is gone: it was deleted before it had ended" in pods.log(run, 1)


def test_evicted_in_the_middle(pods: Pods, reader: Reader) -> None:
    """As a kubelet does that needs room: the pod fails, with its reason, and stays."""
    ds = NIGHTS[5]
    with pods.slow("open('/tmp/full', 'wb').write(bytes(200 << 20)); import time; time.sleep(60)") as pod:
        with pods.asking(pod=pod):
            begun = pods.begin(ds)
            until(lambda: [found for found in pods.of(begun) if found.status.reason == "Evicted"], seconds=180)
        run = pods.end(ds)
    pods.assert_good(run, tries=2)
    assert "the cluster took it away: Usage of EmptyDir volume" in pods.log(run, 1)


def test_an_image_that_cannot_be_had(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[6]
    template = pods.nights.settings.pod_template
    before = template.read_text()
    rewrite(template, before.replace("name: score", "name: score\n    image: localhost:1/nothing:1", 1))
    try:
        begun = pods.begin(ds)
        until(lambda: pods.states(begun)[:1] == ["failed"])
    finally:
        rewrite(template, before)
    run = pods.end(ds)
    pods.assert_good(run, tries=2)
    assert pods.tries(run)[0]["duration"] < 30
    assert "its image cannot be had: " in pods.log(run, 1)
    assert "localhost:1/nothing:1" in pods.log(run, 1)
    assert "correct NIGHTSHIFT_SCORING_IMAGE" in pods.log(run, 1)
    assert pods.of(begun) == [], "a pod that never began does not begin later"


def test_no_node_has_room(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[7]
    with pods.asking(cpu=64, pod={"start": "5s"}):
        begun = pods.begin(ds)
        until(lambda: pods.states(begun)[:1] == ["failed"])
    run = pods.end(ds)
    pods.assert_good(run, tries=2)
    assert "no node takes it: 0/" in pods.log(run, 1)
    assert "Insufficient cpu" in pods.log(run, 1)
    assert pods.of(begun) == []


def test_longer_than_its_deadline(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[8]
    with pods.slow(SLEEP.format(60)) as pod, pods.asking(pod=pod, deadline="6s"):
        begun = pods.begin(ds)
        until(lambda: pods.states(begun)[:1] == ["failed"])
    run = pods.end(ds)
    pods.assert_good(run, tries=2)
    assert "it took longer than its deadline of 6 s" in pods.log(run, 1)


def test_the_same_shard_in_two_pods(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[9]
    with pods.slow(SLEEP.format(10)) as pod, pods.asking(pod=pod):
        begun = pods.begin(ds)
        twin = pods.now(begun)
        twin.metadata = type(twin.metadata)(name="twin", labels={"twin": "1"})
        twin.spec.node_name = None
        pods.cluster.api.create_namespaced_pod(NAMESPACE, twin)
        run = pods.end(ds)
    pods.assert_good(run, tries=1)
    until(lambda: pods.cluster.pods("twin=1")[0].status.phase == "Succeeded")
    pods.cluster.delete("twin")
    pods.nights.assert_undisturbed([ds])


def test_a_task_that_is_stopped_takes_its_pod_along(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[10]
    with pods.slow(SLEEP.format(120)) as pod, pods.asking(pod=pod):
        begun = pods.begin(ds)
        pods.now(begun)
        path = f"/api/v2/dags/{NAME}/dagRuns/{begun.run_id}/taskInstances/score/0"
        pods.nights.live.api(path, "PATCH", {"new_state": "failed"})
        until(lambda: not pods.of(begun), seconds=60)
    pods.nights.over([ds])
    pods.nights.clear(begun)
    pods.assert_good(pods.end(ds), tries=2)


def test_the_scheduler_is_killed_while_a_pod_runs(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[11]
    with pods.slow(SLEEP.format(60)) as pod, pods.asking(pod=pod):
        begun = pods.begin(ds)
        made = pods.now(begun).metadata.name
        kill_program(pods.nights.settings, "airflow-scheduler")
        seen = pods.seen_until_over(begun, seconds=400)
        run = pods.end(ds)
    pods.assert_good(run, tries=2)
    assert seen == {made}, "the pod of the first try is followed further"


def test_a_pod_that_succeeded_is_collected_before_it_is_read(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[12]
    with pods.slow(SLEEP_AT_THE_END.format(30)) as pod, pods.asking(pod=pod):
        begun = pods.begin(ds)
        made = pods.now(begun).metadata.name
        plans = Path(pods.nights.settings.lake, NAME, "predictions", "_plans", f"ds={ds}")
        until(lambda: list(plans.glob("*/shard-0.json")), seconds=60)
        pods.cluster.delete(made)
        run = pods.end(ds)
    pods.assert_good(run, tries=1)
    assert "the pod failed or is gone, its result is there" in pods.log(run)


def test_a_model_file_that_was_altered(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[13]
    before = {path: path.read_bytes() for path in Path(pods.nights.settings.models).glob("*.ubj")}
    for path, content in before.items():
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        pods.begin(ds)
        run = pods.end(ds)
    finally:
        for path, content in before.items():
            path.write_bytes(content)
    assert run.state == "failed"
    assert "the file's SHA-256 begins with" in pods.log(run)
    assert "restore the file from the MLflow run" in pods.log(run)
    pods.nights.clear(run)
    assert pods.end(ds).state == "success"
    pods.nights.assert_undisturbed([ds])


def test_the_api_server_is_away_while_a_pod_runs(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[15]
    with pods.slow(SLEEP.format(60)) as pod, pods.asking(pod=pod):
        begun = pods.begin(ds)
        made = pods.now(begun).metadata.name
        pods.line.cut()
        time.sleep(25)
        pods.line.mend()
        seen = pods.seen_until_over(begun, seconds=300)
        run = pods.end(ds)
    assert run.state == "success"
    assert seen == {made}, "the pod is followed further"
    pods.nights.assert_undisturbed([ds])


def test_the_disk_of_the_node_is_full(pods: Pods, reader: Reader) -> None:
    ds = NIGHTS[16]
    with pods.slow(SLEEP.format(10)) as pod, pods.asking(pod=pod):
        begun = pods.begin(ds)
        pods.now(begun)
        with full(Path(pods.nights.settings.lake)):
            until(lambda: pods.states(begun)[:1] == ["failed"])
    run = pods.end(ds)
    pods.assert_good(run, tries=2)
    assert "No space left on device" in pods.log(run, 1)
