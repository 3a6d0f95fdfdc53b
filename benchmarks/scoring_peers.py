"""Other ways to score the rows of a plan: ``python -m benchmarks.scoring_peers WAY PLAN`` prints what it cost.

``in-memory``: all rows lie in memory as one matrix, and only ``inplace_predict`` is counted. ``save-pyfunc`` writes
the model as MLflow would, ``pyfunc`` scores with that: Parquet to pandas, ``predict``.
"""

import sys
import time
from pathlib import Path

from nightshift.model_manifest import encode
from nightshift.scoring.plan import ScoringPlan, read_plan


def in_memory(plan: ScoringPlan) -> float:
    """The cpu seconds of predicting all rows at once."""
    import numpy as np
    import pyarrow.parquet as pq
    import xgboost as xgb

    matrix, start = np.empty((plan.rows, len(plan.columns)), dtype=np.float32), 0
    for piece in plan.shards[0].pieces:
        for batch in pq.ParquetFile(piece.uri).iter_batches():
            matrix[start : start + batch.num_rows] = encode(batch, plan.columns, plan.categories)
            start += batch.num_rows
    booster = xgb.Booster(params={"nthread": plan.threads}, model_file=plan.model)
    began = time.process_time()
    booster.inplace_predict(matrix)
    return time.process_time() - began


def save_pyfunc(plan: ScoringPlan) -> None:
    """Write the model as one of MLflow's, beside the plan's own."""
    import mlflow.xgboost
    import xgboost as xgb

    mlflow.xgboost.save_model(xgb.Booster(model_file=plan.model), pyfunc_folder(plan))


def pyfunc(plan: ScoringPlan) -> int:
    """Scores all rows; returns how many there were."""
    import mlflow.pyfunc
    import pandas as pd

    model = mlflow.pyfunc.load_model(str(pyfunc_folder(plan)))
    names = [column.name for column in plan.columns]
    frame = pd.concat(pd.read_parquet(piece.uri, columns=names) for piece in plan.shards[0].pieces)
    for name, values in plan.categories.items():
        frame[name] = frame[name].map({value: float(ordinal) for ordinal, value in enumerate(values)})
    return len(model.predict(frame))


def pyfunc_folder(plan: ScoringPlan) -> Path:
    """Where ``save_pyfunc`` writes."""
    return Path(plan.model).parent / "pyfunc"


if __name__ == "__main__":
    WAYS = {"in-memory": in_memory, "save-pyfunc": save_pyfunc, "pyfunc": pyfunc}
    print(WAYS[sys.argv[1]](read_plan(sys.argv[2])))
