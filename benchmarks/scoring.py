"""A scoring process from its start to its end, beside XGBoost alone and beside MLflow's pyfunc."""

import os
from pathlib import Path

from benchmarks.figures import Figure, Result, Target, rates
from benchmarks.measure import Cost, each, python, take_turns
from benchmarks.session import Session
from nightshift.commands import ScoreCommand
from nightshift.scoring.plan import read_plan, result_uri

UNIT = "rows per cpu s"
# Whatever asks OpenMP gets the thread that the plan gives ours.
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def run(session: Session) -> Result:
    """Rows per cpu second at two sizes, and the memory at the larger one."""
    rows = session.pick(1_000_000, 20_000)
    small, large = _plan(session, 1, rows), _plan(session, 10, rows)
    python("-m", "benchmarks.scoring_peers", "save-pyfunc", small)
    repeats, few = session.pick(5, 1), session.pick(2, 1)
    at_small, _ = _beside_memory(session, small, repeats)
    at_large, costs = _beside_memory(session, large, few)
    memory = Figure(
        name=f"memory of scoring {10 * rows:,} rows",
        unit="MB",
        samples=each(costs, lambda cost: cost.rss),
        target=Target("at most", 500),
    )
    return Result((at_small, at_large, _beside_pyfunc(session, small, repeats), memory))


def _plan(session: Session, files: int, rows_per_file: int) -> str:
    session.say(f"making {files * rows_per_file:,} rows")
    folder = session.folder / f"wide-{files}"
    return python("-m", "benchmarks.wide_model", folder, str(files), str(rows_per_file), "1").output.strip()


def _score(plan: str) -> Cost:
    Path(result_uri(plan, 0)).unlink(missing_ok=True)
    return python("-m", ScoreCommand.module, *ScoreCommand(plan, 0).argv())


def _beside_memory(session: Session, plan: str, repeats: int) -> tuple[Figure, list[Cost]]:
    rows = read_plan(plan).rows
    ours, theirs = take_turns(
        lambda: _score(plan),
        lambda: float(python("-m", "benchmarks.scoring_peers", "in-memory", plan).output),
        repeats,
        session.say,
        warm=repeats > 2,
    )
    figure = Figure(
        name=f"scoring {rows:,} rows, whole process",
        unit=UNIT,
        samples=rates(rows, [cost.cpu for cost in ours]),
        peer="`inplace_predict` alone, rows in memory",
        peer_samples=rates(rows, theirs),
        target=Target("at least", 0.8),
    )
    return figure, ours


def _beside_pyfunc(session: Session, plan: str, repeats: int) -> Figure:
    rows = read_plan(plan).rows
    ours, theirs = take_turns(
        lambda: _score(plan),
        lambda: python("-m", "benchmarks.scoring_peers", "pyfunc", plan, env=ONE_THREAD),
        repeats,
        session.say,
    )
    return Figure(
        name=f"scoring {rows:,} rows, whole process",
        unit=UNIT,
        samples=rates(rows, [cost.cpu for cost in ours]),
        peer="MLflow pyfunc, whole process",
        peer_samples=rates(rows, [cost.cpu for cost in theirs]),
        target=Target("at least", 2.0),
    )
