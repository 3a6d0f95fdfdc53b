"""What MLflow shows of a version: parameters, metrics, plots and files. Never the value of a cell."""

from nightshift import storage
from nightshift.job import Job
from nightshift.model_manifest import ModelManifest, model_uri
from nightshift.registry.mlflow import MODEL, Record
from nightshift.training import plots
from nightshift.training.comparison import Predicted, load
from nightshift.training.evaluate import calibration, importance, metrics
from nightshift.training.parameters import parameters
from nightshift.training.training_set import TrainingSet


def record(job: Job, rows: TrainingSet, manifest: ModelManifest, predicted: Predicted) -> Record:
    """The run of a challenger: ``baseline_*`` metrics are the baseline's on the same holdout."""
    objective = job.pipeline.label.objective
    challenger = metrics(objective, predicted.labels, predicted.challenger)
    simple = metrics(objective, predicted.labels, predicted.baseline)
    counts = {"rows": float(rows.rows), "days": float(len(rows.days)), "holdout_rows": float(len(predicted.labels))}
    return Record(
        fingerprint=manifest.fingerprint,
        sha256=manifest.sha256,
        name=f"as of {manifest.as_of}",
        description=f"Trained as of {manifest.as_of} on {len(rows.days)} days, {manifest.rounds} rounds.",
        params=_params(job, manifest),
        metrics={**challenger, **{f"baseline_{name}": value for name, value in simple.items()}, **counts},
        tags=_tags(job, manifest),
        artifacts=_artifacts(job, rows, manifest, predicted, challenger),
    )


def _params(job: Job, manifest: ModelManifest) -> dict[str, str]:
    """Only what follows from the recipe: a second try at one fingerprint must give the same."""
    training = job.pipeline.training
    return {
        **{name: str(value) for name, value in parameters(job.pipeline).items()},
        "rounds": str(manifest.rounds),
        "rounds_limit": str(training.rounds),
        "early_stopping": str(training.early_stopping),
        "holdout_days": str(training.holdout),
        "columns": str(len(manifest.columns)),
    }


def _tags(job: Job, manifest: ModelManifest) -> dict[str, str]:
    return {
        "nightshift.pipeline": job.pipeline.name,
        "nightshift.as_of": manifest.as_of,
        "nightshift.training_set": manifest.training_set,
        "nightshift.feature_code": manifest.feature_code,
        "nightshift.code_version": manifest.code_version,
        "nightshift.run_id": job.run_id,
    }


def _artifacts(
    job: Job, rows: TrainingSet, manifest: ModelManifest, predicted: Predicted, found: dict[str, float]
) -> dict[str, bytes]:
    models = job.settings.models
    curve = calibration(predicted.labels, predicted.challenger)
    unit = "rate" if job.pipeline.label.objective == "binary" else job.pipeline.label.column
    artifacts = {
        f"{MODEL}/model.ubj": storage.read_bytes(model_uri(models, manifest.sha256)),
        f"{MODEL}/evaluated.ubj": storage.read_bytes(model_uri(models, manifest.evaluated_sha256)),
        f"{MODEL}/manifest.json": storage.json_bytes(manifest.document()),
        "training_set.json": storage.json_bytes(rows.document()),
        "plots/calibration.png": plots.calibration(curve, unit),
        "plots/importance.png": plots.importance(importance(load(models, manifest.sha256))),
    }
    if "average_precision" in found:
        artifacts["plots/precision_recall.png"] = plots.precision_recall(
            predicted.labels, predicted.challenger, found["average_precision"]
        )
    return artifacts
