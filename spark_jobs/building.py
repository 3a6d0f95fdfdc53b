"""Building features and labels: a plan in, staged partitions and their manifests out."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from nightshift.errors import NightshiftError, SpecError
from nightshift.features.build_plan import BuildPlan, Target
from nightshift.lineage import DataFile
from nightshift.source_code import feature_code
from nightshift.tables import leave_staged
from spark_jobs.failures import as_error, place, what_was_raised
from spark_jobs.lines import with_line
from spark_jobs.reading import frames
from spark_jobs.writing import conform, module_file, stage

log = logging.getLogger("spark_jobs")

Entry = Callable[[Mapping[str, DataFrame], Sequence[str]], DataFrame]
HOME = Path(__file__).resolve().parents[1]
ENTRIES = {"features": "build", "labels": "label"}


def build_all(spark: SparkSession, plan: BuildPlan) -> None:
    """Stage every target of a plan, then leave the manifests. Raises NightshiftError."""
    staged: dict[tuple[str, str], tuple[DataFile, ...]] = {}
    for target in plan.targets:
        _compare_code(plan, target)
    for target in plan.targets:
        started = time.monotonic()
        rows = returned(spark, plan, target)
        try:
            files = stage(rows, target, plan.attempt, plan.rows_per_file)
        except Exception as error:
            located = with_line(error, partial(returned, spark, plan, target))
            raise as_error(located, _where(plan, target)) from error
        staged |= {(target.dataset, day): found for day, found in files.items()}
        count = sum(file.rows for found in files.values() for file in found)
        seconds = time.monotonic() - started
        log.info("%s: %d rows of %d days staged in %.1f s", target.dataset, count, len(files), seconds)
    tables = {target.dataset: target.table for target in plan.targets}
    for manifest in plan.manifests:
        files_of_day = staged[manifest.dataset, manifest.ds]
        leave_staged(tables[manifest.dataset], replace(manifest, files=files_of_day))


def returned(spark: SparkSession, plan: BuildPlan, target: Target) -> DataFrame:
    """What the feature module returns for a target, with the columns of the contract. Raises SpecError."""
    name = ENTRIES[target.dataset]
    where = _where(plan, target)
    function = _function(plan.module, name)
    inputs = frames(spark, plan, target)
    with _blamed(plan.module, where):
        frame = function(inputs, sorted(target.days))
    if not isinstance(frame, DataFrame):
        raise SpecError(f"returned {type(frame).__name__}", where=where, allowed="a Spark DataFrame")
    return conform(frame, target, where)


def _compare_code(plan: BuildPlan, target: Target) -> None:
    """Raises SpecError where the code here is not the plan's: other rows would carry its fingerprint."""
    planned = plan.code.get(target.dataset)
    if planned is None or planned == feature_code(HOME, plan.module, ENTRIES[target.dataset]):
        return
    raise SpecError(
        "the code here is not that of the plan, or Python is of another version",
        where=_where(plan, target),
        do="build the image of Spark's pods anew, and give it to the nodes; if code has just changed, clear the task",
    )


def _where(plan: BuildPlan, target: Target) -> str:
    return f"{module_file(plan.module)} {ENTRIES[target.dataset]}"


def _function(module: str, name: str) -> Entry:
    where = module_file(module)
    full_name = f"spark_jobs.features.{module}"
    try:
        found: Entry | None = getattr(import_module(full_name), name, None)
    except ModuleNotFoundError as error:
        if error.name != full_name:
            words = f"{place(error, where)}imports {error.name}, which is not installed"
            raise SpecError(words, where=where) from error
        raise SpecError("there is no such feature module", where=where, do="write it, or correct the spec") from None
    except Exception as error:
        words = f"cannot be imported: {place(error, where)}{what_was_raised(error)}"
        raise SpecError(words, where=where) from error
    if found is None:
        raise SpecError(f"there is no function {name}", where=where, allowed="build(inputs, days), label(inputs, days)")
    return found


@contextmanager
def _blamed(module: str, where: str) -> Iterator[None]:
    """An exception of the module becomes one line that names it; only words that hold no cell are shown."""
    try:
        yield
    except NightshiftError as error:
        if error.where:
            raise
        raise type(error)(error.what, where=where, allowed=error.allowed, do=error.do) from error
    except AnalysisException as error:
        words = str(error).splitlines()[0]
        raise SpecError(f"{place(error, module_file(module))}{words}", where=where) from error
    except Exception as error:
        words = f"{place(error, module_file(module))}{what_was_raised(error)}"
        raise SpecError(words, where=where) from error
