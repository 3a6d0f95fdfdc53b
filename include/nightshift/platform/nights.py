"""The table of the days that a backfill ends with."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

from nightshift import tables
from nightshift.aligned import aligned
from nightshift.freshness.scored import ScoredDays
from nightshift.inputs.lacks import lack_lines
from nightshift.job import Job
from nightshift.platform.airflow_client import Run
from nightshift.registry.champions import champion_as_of
from nightshift.registry.ledger import Ledger
from nightshift.run_state import RunState
from nightshift.runs import read_run, refused_corrections
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline

_READERS = 8


@dataclass(frozen=True)
class Night:
    """One day of the table; None where there is nothing yet.

    ``shortfall`` says what is not scored of what landed, ``without`` which deliveries it was scored without, and
    ``refused_corrections`` counts those that its gates refused: what was published before stays.
    """

    ds: str
    state: RunState
    rows_in: int | None
    quarantined: int | None
    scored: int | None
    champion: str | None
    metric: float | None
    seconds: float | None
    shortfall: str = ""
    without: tuple[str, ...] = ()
    refused_corrections: int = 0


def nights_of(settings: Settings, pipeline: Pipeline, wanted: Sequence[date], runs: Mapping[str, Run]) -> list[Night]:
    """The table's rows; every dataset and the ledger are read once."""
    job = Job(settings, pipeline, wanted[0])
    spine = pipeline.features.spine
    landed = tables.state(job.table(f"inputs/{spine}")) if spine and not pipeline.inputs[spine].snapshot else None
    scored_days, monitoring = ScoredDays(settings, pipeline), tables.state(job.table("monitoring"))
    said = _said(settings, pipeline.name, runs)
    entries = Ledger.of(settings).entries(pipeline.name)

    def night(ds: date) -> Night:
        day, run = ds.isoformat(), runs.get(ds.isoformat())
        counts = _counts(landed, pipeline.inputs[spine].feature_days(ds)[-1]) if landed and spine else {}
        scored, champion = scored_days[ds], champion_as_of(entries, ds)
        steps = said.get(day, [])
        return Night(
            ds=day,
            state=scored.facts(steps, airflow=run.state if run else "").state,
            rows_in=counts.get("landed"),
            quarantined=counts.get("quarantined"),
            scored=scored.rows,
            champion=champion.version if champion else None,
            metric=_metric(pipeline, monitoring, day),
            seconds=run.seconds if run else None,
            shortfall=scored.shortfall,
            without=tuple(lack_lines(scored.without)),
            refused_corrections=refused_corrections(steps),
        )

    return [night(ds) for ds in wanted]


def _said(settings: Settings, dag: str, runs: Mapping[str, Run]) -> dict[str, list[dict[str, Any]]]:
    """What the steps of each run said; on an object store the pages of many runs are read side by side."""
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(runs, pool.map(lambda run: read_run(settings, dag, run.run_id), runs.values()), strict=True))


def _counts(landed: tables.TableState, ds: date) -> Mapping[str, int]:
    """What the manifest of a published day counted."""
    manifest = landed.manifest(ds.isoformat())
    return manifest.counts if manifest else {}


def _metric(pipeline: Pipeline, monitoring: tables.TableState, day: str) -> float | None:
    column = "average_precision" if pipeline.label.objective == "binary" else "rmse"
    known = day in monitoring.partitions and not monitoring.damage(day)
    values = tables.read(monitoring.uri, monitoring.files(day), [column]) if known else None
    return values[column][0].as_py() if values is not None and values.num_rows else None


def table(pipeline: Pipeline, nights: Sequence[Night]) -> str:
    """The nights as aligned text."""
    metric = "avg precision" if pipeline.label.objective == "binary" else "RMSE"
    heads = ["day", "state", "rows in", "quarantined", "scored", "champion", metric, "seconds"]
    rows = [
        [
            night.ds,
            night.state,
            *(
                "-" if number is None else str(number)
                for number in (night.rows_in, night.quarantined, night.scored, night.champion)
            ),
            "-" if night.metric is None else f"{night.metric:.3f}",
            "-" if night.seconds is None else f"{night.seconds:.0f}",
        ]
        for night in nights
    ]
    return aligned([heads, *rows], [True] * len(heads), rule=True)
