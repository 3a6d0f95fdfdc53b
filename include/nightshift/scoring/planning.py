"""What a day is scored with, resolved once: features, model, shards."""

from dataclasses import dataclass
from datetime import date

from nightshift import metrics, storage, tables
from nightshift.errors import InputMissing, ModelMismatch, ModelNotFound, NightshiftError
from nightshift.features.recipes import Recipes
from nightshift.features.serving import other_code, other_spec
from nightshift.job import Job, Outcome, Status
from nightshift.lineage import recipe, recipe_of
from nightshift.model_manifest import ModelManifest, model_uri, read_manifest
from nightshift.registry.champions import Champion, champion_as_of, first_champion_date
from nightshift.registry.ledger import Ledger
from nightshift.scoring.plan import ScoringPlan, scoring_code
from nightshift.scoring.shards import divide


@dataclass(frozen=True)
class Wanted:
    """What the predictions of a day should be made of now, and the fingerprint that follows."""

    features: tables.TableState
    champion: Champion
    fingerprint: str


def plan_scoring(job: Job) -> Outcome:
    """Resolve model and features once, and leave the plan of the shards.

    A day after the spec's end has no shards. Raises InputMissing without features, ModelNotFound without a
    champion as of ``ds``, ModelMismatch where the champion was trained on other features, PartitionDamaged where
    another program changed the features or the predictions that are up to date.
    """
    end = job.pipeline.schedule.end
    if end is not None and job.ds > end:
        job.leave("plan_scoring", {"plan": "", "shards": 0, "status": "nothing"})
        return Outcome("plan_scoring", job.day, "nothing", f"{job.day} is after the spec's end: labels alone")
    wanted = resolve(job)
    manifest = read_manifest(job.settings.models, wanted.champion.sha256)
    _check_fit(job, wanted, manifest)
    plan = _plan(job, wanted, manifest)
    storage.create_json(plan.uri, plan.document())
    found = tables.state(plan.table)
    tables.refuse_damaged(found, job.day, plan.fingerprint)
    published = found.fingerprint(job.day)
    status: Status = "up_to_date" if recipe_of(published) == plan.fingerprint else "done"
    job.leave(
        "plan_scoring",
        {
            "plan": plan.uri,
            "shards": len(plan.shards),
            "status": status,
            "features_version": wanted.features.version,
            "ledger_head": Ledger.of(job.settings).head(),
            "replaces": published,
        },
    )
    age = (job.ds - date.fromisoformat(manifest.as_of)).days
    metrics.gauge(job.settings, "model_age", age, pipeline=job.pipeline.name)
    message = (
        f"{plan.rows} rows in {len(plan.shards)} shards with version {wanted.champion.version} "
        f"(model {plan.model_digits}, {age} days old)" + ("; already published" if status == "up_to_date" else "")
    )
    counts = {"rows": float(plan.rows), "shards": float(len(plan.shards)), "model_age": float(age)}
    links, names = {"scoring plan": plan.uri}, {"champion": wanted.champion.version}
    return Outcome("plan_scoring", job.day, status, message, counts, links, names)


def resolve(job: Job) -> Wanted:
    """The published features and the champion as of ``ds``. Raises InputMissing, ModelNotFound, PartitionDamaged."""
    features = tables.state(job.table("features"))
    if job.day not in features.partitions:
        raise InputMissing(
            f"the features of {job.day} are not published",
            where=features.uri,
            do=f"run gate_features of {job.day}, or clear it",
        )
    features.files(job.day)  # of a damaged day nothing is scored
    entries = Ledger.of(job.settings).entries(job.pipeline.name)
    champion = champion_as_of(entries, job.ds)
    if champion is None:
        first = first_champion_date(entries)
        raise ModelNotFound(
            f"there is no champion as of {job.day}",
            where=job.pipeline.name,
            allowed=f"the first ds with a champion is {first}" if first else "the ledger names no champion at all",
            do=f"retrain as of an earlier day (`nightshift retrain {job.pipeline.name} --as-of DAY`; it takes effect "
            "on the day after), or leave this day out",
        )
    fingerprint = predictions_fingerprint(features.fingerprint(job.day), champion.sha256, scoring_code())
    return Wanted(features, champion, fingerprint)


def predictions_fingerprint(features: str, model_sha256: str, code: str) -> str:
    """The recipe of predictions: the fingerprint of the features, the model, the scoring code. Pure."""
    return recipe(features=features, model=model_sha256, code=code)


def _check_fit(job: Job, wanted: Wanted, manifest: ModelManifest) -> None:
    """Raise ModelMismatch unless code and spec that the model was trained on are those that made the features.

    The features' fingerprint is the hash of a recipe: with the model's code in it instead, it must be the same.
    """
    where = f"{job.pipeline.name}, version {wanted.champion.version} (model {manifest.sha256[:16]})"
    do = f"retrain as of a day before {job.day}, or score with the code and spec that the model was trained on"
    if what := other_spec(job.pipeline, manifest):
        raise ModelMismatch(what, where=where, do=do)
    published = wanted.features.manifest(job.day)
    if published is None:
        raise NightshiftError(
            f"the manifest of the features of {job.day} is gone", where=wanted.features.uri, do="restore _manifests"
        )
    reads = {name.removeprefix("inputs/"): upstream for name, upstream in published.upstream.items()}
    as_trained = Recipes(job.pipeline, {}, {"features": manifest.feature_code})
    if as_trained.fingerprint("features", reads, published.rebuild) == recipe_of(published.fingerprint):
        return
    if what := other_code(job.settings, job.pipeline, manifest):
        raise ModelMismatch(what, where=where, do=do)
    raise ModelMismatch(
        f"the features of {job.day} were built with other code or another spec than the model's",
        where=where,
        do=f"clear build_features of {job.day} and what follows",
    )


def _plan(job: Job, wanted: Wanted, manifest: ModelManifest) -> ScoringPlan:
    spec = job.pipeline.scoring
    partition = wanted.features.partitions[job.day]
    files = [(storage.join(wanted.features.uri, file.path), file.rows) for file in partition.files]
    model = model_uri(job.settings.models, manifest.sha256)
    if not storage.exists(model):
        raise ModelNotFound(
            f"the file of model {manifest.sha256[:16]} is gone", where=model, do="restore it from the MLflow run"
        )
    return ScoringPlan(
        pipeline=job.pipeline.name,
        ds=job.day,
        table=job.table("predictions"),
        fingerprint=wanted.fingerprint,
        features=partition.fingerprint,
        model=model,
        model_sha256=manifest.sha256,
        objective=manifest.objective,
        columns=manifest.columns,
        categories=manifest.categories,
        feature_code=manifest.feature_code,
        scoring_code=scoring_code(),
        key=dict(job.pipeline.key_types),
        threads=max(1, int(spec.cpu)),
        shards=divide(files, spec.rows_per_shard),
    )
