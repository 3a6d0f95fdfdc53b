"""``new``, ``land``, ``try``, ``run``, ``retrain``, ``score``: working on a pipeline."""

import logging
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from nightshift.actor import system_account
from nightshift.cli.output import Ds, Json, PipelineName, VerifyLanding, day, emit, progress, table

if TYPE_CHECKING:
    from nightshift.cli.trial import Trial
    from nightshift.errors import NightshiftError
    from nightshift.job import Job, Outcome

log = logging.getLogger("nightshift")


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case words joined by single underscores.")],
    as_json: Json = False,
) -> None:
    """Begin a pipeline: a spec and a feature module.

    Both pass `nightshift check` as they are. No file is ever overwritten.

    Example: nightshift new late_parcels
    """
    from nightshift.settings import Settings
    from nightshift.specs.load import shown
    from nightshift.specs.skeleton import write_skeleton

    spec, module = map(shown, write_skeleton(Settings.from_env(), name))
    steps = [
        f"say in {spec} what lands, when it is known, and what is predicted",
        f"write build() and label() in {module}",
        f"nightshift check {name}",
        f"let the landing files of some weeks arrive, then train: nightshift retrain {name} --as-of DAY",
    ]
    lines = [f"{number}. {step}" for number, step in enumerate(steps, 1)]
    text = "\n".join([f"written: {spec}", f"written: {module}", "", "What to do next:", *lines])
    emit(as_json, {"pipeline": name, "spec": spec, "module": module, "next": steps}, text)


def land(
    pipeline: PipelineName,
    first: Annotated[date, typer.Option("--from", parser=day, metavar="DAY", help="First business date.")],
    last: Annotated[date, typer.Option("--to", parser=day, metavar="DAY", help="Last business date, included.")],
    as_json: Json = False,
) -> None:
    """Drop demo data into landing, as its upstream would.

    Example: nightshift land flights --from 2013-01-01 --to 2013-03-10
    """
    from nightshift.demo import LANDERS
    from nightshift.errors import NightshiftError
    from nightshift.settings import Settings
    from nightshift.specs.load import find_spec
    from nightshift.specs.spelling import nearest

    progress()
    if first > last:
        raise typer.BadParameter(f"--from {first} is after --to {last}")
    if pipeline not in LANDERS:
        find_spec(Settings.from_env(), pipeline)
        raise NightshiftError(
            f"there is no demo data for {pipeline!r}{nearest(pipeline, LANDERS)}",
            allowed=", ".join(sorted(LANDERS)),
            do="let the upstream system write to the landing folder",
        )
    count = LANDERS[pipeline](Settings.from_env(), first, last, log.info)
    document = {"pipeline": pipeline, "from": first, "to": last, "files": count}
    emit(as_json, document, f"landed {pipeline} from {first} to {last}: {count} files written")


def try_(
    pipeline: PipelineName,
    ds: Ds,
    rows: Annotated[int, typer.Option(min=0, help="How many rows of the features to show.")] = 3,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and try again when a spec or a module below spark_jobs changes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Try one day: inputs, features, gates, a score.

    In a lake of its own, on the files that have landed and what is published of them: it publishes nothing, and needs
    no platform. There are scores where the ledger has a champion for that day that goes with the features. Shows
    cells: it is for the person who writes features. With --watch, what takes seconds to start is started once.

    Example: nightshift try flights --ds 2013-03-04 --rows 2
    """
    from nightshift.cli import trial
    from nightshift.settings import Settings

    if watch and as_json:
        raise typer.BadParameter("--watch has more than one document to show: leave out --json")
    _prepare()
    changes = trial.changes(Settings.from_env()) if watch else [()]
    for found, seconds in trial.tries(lambda: _job(pipeline, ds, "try"), rows, changes):
        if watch:
            _tell(found, seconds)
        elif isinstance(found, Exception):
            raise found
        else:
            emit(as_json, found.document(), _shown(found))
            if found.blocked:
                raise typer.Exit(1)


def _tell(found: "Trial | NightshiftError", seconds: float) -> None:
    """One try of many; they are left by Ctrl-C."""
    if isinstance(found, Exception):
        log.error("%s: %s", type(found).__name__, found)
    else:
        emit(False, None, _shown(found))
    log.info("tried in %.1f s; again when a spec or a module below spark_jobs changes, Ctrl-C ends it", seconds)


def _shown(found: "Trial") -> str:
    first = len(found.columns[0].first)
    header = ("column", "type", "nulls", *(f"row {number}" for number in range(1, first + 1)))
    columns = [(item.column, item.type, f"{item.nulls:.1%}", *item.first) for item in found.columns]
    failed = [
        (item.dataset, item.ds, item.gate, item.expectation, item.column, item.rows, item.of) for item in found.failures
    ]
    columns += [("score", "number", "", *found.scores.first)] if found.scores else []
    lines = [*found.steps, "", table(header, columns), ""]
    lines += [table(("dataset", "ds", "gate", "expectation that failed", "column", "rows", "of"), failed)] * bool(
        failed
    )
    lines += ["every expectation holds"] * (not failed)
    lines += [f"blocked: {found.blocked}"] * bool(found.blocked)
    lines += [f"no score: {found.unscored}"] * bool(found.unscored)
    if found.scores:
        quantiles = ", ".join(f"{name} {value:.4g}" for name, value in found.scores.quantiles.items())
        lines.append(f"scores of version {found.scores.version}: {quantiles}")
    return "\n".join(lines)


def run(
    pipeline: PipelineName,
    step: Annotated[str, typer.Argument(metavar="STEP", help="Name of a task of the pipeline's DAGs.")],
    ds: Ds,
    run_id: Annotated[str, typer.Option(help="Steps of one run id find what the steps before them left.")] = "manual",
    as_json: Json = False,
) -> None:
    """Run one step in this shell, as its task would.

    Example: nightshift run flights gate_inputs --ds 2013-03-04
    """
    from nightshift.errors import NightshiftError
    from nightshift.spark_local import run_local
    from nightshift.steps import find_step, run_step

    _prepare()
    job = _job(pipeline, ds, run_id)
    try:
        name = find_step(step).name
    except NightshiftError as error:
        raise typer.BadParameter(str(error)) from None
    outcome = run_step(job, name, run_local)
    emit(as_json, outcome.document(), _line(outcome))


def retrain(
    pipeline: PipelineName,
    as_of: Annotated[date, typer.Option("--as-of", parser=day, metavar="DAY", help="Train on what was known then.")],
    verify_landing: VerifyLanding = False,
    as_json: Json = False,
) -> None:
    """Train a challenger as of a day, and decide.

    A day that is over, before the first live decision, is history rebuilt: the decision takes effect on the day
    after it. Any other decision takes effect on a night that is to come, or is superseded by that of a later day.

    Example: nightshift retrain flights --as-of 2013-03-10
    """
    from nightshift import tonight
    from nightshift.errors import NightshiftError
    from nightshift.spark_local import run_local
    from nightshift.specs.calendar import current_ds
    from nightshift.steps import STEPS, run_step

    _prepare()
    job = _job(pipeline, as_of, f"manual__{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    job = replace(job, verify_landing=verify_landing)
    newest = current_ds(job.pipeline.schedule, datetime.now(UTC))
    if as_of > newest:
        # What is recorded stays in the ledger for ever, a typo as well.
        raise NightshiftError(f"{as_of} has not come yet", where=pipeline, allowed=f"--as-of up to {newest}")
    outcomes = []
    for step in (name for name, found in STEPS.items() if found.dag == "retrain"):
        log.info("%s …", step)
        outcomes.append(run_step(job, step, run_local))
        if not as_json:
            print(_line(outcomes[-1]), flush=True)
    tonight.update(job.settings, job.pipeline)
    if as_json:
        emit(as_json, {"pipeline": pipeline, "as_of": as_of, "steps": [item.document() for item in outcomes]}, "")


def score(
    plan: Annotated[str, typer.Option(help="URI of the plan that plan_scoring wrote.")],
    shard: Annotated[int, typer.Option(help="Number of the shard, from 0.")],
) -> None:
    """Score one shard of a plan, as its pod would.

    Example: nightshift score --plan var/plans/example.json --shard 0
    """
    from nightshift.commands import ScoreCommand
    from nightshift.scoring.__main__ import main

    raise typer.Exit(main(ScoreCommand(plan=plan, shard=shard).argv()))


def _prepare() -> None:
    progress()
    os.umask(0o077)


def _job(name: str, ds: date, run_id: str) -> "Job":
    """A job of this user."""
    from nightshift.job import Job
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    settings = Settings.from_env()
    spec = load_pipeline(settings, name)
    return Job(settings, spec, ds, run_id=run_id, actor=system_account())


def _line(outcome: "Outcome") -> str:
    from nightshift.runs import link_lines

    warnings = "".join(f"\n  warning: {warning}" for warning in outcome.warnings)
    links = "".join(f"\n  {line}" for line in link_lines(outcome.links, "nightshift run … --json names all"))
    return f"{outcome.step} {outcome.ds}: {outcome.message}{warnings}{links}"
