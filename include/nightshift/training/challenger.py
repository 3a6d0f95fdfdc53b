"""A version's two boosters: found by their recipe, or trained and filed by their content."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nightshift import storage
from nightshift.earlier_scheme import in_order, library_code
from nightshift.errors import GateFailed, ModelMismatch
from nightshift.job import Job
from nightshift.lineage import code_version, libraries, library_changes, recipe, sha256
from nightshift.model_manifest import ModelManifest, encode, manifest_uri, model_uri
from nightshift.parts import version
from nightshift.training import training_set as sets
from nightshift.training.parameters import parameters
from nightshift.training.split import split
from nightshift.training.training_set import TrainingSet

if TYPE_CHECKING:
    from nightshift.training.fit import Matrix


@dataclass(frozen=True)
class Challenger:
    """What ``train`` made, or found: ``known`` says that nothing was trained.

    ``changes`` are libraries for whose versions alone it was trained anew.
    """

    manifest: ModelManifest
    known: bool
    changes: tuple[str, ...] = ()


def model_recipe(job: Job, rows: TrainingSet, code: str = "", xgboost: str | None = None) -> str:
    """The fingerprint of a model: the rows, what the spec says about training, the code and XGBoost's version.

    ``code`` is that of the part that trains, by the present scheme unless it is given; ``xgboost`` is the version here.
    """
    training, label = job.pipeline.training, job.pipeline.label
    columns = [[column.name, column.type] for column in sets.model_columns(job.pipeline)]
    if code:
        columns = in_order(job.pipeline, columns)
    return recipe(
        training_set=rows.fingerprint,
        columns=columns,
        label=[label.column, label.objective],
        training=[training.holdout, training.rounds, training.early_stopping],
        parameters=parameters(job.pipeline),
        code=code or recipe(training=version("training")),
        xgboost=_xgboost_version() if xgboost is None else xgboost,
    )


def known(models: str, fingerprint: str) -> ModelManifest | None:
    """The manifest of a model that was trained by this recipe before, if all of its files are there and whole."""
    try:
        manifest = ModelManifest.read(storage.read_json(fingerprint_uri(models, fingerprint)))
    except (FileNotFoundError, ValueError, ModelMismatch):  # what is no JSON is a ValueError
        return None
    files = [
        model_uri(models, manifest.sha256),
        model_uri(models, manifest.evaluated_sha256),
        manifest_uri(models, manifest.sha256),
    ]
    return manifest if all(storage.exists(uri) for uri in files) else None


def fingerprint_uri(models: str, fingerprint: str) -> str:
    """Where the manifest of the model with a fingerprint lies a second time, to be found by its recipe."""
    return storage.join(models, "by-fingerprint", f"{fingerprint}.json")


def trained(job: Job, rows: TrainingSet) -> Challenger:
    """The challenger of a training set. A recipe that is known is not trained again."""
    models, fingerprint = job.settings.models, model_recipe(job, rows)
    earlier = [model_recipe(job, rows, code) for code in library_code("training")]
    for name in (fingerprint, *earlier):
        if found := known(models, name):
            return Challenger(found, known=True)
    whatever_xgboost = model_recipe(job, rows, xgboost="")
    before = known(models, whatever_xgboost)
    changes = library_changes(before.libraries, libraries()) if before else []
    manifest, evaluated, model = _fit(job, rows, fingerprint)
    storage.create_bytes(model_uri(models, manifest.evaluated_sha256), evaluated)
    storage.create_bytes(model_uri(models, manifest.sha256), model)
    storage.create_json(manifest_uri(models, manifest.sha256), manifest.document())
    for name in (fingerprint, whatever_xgboost):
        storage.write_json(fingerprint_uri(models, name), manifest.document())
    return Challenger(manifest, False, tuple(item for item in changes if item.startswith("xgboost")))


def _fit(job: Job, rows: TrainingSet, fingerprint: str) -> tuple[ModelManifest, bytes, bytes]:
    from nightshift.training.fit import Matrix, Recipe, fit

    pipeline = job.pipeline
    columns, categories = sets.model_columns(pipeline), sets.categories(pipeline, rows)
    names = [column.name for column in columns]
    days = {day.ds: day for day in rows.days}
    parts = split(list(days), pipeline.training.holdout)

    def read(ds: str) -> tuple[Matrix, Matrix]:
        table = sets.labelled(pipeline, rows, days[ds], names)
        labels = table[pipeline.label.column].cast(pa.float32()).to_numpy()
        matrix = encode(table, columns, categories)
        _refuse_infinite(ds, [*names, pipeline.label.column], [*matrix.T, labels])
        return matrix, labels

    training = pipeline.training
    how = Recipe(fingerprint, names, parameters(pipeline), training.rounds, training.early_stopping)
    fitted = fit(parts, read, how)
    manifest = ModelManifest(
        pipeline=pipeline.name,
        as_of=rows.as_of,
        objective=pipeline.label.objective,
        label=pipeline.label.column,
        sha256=sha256(fitted.model),
        evaluated_sha256=sha256(fitted.evaluated),
        columns=columns,
        categories=categories,
        rounds=fitted.rounds,
        fingerprint=fingerprint,
        training_set=rows.fingerprint,
        feature_code=rows.feature_code,
        feature_spec=rows.feature_spec,
        code_version=code_version(job.settings.home),
        holdout=parts.holdout,
        libraries=libraries(),
    )
    return manifest, fitted.evaluated, fitted.model


def _refuse_infinite(ds: str, names: Sequence[str], columns: "Sequence[Matrix]") -> None:
    """Raises GateFailed where a column (1-D, 32-bit floats) has an infinite number. XGBoost would not say which day."""
    wrong = [name for name, values in zip(names, columns, strict=True) if np.isinf(values).any()]
    if wrong:
        raise GateFailed(
            f"column {', '.join(wrong)} has a value that is infinite as a 32-bit float",
            where=f"the training set's day {ds}",
            allowed="what a model computes in: numbers up to 3.4e38",
            do="correct what makes the column and repair the day with a backfill, then clear training_set",
        )


def _xgboost_version() -> str:
    for name in ("xgboost-cpu", "xgboost"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""
