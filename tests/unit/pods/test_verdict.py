"""What a pod's document says of its end; the documents are what a real API server gave, cut down."""

from typing import Any

import pytest

from nightshift.errors import ModelMismatch, NightshiftError
from nightshift.pods.verdict import failure, killed_for_memory


def pod(status: dict[str, Any], state: dict[str, Any] | None = None, **metadata: str) -> dict[str, Any]:
    limits = {"limits": {"memory": "512Mi"}}
    found = {"name": "score", "state": state or {}}
    return {
        "metadata": {"name": "p", **metadata},
        "spec": {"activeDeadlineSeconds": 90, "containers": [{"name": "score", "resources": limits}]},
        "status": {**status, "containerStatuses": [{"name": "sidecar", "state": {"running": {}}}, found]},
    }


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


FAILED = {"phase": "Failed"}
UNSCHEDULED = {
    "phase": "Pending",
    "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
    }],
}  # fmt: skip
AGAIN = "What to do: nothing: the next try starts anew."


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, f"pod p: it is gone: it was deleted before it had ended. {AGAIN}"),
        (
            pod(FAILED, ended(137, "OOMKilled")),
            "pod p: it was killed for memory: it used more than its 512Mi. What to do: nothing: the next try gets more,"
            " up to scoring.pod.memory_ceiling; or raise scoring.memory.",
        ),
        (
            pod({"phase": "Failed", "reason": "DeadlineExceeded"}, ended(143)),
            "pod p: it took longer than its deadline of 90 s. "
            "What to do: raise scoring.deadline, or lower scoring.rows_per_shard.",
        ),
        (
            pod({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory. "}),
            f"pod p: the cluster took it away: The node was low on resource: memory. {AGAIN}",
        ),
        (pod({"phase": "Failed", "reason": "Preempting"}), f"pod p: the cluster took it away: Preempting. {AGAIN}"),
        (
            pod({"phase": "Pending"}, {"waiting": {"reason": "ErrImagePull", "message": "failed to\n resolve x:1"}}),
            "pod p: its image cannot be had: failed to resolve x:1. What to do: correct NIGHTSHIFT_SCORING_IMAGE, "
            "or give the nodes the image (docs/kubernetes.md).",
        ),
        (
            pod({"phase": "Pending"}, {"waiting": {"reason": "CreateContainerConfigError", "message": "no secret x"}}),
            "pod p: it cannot start: CreateContainerConfigError: no secret x. "
            "What to do: correct the pod template, or the spec's scoring.pod.",
        ),
        (
            {**pod(UNSCHEDULED), "status": UNSCHEDULED},
            "pod p: no node takes it: 0/1 nodes are available: 1 Insufficient cpu. "
            "What to do: free or add nodes, or lower scoring.cpu and scoring.memory.",
        ),
        (
            pod(FAILED, ended(1, message="Traceback\n  File\nValueError: x\n\n")),
            "pod p: its process ended with status 1: ValueError: x. "
            "What to do: read the task's log and the pod's events.",
        ),
        (
            pod(FAILED, ended(2)),
            "pod p: its process ended with status 2, without a word. "
            "What to do: read the task's log and the pod's events.",
        ),
        (pod(FAILED, ended(143)), f"pod p: it was stopped from outside. {AGAIN}"),
        (
            pod({"phase": "Running"}, {"running": {}}, deletionTimestamp="2024-02-05T02:00:00Z"),
            f"pod p: it was deleted while it ran. {AGAIN}",
        ),
        (
            pod({"phase": "Running"}, {"running": {}}),
            "pod p: its phase is Running, nothing says why. What to do: look at its events.",
        ),
        (
            pod({"phase": "Pending"}, {"waiting": {"reason": "ContainerCreating"}}),
            "pod p: its phase is Pending, nothing says why. What to do: look at its events.",
        ),
    ],
)
def test_every_end_has_its_words(document: dict[str, Any] | None, message: str) -> None:
    error = failure("p", document)
    assert type(error) is NightshiftError
    assert error.retryable
    assert str(error) == message


def test_what_the_process_named_is_that_error() -> None:
    error = failure("p", pod(FAILED, ended(3, message="shard 0: 5 rows\nModelMismatch: the columns differ. Do x.\n")))
    assert type(error) is ModelMismatch
    assert "the columns differ" in str(error)


def test_only_a_kill_for_memory_counts_as_one() -> None:
    assert killed_for_memory(pod(FAILED, ended(137, "OOMKilled")))
    assert not killed_for_memory(pod(FAILED, ended(137)))
    assert killed_for_memory(pod(FAILED, ended(137, "OOMKilled")), least=512)
    assert not killed_for_memory(pod(FAILED, ended(137, "OOMKilled")), least=1024), "the spec has left that size behind"
    assert not killed_for_memory({"metadata": {}, "spec": {}, "status": {}})
