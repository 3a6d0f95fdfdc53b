"""Which pods nobody waits for any more."""

from collections.abc import Callable
from datetime import datetime, timedelta

from nightshift.pods.pod import PART_OF, RUN_ID
from nightshift.pods.verdict import Document

KEEP_ENDED = timedelta(days=3)
"""How long pods that ended stay, for people to look at."""
YOUNG = timedelta(minutes=10)
"""A younger pod is left alone: its run may be about to be told of."""

SELECTOR = f"{PART_OF}=nightshift"


def why_reaped(pod: Document, now: datetime, goes_on: Callable[[str, str], bool]) -> str | None:
    """Why a pod is to be deleted; None where it stays. ``goes_on(dag, run_id)``: whether that run is not over."""
    metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
    age = now - datetime.fromisoformat(metadata["creationTimestamp"])
    if phase in ("Succeeded", "Failed"):
        return f"it ended, and is {age.days} days old" if age > KEEP_ENDED else None
    run = (metadata.get("annotations") or {}).get(RUN_ID, "")
    dag, _, run_id = run.partition(" ")
    if not run_id or goes_on(dag, run_id) or age < YOUNG:
        return None
    return f"its run {run_id} of {dag} is over or gone"
