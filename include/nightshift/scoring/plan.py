"""The scoring plan: all that a shard's process needs to know, written down once.

A plan lies at ``<predictions>/_plans/ds=D/<fingerprint>-<digest>/plan.json``, beside the results of its shards.
The digest is that of its content: who makes the same plan again finds it, with the results that are there.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nightshift import model_manifest, storage
from nightshift.errors import NightshiftError
from nightshift.lineage import DataFile, canonical, sha256
from nightshift.model_manifest import FeatureColumn
from nightshift.source_code import package_code


@dataclass(frozen=True)
class Piece:
    """``rows`` rows of a file, from row ``first``."""

    uri: str
    first: int
    rows: int


@dataclass(frozen=True)
class Shard:
    """What one process scores: pieces of files, in the order of their rows."""

    number: int
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """The rows of all pieces."""
        return sum(piece.rows for piece in self.pieces)


@dataclass(frozen=True)
class ScoringPlan:
    """How one day is scored.

    ``model`` is the model file's URI; ``columns`` and ``categories`` say how rows become its matrix, in its order;
    ``key`` gives the key columns with their contract types; ``table`` is the predictions table's URI and
    ``fingerprint`` that of the predictions; ``features`` is the fingerprint of what is scored. ``threads`` is what
    one shard's process may use.
    """

    pipeline: str
    ds: str
    table: str
    fingerprint: str
    features: str
    model: str
    model_sha256: str
    objective: str
    columns: tuple[FeatureColumn, ...]
    categories: dict[str, tuple[str, ...]]
    feature_code: str
    scoring_code: str
    key: dict[str, str]
    threads: int
    shards: tuple[Shard, ...]

    @property
    def model_digits(self) -> str:
        """What predictions say of their model."""
        return model_digits(self.model_sha256)

    @property
    def rows(self) -> int:
        """The rows of all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def uri(self) -> str:
        """Where this plan lies."""
        name = f"{self.fingerprint}-{sha256(canonical(self.document()))[:8]}"
        return storage.join(self.table, "_plans", f"ds={self.ds}", name, "plan.json")

    def document(self) -> dict[str, Any]:
        """The plan as plain data."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "ScoringPlan":
        """The plan that ``document()`` made."""
        return cls(
            **{
                **document,
                "columns": tuple(FeatureColumn(**column) for column in document["columns"]),
                "categories": {name: tuple(values) for name, values in document["categories"].items()},
                "shards": tuple(
                    Shard(shard["number"], tuple(Piece(**piece) for piece in shard["pieces"]))
                    for shard in document["shards"]
                ),
            }
        )


@dataclass(frozen=True)
class ShardResult:
    """What the winning attempt at a shard wrote; ``file`` is relative to the predictions table's root."""

    shard: int
    file: DataFile
    sha256: str
    attempt: str
    seconds: float

    def document(self) -> dict[str, Any]:
        """The result as plain data."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "ShardResult":
        """The result that ``document()`` made."""
        return cls(**{**document, "file": DataFile(**document["file"])})


def read_plan(uri: str) -> ScoringPlan:
    """The plan at a location. Raises NightshiftError where there is none."""
    try:
        return ScoringPlan.read(storage.read_json(uri))
    except FileNotFoundError:
        raise NightshiftError("there is no scoring plan", where=uri, do="clear plan_scoring") from None


def result_uri(plan_uri: str, shard: int) -> str:
    """Where the result of a shard lies."""
    return f"{plan_uri.rpartition('/')[0]}/shard-{shard}.json"


def started_folder(plan_uri: str) -> str:
    """Where attempts at shards say that they have started."""
    return f"{plan_uri.rpartition('/')[0]}/started"


def started_uri(plan_uri: str, shard: int, attempt: str) -> str:
    """Where one attempt says so."""
    return storage.join(started_folder(plan_uri), f"shard-{shard}-{attempt}.json")


def read_result(plan_uri: str, shard: int) -> ShardResult | None:
    """The result of a shard, if there is one."""
    try:
        return ShardResult.read(storage.read_json(result_uri(plan_uri, shard)))
    except FileNotFoundError:
        return None


def model_digits(sha256: str) -> str:
    """The first 16 digits of a model's SHA-256: what predictions say of their model."""
    return sha256[:16]


def prediction_columns(key: Mapping[str, str]) -> dict[str, str]:
    """The columns of predictions, name to contract type."""
    return {**key, "score": "number", "model": "string"}


def scoring_code() -> str:
    """The hash of the code that decides what a score is."""
    return package_code([Path(__file__).with_name("score.py"), Path(model_manifest.__file__)])
