"""A wide synthetic model, its features, and a plan to score them.

``python -m benchmarks.wide_model FOLDER FILES ROWS SHARDS`` (rows of each file) prints the plan's URI.

39 columns (4 categories, 10 integers, 25 numbers with nulls), 200 trees of depth 6. A process of its own: what it
needs of memory must not count for those that are measured.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost as xgb

from nightshift import storage
from nightshift.lineage import sha256
from nightshift.model_manifest import FeatureColumn, encode, model_uri
from nightshift.scoring.plan import ScoringPlan, scoring_code
from nightshift.scoring.shards import divide

CATEGORIES = {f"c{at}": tuple(f"{value:03d}" for value in range(20 * (at + 1))) for at in range(4)}
COLUMNS = (
    *(FeatureColumn(name, "category") for name in CATEGORIES),
    *(FeatureColumn(f"i{at}", "integer") for at in range(10)),
    *(FeatureColumn(f"n{at}", "number") for at in range(25)),
)
TRAINED_ON = 50_000


def rows(count: int, seed: int) -> pa.Table:
    """Features with a key of their own; one in twenty of the numbers is null."""
    random = np.random.default_rng(seed)
    columns = {"parcel_id": pa.array(np.char.add("parcel-", np.char.zfill(np.arange(count).astype("U9"), 9)))}
    for column in COLUMNS:
        if column.type == "category":
            values = np.array(CATEGORIES[column.name])
            columns[column.name] = pa.array(values[random.integers(0, len(values), count)])
        elif column.type == "integer":
            columns[column.name] = pa.array(random.integers(0, 300, count))
        else:
            columns[column.name] = pa.array(np.round(random.normal(size=count), 3), mask=random.random(count) < 0.05)
    return pa.table(columns)


def train() -> bytes:
    """The model as UBJSON."""
    matrix = encode(rows(TRAINED_ON, seed=1), COLUMNS, CATEGORIES)
    total = np.nan_to_num(matrix[:, 14:]).sum(axis=1) + matrix[:, 4] / 100
    label = total + np.random.default_rng(2).normal(size=TRAINED_ON) > np.median(total)
    data = xgb.DMatrix(matrix, label=label.astype(float), feature_names=[column.name for column in COLUMNS])
    params = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.05, "seed": 3}
    return bytes(xgb.train(params, data, num_boost_round=200).save_raw("ubj"))


def make_plan(folder: Path, files: int, rows_per_file: int, shards: int) -> ScoringPlan:
    """Files of features as Spark would write them, a model, and the plan of so many shards."""
    (folder / "features").mkdir(parents=True)
    first = folder / "features" / "part-00000.parquet"
    pq.write_table(rows(rows_per_file, seed=5), first)
    paths = [first, *(first.with_name(f"part-{number:05d}.parquet") for number in range(1, files))]
    for path in paths[1:]:
        shutil.copy(first, path)
    content = train()
    digest = sha256(content)
    model = model_uri(str(folder / "models"), digest)
    storage.write_bytes(model, content)
    plan = ScoringPlan(
        pipeline="wide",
        ds="2024-02-10",
        table=str(folder / "predictions"),
        fingerprint="0123456789abcdef",
        features="fedcba9876543210",
        model=model,
        model_sha256=digest,
        objective="binary",
        columns=COLUMNS,
        categories=CATEGORIES,
        feature_code="c" * 16,
        scoring_code=scoring_code(),
        key={"parcel_id": "string"},
        threads=1,
        shards=divide([(str(path), rows_per_file) for path in paths], -(-files * rows_per_file // shards)),
    )
    storage.create_json(plan.uri, plan.document())
    return plan


if __name__ == "__main__":
    print(make_plan(Path(sys.argv[1]), *map(int, sys.argv[2:5])).uri)
