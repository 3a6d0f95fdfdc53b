"""What a model file is: its columns in order, its categories, where it comes from; and how rows become its matrix.

Training and scoring share this module, so that a column can never be encoded in two ways. It needs numpy and
pyarrow alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nightshift import storage
from nightshift.errors import ModelMismatch, ModelNotFound
from nightshift.lineage import canonical, sha256

_RESTORE = "restore the file from the MLflow run"


@dataclass(frozen=True)
class FeatureColumn:
    """A model's column: its name and its type in the feature contract."""

    name: str
    type: str


@dataclass(frozen=True)
class ModelManifest:
    """Lies beside the model as ``<models>/<sha256>.json``.

    ``sha256`` is that of the refitted ``model``, ``evaluated_sha256`` that of the booster that never saw the
    holdout; both files lie at ``<models>/<sha256>.ubj``. ``fingerprint`` is the model's recipe. ``holdout`` are the
    days (ISO text, ascending) that ``evaluated`` never saw, ``libraries`` the versions that trained it. The document
    ends in its own hash: with a category altered the model would still score, and wrongly.
    """

    pipeline: str
    as_of: str
    objective: str
    label: str
    sha256: str
    evaluated_sha256: str
    columns: tuple[FeatureColumn, ...]
    categories: dict[str, tuple[str, ...]]
    rounds: int
    fingerprint: str
    training_set: str
    feature_code: str
    feature_spec: str
    code_version: str
    holdout: tuple[str, ...] = ()
    libraries: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The manifest as plain data, with its hash as ``digest``."""
        document = asdict(self)
        return {**document, "digest": sha256(canonical(document))}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "ModelManifest":
        """The manifest that ``document()`` made. Raises ModelMismatch where it is not as it was then."""
        found = {name: value for name, value in document.items() if name != "digest"}
        if document.get("digest") != sha256(canonical(found)):
            raise ModelMismatch("the manifest of the model was altered")
        return cls(
            **{
                **found,
                "columns": tuple(FeatureColumn(**column) for column in document["columns"]),
                "categories": {name: tuple(values) for name, values in document["categories"].items()},
                "holdout": tuple(document.get("holdout", ())),
            }
        )


def model_uri(models: str, digits: str) -> str:
    """Where the booster with this SHA-256 lies, as UBJSON."""
    return storage.join(models, f"{digits}.ubj")


def manifest_uri(models: str, digits: str) -> str:
    """Where the manifest of the model with this SHA-256 lies."""
    return storage.join(models, f"{digits}.json")


def read_manifest(models: str, digits: str) -> ModelManifest:
    """The manifest of a model. Raises ModelNotFound, and ModelMismatch where it was altered."""
    uri = manifest_uri(models, digits)
    try:
        return ModelManifest.read(storage.read_json(uri))
    except FileNotFoundError:
        raise ModelNotFound(f"the manifest of model {digits[:16]} is gone", where=uri, do=_RESTORE) from None
    except (ValueError, ModelMismatch):  # what is no JSON is a ValueError
        raise ModelMismatch(f"the manifest of model {digits[:16]} was altered", where=uri, do=_RESTORE) from None


def encode(
    rows: pa.RecordBatch | pa.Table, columns: tuple[FeatureColumn, ...], categories: Mapping[str, tuple[str, ...]]
) -> npt.NDArray[np.float32]:
    """The matrix of shape (rows, columns) in the model's column order, float32, NaN for null, Fortran-contiguous.

    A category becomes its ordinal in ``categories``; one that is not there becomes null. Raises ModelMismatch
    where a column is missing.
    """
    # XGBoost reads either order as fast; columns that lie together are filled in less than half the time.
    matrix = np.empty((rows.num_rows, len(columns)), dtype=np.float32, order="F")
    names = rows.schema.names
    for position, column in enumerate(columns):
        if column.name not in names:
            raise ModelMismatch(
                f"the rows have no column {column.name}",
                allowed=", ".join(item.name for item in columns),
                do="build the features with the code and spec that the model was trained on, or retrain",
            )
        matrix[:, position] = _numbers(rows.column(column.name), column, categories)
    return matrix


def _numbers(
    values: pa.Array | pa.ChunkedArray, column: FeatureColumn, categories: Mapping[str, tuple[str, ...]]
) -> npt.NDArray[np.float32]:
    if column.type == "category":
        known = pa.array(categories[column.name], type=pa.string())
        if isinstance(values, pa.DictionaryArray):  # each of its words is looked up once
            values = pc.index_in(pc.cast(values.dictionary, pa.string()), value_set=known).take(values.indices)
        else:
            values = pc.index_in(pc.cast(values, pa.string()), value_set=known)
    found: npt.NDArray[np.float32] = pc.cast(values, pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return found
