"""A shard in a pod through Airflow, by the API server alone, as a process; many pods at once; shards of a large day.

Asked for by name: it needs a cluster with the scoring image, whose node mounts folders of this machine.
"""

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil

from benchmarks.figures import Figure, Result, Table, Target
from benchmarks.measure import python, take_turns
from benchmarks.session import Session
from nightshift.commands import ScoreCommand
from nightshift.errors import NightshiftError
from nightshift.pods.pod import scoring_pod
from nightshift.scoring.plan import read_plan, result_uri
from nightshift.settings import Settings
from nightshift.specs.scoring import Scoring, mebibytes
from tests.faults.breaking import scheduler
from tests.kubernetes.conftest import NAMESPACE, Cluster, Pods, opened_cluster, pods_platform, template_for
from tests.nights import NAME, NIGHTS
from tests.waiting import until

# What Airflow may take beside the pod itself, in seconds.
_ALLOWED = 1.0
_LOOK_EVERY = 0.05
# Pods at once.
_MOST = 32
_COUNTED = re.compile(r"^apiserver_request_total{([^}]*)} (\S+)$", re.MULTILINE)
_RESOURCES = ('resource="pods"', 'resource="events"')


def run(session: Session) -> Result:
    """Two figures in wall seconds; tables of many pods at once, of the shards of a large day, and of images."""
    if "KUBECONFIG" not in os.environ:
        raise NightshiftError("KUBECONFIG names no cluster", do="docs/kubernetes.md says how to make one for tests")
    with opened_cluster() as cluster:
        large = _large_day(session, cluster)
        folder = session.folder / "pods"
        folder.mkdir()
        with pods_platform(cluster, folder, PARALLELISM=str(_MOST)) as pods:
            figures = _one_shard(session, pods)
            many = _many(session, pods)
        return Result(figures, (many, large, _images(cluster)))


def _one_shard(session: Session, pods: Pods) -> tuple[Figure, Figure]:
    ds = NIGHTS[0]
    begun = pods.begin(ds)
    pods.end(ds)
    plans = Path(pods.nights.settings.lake, NAME, "predictions", "_plans", f"ds={ds}")
    [plan] = [str(found) for found in plans.glob("*/plan.json")]

    def through_airflow() -> float:
        Path(result_uri(plan, 0)).unlink()
        body = {"dry_run": False, "dag_run_id": begun.run_id, "task_ids": ["score"], "only_failed": False}
        pods.nights.live.api(f"/api/v2/dags/{NAME}/clearTaskInstances", "POST", body)
        pods.end(ds)
        [task] = [item for item in pods.nights.instances(begun, "score") if item["map_index"] == 0]
        return _between(task["end_date"], task["queued_when"])

    def by_the_api() -> float:
        Path(result_uri(plan, 0)).unlink()
        return _in_pods(pods.cluster, plan, Scoring())

    def as_a_process() -> float:
        Path(result_uri(plan, 0)).unlink()
        return python("-m", ScoreCommand.module, *ScoreCommand(plan, 0).argv()).wall

    repeats, warm = session.pick(7, 1), not session.quick
    ours, theirs = take_turns(through_airflow, by_the_api, repeats, session.say, warm=warm)
    pod, process = take_turns(by_the_api, as_a_process, repeats, session.say, warm=warm)
    return (
        Figure(
            name="a small shard in a pod through Airflow, less one second",
            unit="wall s",
            samples=tuple(round(one - _ALLOWED, 3) for one in ours),
            peer="the same pod by the API server alone",
            peer_samples=tuple(theirs),
            target=Target("at most", 1.5),
        ),
        Figure(
            name="a small shard in a pod, by the API server alone",
            unit="wall s",
            samples=tuple(pod),
            peer="the process alone",
            peer_samples=tuple(process),
        ),
    )


def _in_pods(cluster: Cluster, plan: str, scoring: Scoring) -> float:
    """Seconds until every shard of a plan was scored by pods that nobody but us made, and watches."""
    template, image = template_for(cluster.folder), Settings.from_env().scoring_image
    names = [f"alone-{time.monotonic_ns()}-{shard.number}" for shard in read_plan(plan).shards]
    began = time.monotonic()
    for number, name in enumerate(names):
        pod = scoring_pod(template, image, scoring, ScoreCommand(plan, number), mebibytes(scoring.memory))
        pod["metadata"]["name"] = name
        cluster.api.create_namespaced_pod(NAMESPACE, pod)
    for name in names:
        until(lambda name=name: _ended(cluster, name), seconds=900, pause=_LOOK_EVERY)  # type: ignore[misc]
    took = time.monotonic() - began
    for name in names:
        cluster.delete(name)
    return round(took, 3)


def _ended(cluster: Cluster, name: str) -> bool:
    phase = cluster.api.read_namespaced_pod(name, NAMESPACE).status.phase
    if phase == "Failed":
        raise RuntimeError(f"pod {name} failed: {cluster.api.read_namespaced_pod_log(name, NAMESPACE)[-2000:]}")
    return bool(phase == "Succeeded")


def _many(session: Session, pods: Pods) -> Table:
    """The shards of one day, as many as the row says, by Airflow; and what they cost besides."""
    rows = []
    for ds, wanted in zip(NIGHTS[1:], ((1, 4) if session.quick else (1, 8, _MOST)), strict=False):
        session.say(f"{wanted} shards")
        with pods.asking(rows_per_shard=96 // wanted, cpu=0.1), _watched(pods) as most:
            before = _calls(pods.cluster)
            run = pods.begin(ds)
            pods.end(ds)
            calls = _calls(pods.cluster) - before
        tasks = pods.nights.instances(run, "score")
        took = _between(max(item["end_date"] for item in tasks), min(item["queued_when"] for item in tasks))
        mean, asked, megabytes = took / len(tasks), round(calls / len(tasks)), round(most["scheduler"] / 1e6)
        rows.append((len(tasks), most["pods"], took, mean, asked, megabytes))
    heads = ("shards", "most pods at once", "wall s", "a shard", "calls a shard", "scheduler and its tasks, MB")
    return Table("A day's shards in pods through Airflow", heads, tuple(rows))


def _calls(cluster: Cluster) -> float:
    """How often anybody has asked the API server for pods or events: Airflow, the scheduler of pods, the kubelet."""
    answer = cluster.api.api_client.call_api(
        "/metrics", "GET", auth_settings=["BearerToken"], _return_http_data_only=True, _preload_content=False
    )
    found = _COUNTED.findall(answer.data.decode())
    return sum(float(count) for labels, count in found if any(resource in labels for resource in _RESOURCES))


@contextmanager
def _watched(pods: Pods) -> Iterator[dict[str, int]]:
    """The most pods that ran at once, and the most memory (PSS, bytes) of the scheduler and its children."""
    most = {"pods": 0, "scheduler": 0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1):
            running = [pod for pod in pods.cluster.pods() if pod.status.phase == "Running"]
            most["pods"] = max(most["pods"], len(running))
            most["scheduler"] = max(most["scheduler"], _memory(scheduler(pods.nights.settings)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def _memory(process: psutil.Process) -> int:
    """Of a process and all below it, in bytes; what they share counts once."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            total += one.memory_full_info().pss
    return total


def _large_day(session: Session, cluster: Cluster) -> Table:
    """The same rows by one to eight pods of one thread each, all at once."""
    files, rows = 8, session.pick(1_250_000, 2_500)
    made = []
    for shards in (1, 2, 4, 8):
        session.say(f"{files * rows:,} rows in {shards} shards")
        folder = cluster.folder / f"wide-{shards}"
        argv = ("-m", "benchmarks.wide_model", folder, str(files), str(rows), str(shards))
        took = _in_pods(cluster, python(*argv).output.strip(), Scoring(cpu=0.1, memory="512Mi", deadline="30m"))
        shutil.rmtree(folder)
        made.append((shards, files * rows // shards, took, round(files * rows / took)))
    heads = ("shards", "rows a shard", "wall s", "rows per s")
    return Table(f"{files * rows:,} rows in pods of 512 MiB, all at once", heads, tuple(made))


def _images(cluster: Cluster) -> Table:
    """The project's images that a node has."""
    [node, *_] = cluster.api.list_node().items
    found = {name: round(image.size_bytes / 1e6) for image in node.status.images or () for name in image.names or ()}
    rows = sorted((name, size) for name, size in found.items() if "/nightshift-" in name and "@" not in name)
    return Table("Images, as the node counts them", ("image", "MB"), tuple(rows))


def _between(later: str, earlier: str) -> float:
    return round((datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds(), 3)
