"""Boosters and the baseline on one and the same holdout."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nightshift import storage
from nightshift.errors import ModelNotFound
from nightshift.features.serving import servable, whole
from nightshift.job import Job
from nightshift.model_manifest import ModelManifest, encode, model_uri
from nightshift.registry.champions import Champion
from nightshift.registry.promotion import NO_CHAMPION
from nightshift.training import baseline
from nightshift.training import training_set as sets
from nightshift.training.evaluate import Vector, metrics
from nightshift.training.split import split
from nightshift.training.training_set import TrainingDay, TrainingSet


@dataclass(frozen=True)
class Predicted:
    """The holdout's labels, what ``evaluated`` and the baseline say of them, all of shape (rows,), and their days."""

    days: tuple[str, ...]
    day_of_row: np.ndarray[Any, np.dtype[np.int64]]
    labels: Vector
    challenger: Vector
    baseline: Vector

    def since(self, day: str) -> "Predicted":
        """The rows of the days from ``day`` on."""
        first = sum(item < day for item in self.days)
        rows = self.day_of_row >= first
        return Predicted(
            self.days[first:],
            self.day_of_row[rows] - first,
            self.labels[rows],
            self.challenger[rows],
            self.baseline[rows],
        )


@dataclass(frozen=True)
class Compared:
    """Metrics by name on ``days`` of the holdout; ``champion`` is None where ``why`` says why it does not count."""

    days: tuple[str, ...]
    rows: int
    challenger: dict[str, float]
    baseline: dict[str, float]
    champion: dict[str, float] | None
    why: str = ""


def predict_holdout(job: Job, rows: TrainingSet, challenger: ModelManifest) -> Predicted:
    """The challenger's ``evaluated`` booster and the baseline on the holdout, a day at a time."""
    pipeline, parts = job.pipeline, split([day.ds for day in rows.days], job.pipeline.training.holdout)
    columns, label = pipeline.promotion.baseline, pipeline.label.column
    before = (sets.labelled(pipeline, rows, day, columns) for day in _days(rows, parts.before_holdout))
    simple = baseline.learn(before, columns, label)
    booster = load(job.settings.models, challenger.evaluated_sha256)
    found: list[tuple[Vector, Vector, Vector]] = []
    for table in _labelled(job, rows, parts.holdout, [*(item.name for item in challenger.columns), *columns]):
        found.append((_numbers(table[label]), score(booster, challenger, table), simple.predict(table)))
    day_of_row = np.repeat(np.arange(len(found)), [len(labels) for labels, _, _ in found])
    vectors = (np.concatenate(parts_) for parts_ in zip(*found, strict=True))
    return Predicted(parts.holdout, day_of_row, *vectors)


def compare(job: Job, rows: TrainingSet, predicted: Predicted, champion: Champion | None) -> Compared:
    """Challenger, baseline and champion on the days of the holdout that none of their boosters saw.

    A champion whose own holdout begins later (it was trained with a shorter one, or other days were published then)
    saw the older days of this one: the comparison begins where its holdout does. Where that leaves no day, nothing is
    compared and every metric is missing.
    """
    objective, models = job.pipeline.label.objective, job.settings.models
    manifest, why = _champion_manifest(job, champion)
    scored = None
    if manifest is not None:
        predicted = predicted.since(manifest.holdout[0] if manifest.holdout else "")
        if not len(predicted.labels):
            return Compared((), 0, {}, {}, None, "the champion was trained on every day of this holdout")
        booster, names = load(models, manifest.evaluated_sha256), [column.name for column in manifest.columns]
        scores = [score(booster, manifest, table) for table in _labelled(job, rows, predicted.days, names)]
        scored = metrics(objective, predicted.labels, np.concatenate(scores))
    return Compared(
        days=predicted.days,
        rows=len(predicted.labels),
        challenger=metrics(objective, predicted.labels, predicted.challenger),
        baseline=metrics(objective, predicted.labels, predicted.baseline),
        champion=scored,
        why=why,
    )


def load(models: str, digest: str) -> Any:
    """A booster by the SHA-256 of its file. Raises ModelNotFound."""
    import xgboost as xgb

    uri = model_uri(models, digest)
    try:
        content = storage.read_bytes(uri)
    except FileNotFoundError:
        raise ModelNotFound(
            f"the model file {digest[:16]} is gone", where=uri, do="restore the file from its MLflow run"
        ) from None
    return xgb.Booster(params={"nthread": 1}, model_file=bytearray(content))


def score(booster: Any, manifest: ModelManifest, rows: pa.Table) -> Vector:
    """The booster's predictions, shape (rows,)."""
    if rows.num_rows == 0:
        return np.empty(0)
    found = booster.inplace_predict(encode(rows, manifest.columns, manifest.categories))
    return np.asarray(found, dtype=np.float64)


def _champion_manifest(job: Job, champion: Champion | None) -> tuple[ModelManifest | None, str]:
    """The champion's manifest, or the reason for which the baseline alone decides."""
    if champion is None:
        return None, NO_CHAMPION
    manifest, why = servable(job.settings, job.pipeline, champion)
    if manifest is None:
        return None, f"there is no champion that can serve: {why}"
    name, label = f"version {champion.version}", job.pipeline.label
    if not whole(job.settings.models, manifest.evaluated_sha256):
        return None, f"the champion cannot be compared: the files of {name} are gone or altered"
    if (manifest.label, manifest.objective) != (label.column, label.objective):
        what = f"{name} predicts {manifest.objective} {manifest.label}, not {label.objective} {label.column}"
        return None, f"the champion cannot be compared: {what}"
    return manifest, ""


def _labelled(job: Job, rows: TrainingSet, days: Sequence[str], columns: Sequence[str]) -> Iterator[pa.Table]:
    wanted = list(dict.fromkeys(columns))
    return (sets.labelled(job.pipeline, rows, day, wanted) for day in _days(rows, days))


def _days(rows: TrainingSet, days: Sequence[str]) -> list[TrainingDay]:
    return [day for day in rows.days if day.ds in set(days)]


def _numbers(values: pa.ChunkedArray) -> Vector:
    return np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64)
