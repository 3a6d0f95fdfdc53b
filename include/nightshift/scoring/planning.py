"""What a day is scored with, resolved once: features, model, shards."""

from dataclasses import dataclass
from datetime import date

from nightshift import metrics, storage, tables
from nightshift.earlier_scheme import library_code
from nightshift.errors import InputMissing, ModelNotFound
from nightshift.job import Job, Outcome, Status
from nightshift.lineage import recipe, recipe_of
from nightshift.model_manifest import ModelManifest, model_uri
from nightshift.registry.champions import Champion, champion_as_of, first_champion_date
from nightshift.registry.ledger import Ledger
from nightshift.scoring.fit import as_published, model_for
from nightshift.scoring.plan import ScoringPlan, is_below, read_plan, refusal, scoring_code
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
    found = tables.state(job.table("predictions"))
    wanted = resolve(job, tables.published_as(found, job.day))
    built = as_published(wanted.features, job.day)
    manifest = model_for(job.settings, job.pipeline, wanted.champion, built)
    plan = _plan(job, wanted, manifest)
    storage.create_json(plan.uri, plan.document())
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


def planned(job: Job) -> ScoringPlan | None:
    """The plan that ``plan_scoring`` of this run made; None where nothing is scored.

    Raises NightshiftError where it has not run, PlanRefused where the plan is another job's.
    """
    uri = job.left("plan_scoring")["plan"]
    if not uri:
        return None
    plan = read_plan(uri)
    own = {
        "pipeline": (plan.pipeline, job.pipeline.name),
        "day": (plan.ds, job.day),
        "table": (plan.table, job.table("predictions")),
        "model": (plan.model, model_uri(job.settings.models, plan.model_sha256)),
    }
    reasons = [f"its {name} is not the job's" for name, (found, wanted) in own.items() if found != wanted]
    files = {piece.uri for shard in plan.shards for piece in shard.pieces}
    if any(not is_below(uri, job.table("features")) or f"/ds={job.day}/" not in uri for uri in files):
        reasons.append("it has files of another day or table")
    if reasons:
        raise refusal(uri, reasons)
    return plan


def resolve(job: Job, published: str = "") -> Wanted:
    """The published features and the champion as of ``ds``; ``published`` is the fingerprint of the predictions.

    Raises InputMissing, ModelNotFound, PartitionDamaged.
    """
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
    built = features.fingerprint(job.day)
    fingerprint = predictions_fingerprint(built, champion.sha256, scoring_code(), published)
    return Wanted(features, champion, fingerprint)


def predictions_fingerprint(features: str, model_sha256: str, code: str, published: str = "") -> str:
    """The recipe of predictions: the fingerprint of the features, the model, the scoring code. Pure.

    Those that are ``published`` under the earlier scheme's name of the same recipe keep that name.
    """
    for earlier in library_code("scoring") if published else ():
        if (name := recipe(features=features, model=model_sha256, code=earlier)) == recipe_of(published):
            return name
    return recipe(features=features, model=model_sha256, code=code)


def _plan(job: Job, wanted: Wanted, manifest: ModelManifest) -> ScoringPlan:
    spec = job.pipeline.scoring
    partition = wanted.features.partitions[job.day]
    files = [(storage.join(wanted.features.uri, file.path), file.rows) for file in partition.files]
    return ScoringPlan(
        pipeline=job.pipeline.name,
        ds=job.day,
        table=job.table("predictions"),
        fingerprint=wanted.fingerprint,
        features=partition.fingerprint,
        model=model_uri(job.settings.models, manifest.sha256),
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
