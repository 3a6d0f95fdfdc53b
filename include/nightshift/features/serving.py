"""Whether scoring would take a model now: spec and code of the features are those of its training, its files whole."""

from nightshift import earlier_scheme, storage
from nightshift.earlier_scheme import EarlierScheme
from nightshift.errors import ModelMismatch, ModelNotFound
from nightshift.features.recipes import code_of, feature_spec
from nightshift.lineage import sha256
from nightshift.model_manifest import ModelManifest, model_uri, read_manifest
from nightshift.registry.champions import Champion
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


def servable(settings: Settings, pipeline: Pipeline, champion: Champion) -> tuple[ModelManifest | None, str]:
    """The champion's manifest, or None and the reason for which scoring would refuse it. Reads its model file."""
    name, models = f"version {champion.version}", settings.models
    try:
        manifest = read_manifest(models, champion.sha256)
    except ModelNotFound:
        return None, f"the files of {name} are gone"
    except ModelMismatch:
        return None, f"the files of {name} were altered"
    if not whole(models, manifest.sha256):
        return None, f"the files of {name} are gone or altered"
    what = differs(settings, pipeline, manifest)
    return (None, f"{name}: {what}") if what else (manifest, "")


def whole(models: str, digest: str) -> bool:
    """Return whether the model file of this SHA-256 is there and unaltered."""
    try:
        return sha256(storage.read_bytes(model_uri(models, digest))) == digest
    except FileNotFoundError:
        return False


def differs(settings: Settings, pipeline: Pipeline, manifest: ModelManifest) -> str:
    """The parts of spec and module for which a night refuses the model: it was trained with others; or empty."""
    return other_spec(pipeline, manifest) or other_code(settings, pipeline, manifest)


def other_spec(pipeline: Pipeline, manifest: ModelManifest) -> str:
    """The parts of the feature spec that are not as the model was trained with; empty where all are."""
    if manifest.feature_spec in (feature_spec(pipeline), earlier_scheme.feature_spec(pipeline)):
        return ""
    here = {name: column.type for name, column in pipeline.features.columns.items()}
    there = {column.name: column.type for column in manifest.columns}
    changed = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    what = f"columns {', '.join(changed)}" if changed else "key, inputs, lags or timezone"
    return f"the model was trained on another feature spec ({what})"


def other_code(settings: Settings, pipeline: Pipeline, manifest: ModelManifest) -> str:
    """That the feature code is not as the model was trained with, empty where it is."""
    code = code_of(settings.home, pipeline)["features"]
    if code == manifest.feature_code or EarlierScheme(settings.home, pipeline).is_code(
        "features", manifest.feature_code
    ):
        return ""
    return f"the model was trained with feature code {manifest.feature_code}, now it is {code}"
