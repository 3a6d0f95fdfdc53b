"""Which days of features and labels are stale, and the plan of the one Spark job that builds them all."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from nightshift import storage
from nightshift.commands import FeaturesCommand
from nightshift.errors import InputMissing, NightshiftError, PartitionDamaged
from nightshift.features.build_plan import BuildPlan, Source, Target
from nightshift.features.rebuilds import ordered
from nightshift.features.recipes import Dataset, Recipes, code_of, order_id
from nightshift.inputs.needs import inside
from nightshift.inputs.run import gate_inputs, gate_windows
from nightshift.job import Job, Outcome
from nightshift.lineage import Manifest, find_staged, recipe_of
from nightshift.registry.waivers import waived
from nightshift.specs.calendar import label_day, training_days
from nightshift.specs.model import Column
from nightshift.tables import TableState, refuse_damaged, state

log = logging.getLogger("nightshift.features")

DATASETS: tuple[Dataset, ...] = ("features", "labels")


@dataclass
class _Survey:
    """What became of each day of one dataset while the plan was made."""

    published: TableState
    days: dict[str, dict[str, str]] = field(default_factory=dict)
    build: dict[str, Manifest] = field(default_factory=dict)
    damaged: dict[str, PartitionDamaged] = field(default_factory=dict)


def plan_features(job: Job) -> tuple[Outcome, FeaturesCommand | None]:
    """Plan the features of ``ds`` and the labels that have become mature, and the same for ``job.also``.

    Nothing is planned for other days unless ``ds`` itself has something to build. Raises InputMissing where the
    features of ``ds`` cannot be built, PartitionDamaged where another program changed those that are up to date.
    """
    own = _wanted_days(job, [job.ds])
    recipes = resolve(job)
    for ds in own["features"]:
        recipes.reads("features", ds)
    surveys = _surveys(job, recipes, own)
    for ds in own["features"]:
        if damage := surveys["features"].damaged.get(ds.isoformat()):
            raise damage
    if job.also and _has_work(surveys):
        ready = [job.ds, *_ready(job)]
        recipes = resolve(job)
        surveys = _surveys(job, recipes, _wanted_days(job, ready))
    return _planned(job, "build_features", recipes, surveys, own)


def plan_window(job: Job) -> tuple[Outcome, FeaturesCommand | None]:
    """Plan every missing or stale day of the training window of an as-of date, features and labels.

    The windows of ``job.also`` are planned with it, unless this one has nothing to build.
    """
    own = _window_days(job, [job.ds])
    recipes = resolve(job)
    surveys = _surveys(job, recipes, own)
    if job.also and _has_work(surveys):
        gate_windows(job, job.also)
        recipes = resolve(job)
        surveys = _surveys(job, recipes, _window_days(job, [job.ds, *job.also]))
    return _planned(job, "build_window", recipes, surveys, own)


def resolve(job: Job) -> Recipes:
    """The recipes on the present state of the sources; each table is looked at once."""
    sources = {name: state(job.table(f"inputs/{name}")) for name in job.pipeline.inputs}
    code = code_of(job.settings.home, job.pipeline)
    rebuilds = ordered(job.settings, job.pipeline)
    return Recipes(job.pipeline, sources, code, waived(job.settings, job.pipeline.name), rebuilds)


def contract(job: Job, dataset: Dataset) -> dict[str, Column]:
    """The columns of a dataset."""
    return job.pipeline.feature_contract if dataset == "features" else job.pipeline.label_contract


def _has_work(surveys: dict[Dataset, _Survey]) -> bool:
    return any(survey.build for survey in surveys.values())


def _window_days(job: Job, as_of_dates: Iterable[date]) -> dict[Dataset, list[date]]:
    """The days of the training windows of these dates."""
    days = sorted({day for as_of in as_of_dates for day in training_days(job.pipeline, as_of)})
    return {"features": days, "labels": days}


def _wanted_days(job: Job, runs: Iterable[date]) -> dict[Dataset, list[date]]:
    """The days that the runs of these dates build: their own features, the labels that become mature with them."""
    pipeline, runs = job.pipeline, sorted(set(runs))
    labels = [label_day(pipeline, ds) for ds in runs]
    return {
        "features": [ds for ds in runs if inside(pipeline, ds)],
        "labels": [ds for ds in labels if inside(pipeline, ds)],
    }


def _ready(job: Job) -> list[date]:
    """The other days whose inputs can be published now; one that cannot says so in its own run."""
    ready = []
    for ds in job.also:
        try:
            gate_inputs(replace(job, ds=ds, also=()))
        except NightshiftError as error:
            log.info("%s is left to its own run: %s", ds, error.what)
        else:
            ready.append(ds)
    return ready


def _surveys(job: Job, recipes: Recipes, days: dict[Dataset, list[date]]) -> dict[Dataset, _Survey]:
    return {dataset: _survey(job, recipes, dataset, days[dataset]) for dataset in DATASETS}


def _survey(job: Job, recipes: Recipes, dataset: Dataset, days: Sequence[date]) -> _Survey:
    survey = _Survey(state(job.table(dataset)))
    for ds in days:
        day = ds.isoformat()
        try:
            reads = recipes.reads(dataset, ds)
        except InputMissing as error:
            survey.days[day] = {"status": "missing", "why": str(error)}
            continue
        rebuild = order_id(recipes.rebuild(dataset, ds))
        fingerprint = recipes.fingerprint(dataset, reads, rebuild)
        if recipe_of(survey.published.fingerprint(day)) == fingerprint:
            survey.days[day] = {"status": "up_to_date", "fingerprint": survey.published.fingerprint(day)}
            continue
        try:
            refuse_damaged(survey.published, day, fingerprint)
        except PartitionDamaged as error:
            survey.damaged[day], survey.days[day] = error, {"status": "missing", "why": str(error)}
            continue
        survey.days[day] = {"status": "staged", "fingerprint": fingerprint}
        if find_staged(job.table(dataset), day, fingerprint) is None:
            survey.build[day] = job.manifest(
                dataset,
                day,
                fingerprint,
                replaces=survey.published.fingerprint(day),
                upstream={f"inputs/{name}": upstream for name, upstream in reads.items()},
                rebuild=rebuild,
            )
    return survey


def _planned(
    job: Job, step: str, recipes: Recipes, surveys: dict[Dataset, _Survey], own: dict[Dataset, list[date]]
) -> tuple[Outcome, FeaturesCommand | None]:
    """Leave the survey for the gates, and the plan for Spark where there is something to build.

    What is built for other runs is left for their own gates: only the days ``own`` are this run's.
    """
    job.leave(
        step,
        {dataset: {str(ds): survey.days[str(ds)] for ds in own[dataset]} for dataset, survey in surveys.items()},
    )
    build = {dataset: len(survey.build) for dataset, survey in surveys.items()}
    counts = {f"{dataset}_days": float(number) for dataset, number in build.items()}
    if not any(build.values()):
        known = [day for survey in surveys.values() for day in survey.days.values() if day["status"] != "missing"]
        message = "every day is built already" if known else "there is nothing to build"
        return Outcome(step, job.day, "up_to_date" if known else "nothing", message, counts), None
    plan = _build_plan(job, recipes, surveys)
    uri = job.document(f"{step}-plan-{job.attempt}")
    storage.write_json(uri, plan.document())
    days = sorted(day for survey in surveys.values() for day in survey.build)
    command = FeaturesCommand(job.pipeline.name, date.fromisoformat(days[0]), date.fromisoformat(days[-1]), uri)
    message = f"built {build['features']} days of features and {build['labels']} days of labels in one Spark job"
    return Outcome(step, job.day, "done", message, counts), command


def _build_plan(job: Job, recipes: Recipes, surveys: dict[Dataset, _Survey]) -> BuildPlan:
    targets = tuple(_target(job, dataset, survey) for dataset, survey in surveys.items() if survey.build)
    names = {name for target in targets for name in target.inputs}
    sources = {
        name: Source(
            {column: item.type for column, item in job.pipeline.inputs[name].columns.items()},
            job.pipeline.inputs[name].snapshot,
            {
                day: tuple(recipes.sources[name].uris(day))
                for day in sorted({day for target in targets for day in target.inputs.get(name, ())})
            },
        )
        for name in sorted(names)
    }
    return BuildPlan(
        pipeline=job.pipeline.name,
        module=job.pipeline.module,
        attempt=job.attempt,
        run_id=job.run_id,
        timezone=job.pipeline.schedule.timezone,
        rows_per_file=job.pipeline.scoring.rows_per_shard,
        sources=sources,
        targets=targets,
        manifests=tuple(manifest for survey in surveys.values() for manifest in survey.build.values()),
        code={str(dataset): recipes.code[dataset] for dataset in surveys},
    )


def _target(job: Job, dataset: Dataset, survey: _Survey) -> Target:
    inputs: dict[str, set[str]] = {}
    for manifest in survey.build.values():
        for name, upstream in manifest.upstream.items():
            inputs.setdefault(name.removeprefix("inputs/"), set()).update(upstream.days)
    return Target(
        dataset=dataset,
        table=job.table(dataset),
        key=job.pipeline.features.key,
        columns={name: column.type for name, column in contract(job, dataset).items()},
        days={day: manifest.fingerprint for day, manifest in survey.build.items()},
        inputs={name: tuple(sorted(days)) for name, days in sorted(inputs.items())},
    )
