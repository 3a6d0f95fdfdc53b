"""Which days of features and labels are stale, and the plan of the one Spark job that builds them all."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from nightshift import storage
from nightshift.commands import FeaturesCommand
from nightshift.earlier_scheme import EarlierScheme
from nightshift.errors import NightshiftError, PartitionDamaged
from nightshift.features.build_plan import BuildPlan, Source, Target
from nightshift.features.knowledge import Knowledge
from nightshift.features.rebuilds import ordered
from nightshift.features.recipes import Dataset, Recipes, code_of
from nightshift.features.unbuilt import Unbuilt, find_unbuilt, tell
from nightshift.features.verdict import judge
from nightshift.inputs.for_labels import source_states
from nightshift.inputs.needs import inside
from nightshift.inputs.run import gate_inputs, gate_windows
from nightshift.job import Job, Outcome
from nightshift.lineage import Manifest, find_staged
from nightshift.parts import version
from nightshift.registry.waivers import waived
from nightshift.specs.calendar import label_day, training_days
from nightshift.specs.model import Column
from nightshift.tables import TableState, state

log = logging.getLogger("nightshift.features")

DATASETS: tuple[Dataset, ...] = ("features", "labels")


@dataclass
class _Survey:
    """What became of each day of one dataset while the plan was made."""

    published: TableState
    days: dict[str, dict[str, str]] = field(default_factory=dict)
    build: dict[str, Manifest] = field(default_factory=dict)
    damaged: dict[str, PartitionDamaged] = field(default_factory=dict)
    unbuilt: dict[str, Unbuilt] = field(default_factory=dict)


def plan_features(job: Job) -> tuple[Outcome, FeaturesCommand | None]:
    """Plan the features of ``ds`` and the labels that have become mature, and the same for ``job.also``.

    Nothing is planned for other days unless ``ds`` itself has something to build. Raises InputMissing where the
    features of ``ds`` cannot be built, PartitionDamaged where another program changed those that are up to date, and
    in a backfill the error of a job of another run that could not build them.
    """
    own = _wanted_days(job, [job.ds])
    recipes = resolve(job)
    for ds in own["features"]:
        recipes.reads("features", ds)
    surveys = _surveys(job, recipes, own)
    for ds in own["features"]:
        if damage := surveys["features"].damaged.get(ds.isoformat()):
            raise damage
        if unbuilt := surveys["features"].unbuilt.get(ds.isoformat()):
            raise tell(job.table("features"), unbuilt, job.run_id)
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
    sources, unseen = source_states(job)
    code = code_of(job.settings.home, job.pipeline)
    rebuilds = ordered(job.settings, job.pipeline)
    earlier = EarlierScheme(job.settings.home, job.pipeline)
    return Recipes(job.pipeline, sources, code, waived(job.settings, job.pipeline.name), rebuilds, earlier, unseen)


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
    try:
        survey, knowledge = _Survey(state(job.table(dataset))), Knowledge(job)
    except NightshiftError as error:
        if dataset == "features":
            raise
        # The labels' own table: their gate says it again, and where the window needs them the training set does.
        survey = _Survey(TableState(job.table(dataset), -1, {}))
        survey.days = {ds.isoformat(): {"status": "missing", "why": str(error)} for ds in days}
        return survey
    for ds in days:
        day, verdict = ds.isoformat(), judge(recipes, dataset, ds, survey.published)
        if verdict.error is not None:
            survey.days[day] = {"status": "missing", "why": str(verdict.error)}
            survey.days[day] |= {"lacks": "deliveries"} if verdict.lacks_deliveries else {}
            if isinstance(verdict.error, PartitionDamaged):
                survey.damaged[day] = verdict.error
            continue
        if verdict.state == "up_to_date":
            survey.days[day] = {"status": "up_to_date", "fingerprint": survey.published.fingerprint(day)}
            continue
        survey.days[day] = {"status": "staged", "fingerprint": verdict.fingerprint}
        if find_staged(job.table(dataset), day, verdict.fingerprint) is not None:
            continue
        if unbuilt := _found_before(job, dataset, day, verdict.fingerprint):
            survey.unbuilt[day] = unbuilt
        else:
            survey.build[day] = job.manifest(
                dataset,
                day,
                verdict.fingerprint,
                replaces=survey.published.fingerprint(day),
                upstream={f"inputs/{name}": upstream for name, upstream in verdict.reads.items()},
                rebuild=verdict.rebuild,
                known=knowledge.of(verdict.reads, ds) if dataset == "features" else "",
            )
    return survey


def _found_before(job: Job, dataset: Dataset, day: str, fingerprint: str) -> Unbuilt | None:
    """In a backfill, why the Spark job of another run could not build a day, until this run has failed with it."""
    found = find_unbuilt(job.table(dataset), day, fingerprint) if job.backfill else None
    return None if found is None or job.run_id in (found.run_id, *found.told) else found


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
        message = _built_already(surveys) if known else "there is nothing to build"
        return Outcome(step, job.day, "up_to_date" if known else "nothing", message, counts), None
    plan = _build_plan(job, recipes, surveys)
    uri = job.document(f"{step}-plan-{job.attempt}")
    storage.write_json(uri, plan.document())
    days = sorted(day for survey in surveys.values() for day in survey.build)
    command = FeaturesCommand(job.pipeline.name, date.fromisoformat(days[0]), date.fromisoformat(days[-1]), uri)
    message = f"built {build['features']} days of features and {build['labels']} days of labels in one Spark job"
    return Outcome(step, job.day, "done", message, counts), command


def _built_already(surveys: dict[Dataset, _Survey]) -> str:
    """What is said where Spark has nothing to do: which days are not built all the same."""
    lacks = []
    for dataset, survey in surveys.items():
        missing = sum(day["status"] == "missing" for day in survey.days.values())
        unbuilt = ", ".join(sorted(survey.unbuilt))
        lacks += [f"{missing} days of {dataset} that are missing"] if missing else []
        lacks += [f"{len(survey.unbuilt)} days of {dataset} that cannot be built: {unbuilt}"] if unbuilt else []
    return f"every day is built already, but for {'; '.join(lacks)}" if lacks else "every day is built already"


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
            job.pipeline.inputs[name].lag if job.pipeline.inputs[name].snapshot else 0,
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
        reads=job.pipeline.features.reads,
        library=version("building"),
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
