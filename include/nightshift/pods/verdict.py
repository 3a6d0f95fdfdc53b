"""Why a pod ended, or never began, from its document as the API server gives it."""

from collections.abc import Mapping
from typing import Any

from nightshift.errors import NightshiftError, said
from nightshift.pods.kinds import SCORING, Kind
from nightshift.specs.scoring import mebibytes

_FORESEEN = 3  # the exit status of `score` for an error that it names
_SIGNALS = (137, 143)
_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_STARTING = ("ContainerCreating", "PodInitializing")
_TAKEN = ("Evicted", "Preempting", "NodeLost", "NodeShutdown", "Shutdown", "Terminated")
_AGAIN = "nothing: the next try starts anew"

Document = Mapping[str, Any]
Why = tuple[str, str]
"""What happened, and what to do."""


def failure(name: str, pod: Document | None, kind: Kind = SCORING) -> NightshiftError:
    """The error that a pod's end is, to be raised by its task; ``pod`` is None for one that is gone.

    What the process itself named keeps its kind: a ModelMismatch in a pod is one in the task.
    """
    if pod is None:
        return NightshiftError("it is gone: it was deleted before it had ended", where=f"pod {name}", do=_AGAIN)
    if words := _named(pod, kind):
        return said(words)
    for find in (_memory, _deadline, _taken_away, _not_started, _no_node, _process, _deleted):
        if why := find(pod, kind):
            return NightshiftError(why[0], where=f"pod {name}", do=why[1])
    phase = _status(pod).get("phase", "unknown")
    return NightshiftError(f"its phase is {phase}, nothing says why", where=f"pod {name}", do="look at its events")


def killed_for_memory(pod: Document, least: int = 0) -> bool:
    """Return whether a pod was killed for using more memory than it may, which was ``least`` mebibytes or more."""
    return _killed(pod, SCORING) and mebibytes(_limit(pod, SCORING)) >= least


def _killed(pod: Document, kind: Kind) -> bool:
    return _state(pod, kind, "terminated").get("reason") == "OOMKilled"


def _named(pod: Document, kind: Kind) -> str:
    return _last_line(pod, kind) if _state(pod, kind, "terminated").get("exitCode") == _FORESEEN else ""


def _memory(pod: Document, kind: Kind) -> Why | None:
    if not _killed(pod, kind):
        return None
    return f"it was killed for memory: it used more than its {_limit(pod, kind)}", kind.more_memory


def _deadline(pod: Document, kind: Kind) -> Why | None:
    if _status(pod).get("reason") != "DeadlineExceeded":
        return None
    took = f"it took longer than its deadline of {pod['spec'].get('activeDeadlineSeconds')} s"
    return took, kind.more_time


def _taken_away(pod: Document, kind: Kind) -> Why | None:
    status = _status(pod)
    if status.get("reason") not in _TAKEN:
        return None
    return f"the cluster took it away: {_plain(status.get('message')) or status['reason']}", _AGAIN


def _not_started(pod: Document, kind: Kind) -> Why | None:
    waiting = _state(pod, kind, "waiting")
    reason, words = waiting.get("reason"), _plain(waiting.get("message"))
    if reason is None or reason in _STARTING:
        return None
    if reason in _IMAGE:
        do = f"correct {kind.image}, or give the nodes the image (docs/kubernetes.md)"
        return f"its image cannot be had: {words or reason}", do
    return f"it cannot start: {reason}: {words}", f"correct the pod template, or the spec's {kind.ask}"


def _no_node(pod: Document, kind: Kind) -> Why | None:
    for condition in _status(pod).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            words = _plain(condition.get("message")) or condition.get("reason")
            return f"no node takes it: {words}", f"free or add nodes, or {kind.more_room}"
    return None


def _process(pod: Document, kind: Kind) -> Why | None:
    status = _state(pod, kind, "terminated").get("exitCode")
    if status is None or status in _SIGNALS:
        return ("it was stopped from outside", _AGAIN) if status else None
    last = _last_line(pod, kind)
    what = f"its process ended with status {status}{f': {last}' if last else ', without a word'}"
    return what, "read the task's log and the pod's events"


def _deleted(pod: Document, kind: Kind) -> Why | None:
    return ("it was deleted while it ran", _AGAIN) if pod["metadata"].get("deletionTimestamp") else None


def _status(pod: Document) -> Document:
    return pod.get("status") or {}


def _limit(pod: Document, kind: Kind) -> str:
    """How much memory the container may use."""
    container = next(found for found in pod["spec"]["containers"] if found["name"] == kind.container)
    return str(container["resources"]["limits"]["memory"])


def _state(pod: Document, kind: Kind, state: str) -> Document:
    """The container's state of that name; empty where it is in another."""
    for found in _status(pod).get("containerStatuses") or ():
        if found["name"] == kind.container:
            return (found.get("state") or {}).get(state) or {}
    return {}


def _last_line(pod: Document, kind: Kind) -> str:
    lines = str(_state(pod, kind, "terminated").get("message") or "").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _plain(text: Any) -> str:
    return " ".join(str(text or "").split())
