"""Whether features of a day change with what is not known at its cutoff. For any pipeline, from its spec alone."""

from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightshift.features.build_plan import BuildPlan, Target
from nightshift.inputs.landing import partition_files, snapshot_days
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from spark_jobs.building import returned
from spark_jobs.failures import as_error
from tests.spark.typed import Reads, build_plan, known

TOLERANCE = 1e-9  # relative: a module may add doubles in any order


def landed_days(settings: Settings, pipeline: Pipeline) -> dict[str, list[date]]:
    """The days of each feature source of which landing has files."""
    return {name: snapshot_days(settings, source) for name, source in pipeline.feature_inputs.items()}


def days_to_try(settings: Settings, pipeline: Pipeline, count: int) -> list[date]:
    """Some days of the spec's range, spread out, for which all that features may read has landed and more besides."""
    landed = landed_days(settings, pipeline)
    schedule = pipeline.schedule
    everything = sorted({day for days in landed.values() for day in days})
    ready = [
        ds
        for ds in everything
        if schedule.start <= ds <= (schedule.end or ds) and ds < everything[-1] and _ready(settings, pipeline, ds)
    ]
    return [ready[len(ready) * number // count] for number in range(count)] if len(ready) >= count else ready


def changed_columns(spark: Any, settings: Settings, pipeline: Pipeline, ds: date) -> list[str]:
    """The columns of a day's features that differ once all that is not known at its cutoff is deleted.

    The module is asked for the same day twice: with everything that has landed, and with what the lags, lookbacks
    and snapshot dates of the spec make known. ``<rows>`` where there are other rows.
    """
    with_all = _features(spark, settings, pipeline, ds, landed_days(settings, pipeline))
    without = _features(spark, settings, pipeline, ds, known(settings, pipeline, [ds]))
    return differences(with_all, without, pipeline.features.key)


def differences(left: pa.Table, right: pa.Table, key: tuple[str, ...]) -> list[str]:
    """The columns in which two tables differ, their rows taken in the order of the key."""
    order = [("ds", "ascending"), *((name, "ascending") for name in key)]
    left, right = left.sort_by(order), right.sort_by(order)
    names = ["ds", *key]
    if left.num_rows != right.num_rows or not left.select(names).equals(right.select(names)):
        return ["<rows>"]
    return [name for name in left.column_names if not _same(left[name], right[name])]


def _same(left: pa.ChunkedArray, right: pa.ChunkedArray) -> bool:
    if left.combine_chunks().equals(right.combine_chunks()):
        return True
    if not pa.types.is_floating(left.type) or not pc.is_null(left).equals(pc.is_null(right)):
        return False
    near = pc.less_equal(pc.abs(pc.subtract(left, right)), pc.multiply(pc.abs(left), TOLERANCE))
    return bool(pc.all(pc.or_(near, pc.equal(left, right)), skip_nulls=True).as_py())


def _features(spark: Any, settings: Settings, pipeline: Pipeline, ds: date, reads: Reads) -> pa.Table:
    plan = build_plan(settings, pipeline, [ds], reads=reads)
    return rows_of(spark, plan, plan.targets[0])


def rows_of(spark: Any, plan: BuildPlan, target: Target) -> pa.Table:
    """What the feature module returns for a target, computed. Raises NightshiftError where Spark gives up."""
    rows = returned(spark, plan, target)
    try:
        return rows.toArrow()
    except Exception as error:
        raise as_error(error, plan.module) from error


def _ready(settings: Settings, pipeline: Pipeline, ds: date) -> bool:
    for name, days in known(settings, pipeline, [ds]).items():
        source = pipeline.inputs[name]
        absent = sum(not partition_files(settings, source, day) for day in days)
        if absent > source.absent_allowed or not days:
            return False
    return True
