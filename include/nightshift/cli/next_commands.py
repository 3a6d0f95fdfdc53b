"""The commands that an operator types next, the first one first."""

from collections.abc import Iterator
from datetime import date, timedelta

from nightshift.cli.first_failure import Failure
from nightshift.cli.night_run import NightRun
from nightshift.freshness.nights import Night
from nightshift.inputs.waive import why_not_waived
from nightshift.plan import RETRAIN_SUFFIX
from nightshift.run_state import RunState
from nightshift.specs.model import Pipeline
from nightshift.steps import STEPS

DONE = (RunState.OK, RunState.OK_WITH_WARNINGS, RunState.SKIPPED)


def next_commands(
    pipeline: Pipeline,
    dag: str,
    ds: date,
    state: RunState,
    airflow: NightRun,
    failure: Failure | None,
    night: Night | None,
    *,
    damaged: bool,
) -> Iterator[str]:
    """The commands for a night in this state; none where it is done and a run would find nothing to do."""
    if damaged:
        yield f"nightshift repair {pipeline.name}"
    yield from _waivers(pipeline, failure)
    if night and night.predictions.state == "refused":
        yield f"{retrain_command(pipeline, ds - timedelta(days=1))}   (first: the champion would be refused again)"
    option = " --retrain" if dag != pipeline.name else ""
    again = f"nightshift backfill {pipeline.name} {ds} {ds}{option}"
    if state == RunState.PAUSED:
        yield f"airflow dags unpause {dag}"
    elif airflow.unfinished:
        yield f"{again} --watch"
    elif state in DONE:
        if state == RunState.OK_WITH_WARNINGS and night and night.inputs.state == "stale":
            yield f"{again}   (what has landed since is published, and the day scored with it)"
    elif failure is None:
        yield from () if airflow.run else ("nightshift status",)
        yield again
    else:
        if failure.step == "plan_scoring":
            yield f"nightshift champions {pipeline.name}"
        first = STEPS[failure.step].doc if failure.step in STEPS else failure.step
        yield f"{again}   (once it is corrected: {failure.step}, {first[0].lower()}{first[1:]})"


def retrain_command(pipeline: Pipeline, as_of: date) -> str:
    """The command that retrains as of a day: where a person must approve, what asks one and knows who ordered it."""
    if pipeline.promotion.needs_person:
        return f"in Airflow: Trigger of {pipeline.name}{RETRAIN_SUFFIX} with business_date {as_of}"
    return f"nightshift retrain {pipeline.name} --as-of {as_of}"


def _waivers(pipeline: Pipeline, failure: Failure | None) -> Iterator[str]:
    """The command that goes on without a delivery, for each source that the failure lacks and that may be waived."""
    for name in pipeline.inputs if failure else ():
        if failure and f"source {name} lacks " in failure.message and why_not_waived(pipeline, name) is None:
            command = f"nightshift waive {pipeline.name} {name} --ds DAY --reason WHY"
            yield f"{command}   (only if the delivery will never come)"
