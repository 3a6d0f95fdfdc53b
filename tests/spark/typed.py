"""Landing files as staged tables, and build plans over them, for any pipeline from its spec alone."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from nightshift import storage
from nightshift.features.build_plan import BuildPlan, Source, Target
from nightshift.job import table_uri
from nightshift.lineage import Manifest
from nightshift.settings import Settings
from nightshift.specs.model import Input, Pipeline
from nightshift.tables import arrow_schema, write_partition

ATTEMPT = "published"


def published(settings: Settings, pipeline: Pipeline, name: str, day: date) -> tuple[str, ...]:
    """The typed file of one day of a source, made from its landing files; none where nothing has landed."""
    source, table = pipeline.inputs[name], table_uri(settings, pipeline, f"inputs/{name}")
    folder, _, pattern = storage.join(settings.landing, source.path.replace("{ds}", day.isoformat())).rpartition("/")
    there = [path for path in sorted(Path(folder).glob(pattern)) if source.file_format == "csv"]
    if not there:
        return ()
    root = Path(table, f"attempt={ATTEMPT}", f"ds={day}")
    if not root.exists():
        rows = pa.concat_tables([_rows(path, source) for path in there])
        write_partition(table, ATTEMPT, day.isoformat(), "test", rows.schema, rows.to_batches())
    return tuple(str(path) for path in sorted(root.rglob("*.parquet")))


def _rows(path: Path, source: Input) -> pa.Table:
    from pyarrow import csv as arrow_csv

    schema = arrow_schema({column: item.type for column, item in source.columns.items()})
    options = arrow_csv.ConvertOptions(
        column_types=schema,
        include_columns=schema.names,
        null_values=list(source.null_values),
        strings_can_be_null=True,
    )
    return arrow_csv.read_csv(
        path, parse_options=arrow_csv.ParseOptions(delimiter=source.delimiter), convert_options=options
    )


def landed_days(settings: Settings, source: Input) -> list[date]:
    """The days (``as_of`` of a snapshot) of which landing has something."""
    before, _, after = source.path.partition("{ds}")
    days = (
        Path(path).relative_to(settings.landing).as_posix() for path in Path(settings.landing, before).parent.glob("*")
    )
    return sorted(
        date.fromisoformat(day[len(before) : len(before) + 10]) for day in days if day.startswith(before) and after
    )


def readable(settings: Settings, pipeline: Pipeline, name: str, ds: date) -> list[date]:
    """The partitions of a source that features of a day may read, as the spec's lags say."""
    source = pipeline.inputs[name]
    if source.snapshot:
        return [day for day in landed_days(settings, source) if day <= ds][-1:]
    return source.feature_days(ds)


def build_plan(
    settings: Settings, pipeline: Pipeline, features: Sequence[date], labels: Sequence[date] = (), attempt: str = "a1"
) -> BuildPlan:
    """The plan of one job over all of these days, on what has landed."""
    reads = {
        "features": {
            name: sorted({day for ds in features for day in readable(settings, pipeline, name, ds)})
            for name in pipeline.feature_inputs
        },
        "labels": {
            name: sorted({day for ds in labels for day in source.label_days(ds, pipeline.label.lag)})
            for name, source in pipeline.label_inputs.items()
        },
    }
    contracts = {"features": pipeline.feature_contract, "labels": pipeline.label_contract}
    targets = tuple(
        Target(
            dataset=dataset,
            table=table_uri(settings, pipeline, dataset),
            key=pipeline.features.key,
            columns={name: column.type for name, column in contracts[dataset].items()},
            days={ds.isoformat(): f"f{ds:%m%d}" for ds in days},
            inputs={name: tuple(map(str, some)) for name, some in reads[dataset].items()},
        )
        for dataset, days in (("features", features), ("labels", labels))
        if days
    )
    files = {name: {str(day) for found in reads.values() for day in found.get(name, ())} for name in pipeline.inputs}
    return BuildPlan(
        pipeline=pipeline.name,
        module=pipeline.module,
        attempt=attempt,
        run_id="test",
        timezone=pipeline.schedule.timezone,
        rows_per_file=pipeline.scoring.rows_per_shard,
        sources={name: _source(settings, pipeline, name, days) for name, days in files.items()},
        targets=targets,
        manifests=tuple(_manifest(pipeline, target, day, attempt) for target in targets for day in target.days),
    )


def days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _source(settings: Settings, pipeline: Pipeline, name: str, days: Iterable[str]) -> Source:
    source = pipeline.inputs[name]
    files = {day: published(settings, pipeline, name, date.fromisoformat(day)) for day in sorted(days)}
    return Source({column: item.type for column, item in source.columns.items()}, source.snapshot, files)


def _manifest(pipeline: Pipeline, target: Target, day: str, attempt: str) -> Manifest:
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
    )
