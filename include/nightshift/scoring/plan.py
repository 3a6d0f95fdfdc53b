"""The scoring plan: all that a shard's process needs to know, written down once.

A plan lies at ``<predictions>/_plans/ds=D/<fingerprint>-<digest>/plan.json``, beside the results of its shards.
The digest is that of its content: who makes the same plan again finds it, with the results that are there.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote

from nightshift import storage
from nightshift.errors import NightshiftError, PlanRefused
from nightshift.lineage import DataFile, canonical, recipe, sha256
from nightshift.model_manifest import FeatureColumn, model_uri
from nightshift.parts import version

_TABLE = "predictions"
_NAME = re.compile(r"[A-Za-z0-9-]+")


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
        """The digits by which predictions name their model."""
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
    """What the winning attempt at a shard wrote; ``file`` is relative to the predictions table's root.

    ``libraries`` are the versions that scored it.
    """

    shard: int
    file: DataFile
    sha256: str
    attempt: str
    seconds: float
    libraries: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The result as plain data."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "ShardResult":
        """The result that ``document()`` made."""
        return cls(**{**document, "file": DataFile(**document["file"])})


def read_plan(uri: str) -> ScoringPlan:
    """The plan at a location, which reads and writes beside it alone (see ``reasons_to_refuse``).

    Raises NightshiftError where there is none, PlanRefused where it is none, or names what lies elsewhere.
    """
    try:
        plan = ScoringPlan.read(storage.read_json(uri))
    except FileNotFoundError:
        raise NightshiftError("there is no scoring plan", where=uri, do="clear plan_scoring") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise refusal(uri, ["it is no scoring plan"]) from None
    if reasons := reasons_to_refuse(plan, uri):
        raise refusal(uri, reasons)
    return plan


def refusal(uri: str, reasons: Sequence[str]) -> PlanRefused:
    """The error of a plan that is not worked at."""
    return PlanRefused(
        f"the scoring plan is refused: {'; '.join(reasons)}",
        where=uri,
        allowed="plans that plan_scoring wrote, where it wrote them",
        do="clear plan_scoring",
    )


def reasons_to_refuse(plan: ScoringPlan, uri: str) -> list[str]:
    """The parts of the plan at ``uri`` that lie outside its job's own, in words; nothing where all is well. Pure.

    Whoever scores knows no settings: what it may touch follows from where the plan lies. The name of its folder has
    the digest of its content, so that a plan whose table is another, or that was altered, lies at a wrong place.
    """
    reasons = [] if plan.uri == uri else ["it does not lie where a plan of this content and this table does"]
    # Both are parts of where it lies, and of where its results are written.
    if not all(map(_NAME.fullmatch, (plan.ds, plan.fingerprint))):
        reasons.append("its day or its fingerprint is no plain name")
    if plan.table.rpartition("/")[2] != _TABLE:
        reasons.append("its table is none of predictions")
    if plan.model != model_uri(plan.model.rpartition("/")[0], plan.model_sha256):
        reasons.append("its model's file is not named after its SHA-256")
    root = features_beside(plan.table)
    if strange := sum(not is_below(piece.uri, root) for shard in plan.shards for piece in shard.pieces):
        reasons.append(f"{strange} of its files are not of the features beside its table")
    return reasons


def features_beside(table: str) -> str:
    """The URI of the features that the predictions at ``table`` are made of."""
    return storage.join(table.rpartition("/")[0], "features")


def is_below(uri: str, folder: str) -> bool:
    """Return whether a location lies below a folder: no part of the way there leads out of it, or to another store."""
    way = uri.removeprefix(f"{folder}/")
    if way == uri or ("://" in uri and set("?#") & set(way)):
        return False
    parts = unquote(way).split("/") if "://" in uri else way.split("/")
    return not {"", ".", ".."} & set(parts)


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
    """The hash of what decides what a score is: the version of the part that scores."""
    return recipe(scoring=version("scoring"))
