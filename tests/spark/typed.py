"""Landing files as staged tables, and build plans over them, for any pipeline from its spec alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from nightshift.features.build_plan import BuildPlan, Source, Target
from nightshift.inputs.landing import partition_files, snapshot_days
from nightshift.inputs.parse import Landing, parse
from nightshift.job import table_uri
from nightshift.lineage import Manifest, Upstream
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from nightshift.tables import arrow_schema, write_partition

ATTEMPT, FINGERPRINT = "published", "f0"

Reads = Mapping[str, Sequence[date]]


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def published(settings: Settings, pipeline: Pipeline, name: str, day: date) -> tuple[str, ...]:
    """The typed files of one day of a source, made from its landing files; none where nothing has landed."""
    source, table = pipeline.inputs[name], table_uri(settings, pipeline, f"inputs/{name}")
    files = partition_files(settings, source, day)
    if not files:
        return ()
    root = Path(table, f"attempt={ATTEMPT}", f"ds={day}")
    if not root.exists():
        schema = arrow_schema({column: item.type for column, item in source.columns.items()})
        batches = parse(files, source, pipeline.schedule.zone, Landing())
        write_partition(table, ATTEMPT, day.isoformat(), FINGERPRINT, schema, batches)
    return tuple(str(path) for path in sorted(root.rglob("*.parquet")))


def known(settings: Settings, pipeline: Pipeline, days: Iterable[date]) -> dict[str, list[date]]:
    """The partitions of each source that features of some days may read, as the spec's lags say."""
    reads: dict[str, set[date]] = {name: set() for name in pipeline.feature_inputs}
    for ds in days:
        for name, source in pipeline.feature_inputs.items():
            if source.snapshot:
                newest = source.newest_snapshot(snapshot_days(settings, source), ds)
                reads[name] |= {newest} if newest and not source.too_old(newest, ds) else set()
            else:
                reads[name] |= set(source.feature_days(ds))
    return {name: sorted(some) for name, some in reads.items()}


def mature(pipeline: Pipeline, days: Iterable[date]) -> dict[str, list[date]]:
    """The partitions that labels of some days may read."""
    lag, wanted = pipeline.label.lag, list(days)
    return {
        name: sorted({day for ds in wanted for day in source.label_days(ds, lag)})
        for name, source in pipeline.label_inputs.items()
    }


def build_plan(
    settings: Settings,
    pipeline: Pipeline,
    features: Sequence[date],
    labels: Sequence[date] = (),
    *,
    attempt: str = "a1",
    reads: Reads | None = None,
    rows_per_file: int | None = None,
    code: Mapping[str, str] | None = None,
) -> BuildPlan:
    """The plan of one job over all of these days, on what has landed; ``reads`` replaces what features may read."""
    chosen = {
        "features": (list(features), known(settings, pipeline, features) if reads is None else reads),
        "labels": (list(labels), mature(pipeline, labels)),
    }
    targets = tuple(
        _target(settings, pipeline, dataset, days, some) for dataset, (days, some) in chosen.items() if days
    )
    wanted = {(name, day) for _, some in chosen.values() for name, days in some.items() for day in days}
    return BuildPlan(
        pipeline=pipeline.name,
        module=pipeline.module,
        attempt=attempt,
        run_id="test",
        timezone=pipeline.schedule.timezone,
        rows_per_file=rows_per_file or pipeline.scoring.rows_per_shard,
        sources={name: _source(settings, pipeline, name, wanted) for name in pipeline.inputs},
        targets=targets,
        manifests=tuple(
            _manifest(settings, pipeline, target, day, attempt) for target in targets for day in target.days
        ),
        code=dict(code or {}),
    )


def _target(settings: Settings, pipeline: Pipeline, dataset: str, days: Sequence[date], reads: Reads) -> Target:
    contract = pipeline.feature_contract if dataset == "features" else pipeline.label_contract
    return Target(
        dataset=dataset,
        table=table_uri(settings, pipeline, dataset),
        key=pipeline.features.key,
        columns={name: column.type for name, column in contract.items()},
        days={ds.isoformat(): f"f{ds:%m%d}" for ds in days},
        inputs={name: tuple(map(str, some)) for name, some in reads.items()},
    )


def _source(settings: Settings, pipeline: Pipeline, name: str, wanted: Iterable[tuple[str, date]]) -> Source:
    source = pipeline.inputs[name]
    days = sorted(day for source_name, day in wanted if source_name == name)
    files = {day.isoformat(): published(settings, pipeline, name, day) for day in days}
    lag = source.lag if source.snapshot else 0
    return Source({column: item.type for column, item in source.columns.items()}, source.snapshot, files, lag)


def _manifest(settings: Settings, pipeline: Pipeline, target: Target, day: str, attempt: str) -> Manifest:
    ds = [date.fromisoformat(day)]
    reads = known(settings, pipeline, ds) if target.dataset == "features" else mature(pipeline, ds)
    return Manifest(
        pipeline=pipeline.name,
        dataset=target.dataset,
        ds=day,
        fingerprint=target.days[day],
        attempt=attempt,
        run_id="test",
        created_at=datetime.now(UTC).isoformat(),
        code_version="test",
        spec_hash="test",
        upstream={f"inputs/{name}": Upstream(0, dict.fromkeys(map(str, some), "f0")) for name, some in reads.items()},
    )
