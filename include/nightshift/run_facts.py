"""What is known of a run, and the state that follows: one rule for the command line, pages, notes and JSON. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from nightshift.run_state import RunState

LAST_STEPS = ("monitor", "promote")
"""The step that a night, or a retrain, ends with."""

WINDOW = "approval"
"""The task of a retrain that waits for a person, before its last step. It is no step: only Airflow can open one."""

UNFINISHED = ("queued", "running")
"""Airflow's states of a run that goes on."""

LOOKS_AGAIN = ("up_for_reschedule", "deferred", "awaiting_input")
"""Airflow's states of a task that holds no slot: it looks again later, or a person answers it."""

OPEN = ("running", "restarting", "scheduled", "queued", "up_for_retry", *LOOKS_AGAIN)
"""Airflow's states of a task that has begun, or will without any other one."""


@dataclass(frozen=True)
class RunFacts:
    """What is known of the run of a night or of a retrain.

    ``airflow`` is Airflow's own state of it (``queued``, ``running``, ``success``, ``failed``), empty where it has no
    run or does not answer. ``paused``: its DAG is. ``waits``: of its tasks none is at work, and one looks again later.
    ``begun``, ``ended``: a step has said something, the last one has. ``failed``: the last word of a step is a failure.
    ``warned``: a step, a gate or a published day has a warning, a shortfall or a tolerated lack among them.
    ``published`` says whether readers have the day's predictions, None where that was not looked at, as of retrains.
    ``damaged``: another program changed what they read. ``outside``: the day is not in the spec's range.
    """

    airflow: str = ""
    paused: bool = False
    waits: bool = False
    begun: bool = False
    ended: bool = False
    failed: bool = False
    warned: bool = False
    published: bool | None = None
    damaged: bool = False
    outside: bool = False

    @classmethod
    def of(
        cls, said: Sequence[Mapping[str, Any]], *, warned: bool = False, outside: bool = False, **known: Any
    ) -> Self:
        """Return the facts of what the steps of a run said (``runs.read_run``), with what else is known.

        A training set that was refused is a warning; ``gate_features`` that found nothing to do is a day outside.
        """
        status = {str(step["step"]): str(step["status"]) for step in said}
        return cls(
            begun=bool(said),
            ended=any(name in status for name in LAST_STEPS),
            failed="failed" in status.values(),
            warned=warned or status.get("training_set") == "nothing" or any(map(_warns, said)),
            outside=outside or status.get("gate_features") == "nothing",
            **known,
        )

    @property
    def state(self) -> RunState:
        """The one state that these facts have."""
        if self.airflow in UNFINISHED:
            return self._unfinished()
        if self.airflow == "failed":
            return RunState.FAILED
        if not (self.airflow or self.begun or self.published):
            return self._not_begun()
        return self._over()

    def _unfinished(self) -> RunState:
        if self.paused:
            return RunState.PAUSED
        return RunState.WAITING if self.waits or self.airflow == "queued" else RunState.RUNNING

    def _not_begun(self) -> RunState:
        if self.outside:
            return RunState.SKIPPED
        return RunState.PAUSED if self.paused else RunState.WAITING

    def _over(self) -> RunState:
        """The state of a run that Airflow calls a success, or does not know: what is written down decides."""
        if self.damaged:
            return RunState.FAILED
        if self.failed:  # Airflow calls it a success where somebody marked it as one
            return RunState.OK_WITH_WARNINGS if self.airflow and self.published else RunState.FAILED
        if self.outside:
            return RunState.OK_WITH_WARNINGS if self.warned else RunState.SKIPPED
        if self.published is False:
            return RunState.FAILED if self.airflow or self.ended else RunState.RUNNING
        if not (self.airflow or self.ended or self.published):
            return RunState.RUNNING
        return RunState.OK_WITH_WARNINGS if self.warned else RunState.OK


def _warns(step: Mapping[str, Any]) -> bool:
    return bool(step.get("warnings") or step.get("counts", {}).get("warnings"))
