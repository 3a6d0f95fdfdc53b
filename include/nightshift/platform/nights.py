"""The table of the days that a backfill ends with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from nightshift import tables
from nightshift.aligned import aligned
from nightshift.job import Job
from nightshift.platform.airflow_client import Run
from nightshift.registry.champions import champion_as_of
from nightshift.registry.ledger import Ledger
from nightshift.scoring.coverage import shortfall
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


@dataclass(frozen=True)
class Night:
    """One day of the table; None where there is nothing yet. ``shortfall`` says what is not scored of what landed."""

    ds: str
    rows_in: int | None
    quarantined: int | None
    scored: int | None
    champion: str | None
    metric: float | None
    seconds: float | None
    shortfall: str = ""


def nights_of(settings: Settings, pipeline: Pipeline, wanted: Sequence[date], runs: Mapping[str, Run]) -> list[Night]:
    """The table's rows; every dataset and the ledger are read once."""
    job = Job(settings, pipeline, wanted[0])
    spine = pipeline.features.spine
    landed = tables.state(job.table(f"inputs/{spine}")) if spine and not pipeline.inputs[spine].snapshot else None
    predictions, monitoring = tables.state(job.table("predictions")), tables.state(job.table("monitoring"))
    entries = Ledger.of(settings).entries(pipeline.name)

    def night(ds: date) -> Night:
        day, run = ds.isoformat(), runs.get(ds.isoformat())
        counts = _counts(landed, pipeline.inputs[spine].feature_days(ds)[-1]) if landed and spine else {}
        scored, champion = predictions.partitions.get(day), champion_as_of(entries, ds)
        return Night(
            ds=day,
            rows_in=counts.get("landed"),
            quarantined=counts.get("quarantined"),
            scored=scored.rows if scored else None,
            champion=champion.version if champion else None,
            metric=_metric(pipeline, monitoring, day),
            seconds=run.seconds if run else None,
            shortfall=shortfall(scored.rows, _counts(predictions, ds)) if scored else "",
        )

    return [night(ds) for ds in wanted]


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
    heads = ["day", "rows in", "quarantined", "scored", "champion", metric, "seconds"]
    rows = [
        [
            night.ds,
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
