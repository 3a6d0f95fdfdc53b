"""What is to be said of a run that has ended. Pure: from Airflow's word of it and what its steps said."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightshift.notices.trouble import Trouble, first_line
from nightshift.run_facts import RunFacts
from nightshift.run_state import RunState
from nightshift.specs.model import Pipeline
from nightshift.specs.notify import Event

# The step that a retrain was decided by, the last one that decided first.
_DECIDED = ("promote", "decide", "training_set")


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended: ``airflow`` is success or failed, ``tasks`` those that failed, in the order of their ends.

    ``published`` and ``damaged`` are of the day's predictions, None and False where that was not looked at.
    """

    dag: str
    ds: str
    airflow: str
    by_schedule: bool
    said: Sequence[Mapping[str, Any]]
    tasks: Sequence[str] = ()
    published: bool | None = None
    damaged: bool = False
    outside: bool = False
    link: str = ""


def trouble_of(pipeline: Pipeline, run: EndedRun) -> Trouble | None:
    """The trouble of a run; None where it is plainly well, or had nothing to do."""
    facts = RunFacts.of(
        run.said, airflow=run.airflow, published=run.published, damaged=run.damaged, outside=run.outside
    )
    events, cause = _events(facts.state, run)
    if not events:
        return None
    option = " --retrain" if run.dag != pipeline.name else ""
    return Trouble(
        events=events,
        state=facts.state,
        pipeline=pipeline.name,
        dag=run.dag,
        ds=run.ds,
        cause=first_line(cause),
        next=f"nightshift diagnose {pipeline.name} --ds {run.ds}{option}",
        link=run.link,
        night=run.ds if run.by_schedule else "",
        owner=pipeline.owner,
    )


def _events(state: RunState, run: EndedRun) -> tuple[tuple[Event, ...], str]:
    if state == RunState.FAILED:
        step, cause = _first_failure(run)
        return (("FAILED", "blocked") if step.startswith("gate_") else ("FAILED",)), cause
    events: list[Event] = []
    causes = []
    if refusal := _refusal(run.said):
        events.append("refused retrain")
        causes.append(refusal)
    if state == RunState.OK_WITH_WARNINGS:
        events.append("OK with warnings")
        if refused := [line for step in run.said for line in _refused(step)]:
            events.append("blocked")
        warnings = [f"{step['step']}: {line}" for step in run.said for line in step.get("warnings") or ()]
        causes += [*refused, *warnings] or [_counted(run.said)]
    return tuple(events), causes[0] if causes else ""


def _first_failure(run: EndedRun) -> tuple[str, str]:
    """The step that failed first, and what it said."""
    said = {str(step["step"]): str(step["message"]) for step in run.said if step["status"] == "failed"}
    step = next(iter([*run.tasks, *said]), "")
    if step:
        return step, f"{step}: {first_line(said.get(step, 'it ended without a word; its log has more'))}"
    if run.damaged:
        return "", "another program changed what is published"
    return "", "the run has ended, and no predictions are published"


def _refused(step: Mapping[str, Any]) -> Iterator[str]:
    """What a step went on without, since a gate had refused it."""
    names = step.get("names", {})
    if refused := names.get("refused"):
        without = f"; the night does without {names['without']}" if "without" in names else ""
        yield f"{step['step']}: a gate refused {refused}{without}"


def _refusal(said: Sequence[Mapping[str, Any]]) -> str:
    """Why a retrain promoted nothing, where the rule refused it."""
    steps = {str(step["step"]): step for step in said}
    refused = steps.get("training_set", {}).get("status") == "nothing"
    refused = refused or steps.get("decide", {}).get("counts", {}).get("promote") == 0
    told = next((steps[name] for name in _DECIDED if name in steps), None)
    return f"{told['step']}: {first_line(str(told['message']))}" if refused and told else ""


def _counted(said: Sequence[Mapping[str, Any]]) -> str:
    """Of warnings that are counted alone: by which step."""
    names = [str(step["step"]) for step in said if step.get("counts", {}).get("warnings")]
    failed = [str(step["step"]) for step in said if step["status"] == "failed"]
    if failed:
        return f"{failed[0]}: it failed, and the run was marked as a success"
    return f"{names[0]}: its gate has a warning" if names else "something on the way was refused or left out"
