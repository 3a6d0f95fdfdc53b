"""Whether scoring takes a model for the features of a day: ``plan_scoring`` asks, and whoever says what it will do."""

from collections.abc import Mapping
from dataclasses import dataclass

from nightshift import storage, tables
from nightshift.earlier_scheme import EarlierScheme
from nightshift.errors import ModelMismatch, ModelNotFound, NightshiftError
from nightshift.features.recipes import Recipes, code_of
from nightshift.features.serving import other_code, other_spec
from nightshift.lineage import Upstream, recipe_of
from nightshift.model_manifest import ModelManifest, model_uri, read_manifest
from nightshift.registry.champions import Champion
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


@dataclass(frozen=True)
class Built:
    """Features of a day, published or as they would be built: what they read, for which order, and their recipe."""

    ds: str
    reads: Mapping[str, Upstream]
    rebuild: str
    recipe: str


def as_published(features: tables.TableState, ds: str) -> Built:
    """The published features of a day. Raises NightshiftError where their manifest is gone."""
    manifest = features.manifest(ds)
    if manifest is None:
        raise NightshiftError(
            f"the manifest of the features of {ds} is gone", where=features.uri, do="restore _manifests"
        )
    reads = {name.removeprefix("inputs/"): upstream for name, upstream in manifest.upstream.items()}
    return Built(ds, reads, manifest.rebuild, recipe_of(manifest.fingerprint))


def model_for(settings: Settings, pipeline: Pipeline, champion: Champion, features: Built) -> ModelManifest:
    """The champion's manifest. Raises ModelMismatch, or ModelNotFound where its files are gone.

    Code and spec that the model was trained on must be those that made the features. The features' fingerprint is the
    hash of a recipe: with the model's code in it instead, it must be the same.
    """
    manifest = read_manifest(settings.models, champion.sha256)
    where = f"{pipeline.name}, version {champion.version} (model {manifest.sha256[:16]})"
    do = f"retrain as of a day before {features.ds}, or score with the code and spec that the model was trained on"
    if what := other_spec(pipeline, manifest):
        raise ModelMismatch(what, where=where, do=do)
    if not _made_with(settings, pipeline, manifest.feature_code, features):
        if what := other_code(settings, pipeline, manifest):
            raise ModelMismatch(what, where=where, do=do)
        if not _made_now(settings, pipeline, features):
            raise ModelMismatch(
                f"the features of {features.ds} were built with other code or another spec than the model's",
                where=where,
                do=f"clear build_features of {features.ds} and what follows",
            )
    model = model_uri(settings.models, manifest.sha256)
    if not storage.exists(model):
        raise ModelNotFound(
            f"the file of model {manifest.sha256[:16]} is gone", where=model, do="restore it from the MLflow run"
        )
    return manifest


def _made_with(settings: Settings, pipeline: Pipeline, code: str, features: Built) -> bool:
    """Whether the features are named by this code, in the scheme that the code's hash is of."""
    days = {name: upstream.days for name, upstream in features.reads.items()}
    earlier = EarlierScheme(settings.home, pipeline)
    return features.recipe in (
        Recipes(pipeline, {}, {"features": code}).fingerprint("features", features.reads, features.rebuild),
        earlier.name("features", days, features.rebuild, code),
    )


def _made_now(settings: Settings, pipeline: Pipeline, features: Built) -> bool:
    """Whether the present code made the features, by either scheme: a model of that code may be named by the other."""
    now = Recipes(pipeline, {}, code_of(settings.home, pipeline), earlier=EarlierScheme(settings.home, pipeline))
    return now.fingerprint("features", features.reads, features.rebuild, features.recipe) == features.recipe
