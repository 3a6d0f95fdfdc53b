"""Building features and labels: a plan in, staged partitions and their manifests out."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from nightshift.errors import NightshiftError, SpecError
from nightshift.features.build_plan import BuildPlan, Target
from nightshift.features.unbuilt import Unbuilt, leave_unbuilt, together
from nightshift.lineage import Manifest, libraries
from nightshift.parts import version
from nightshift.source_code import feature_code
from nightshift.tables import leave_staged
from spark_jobs.failures import as_error, is_lost, of_the_module, place, what_spark_said, what_was_raised
from spark_jobs.halves import Found, by_halves
from spark_jobs.lines import with_line
from spark_jobs.reading import frames
from spark_jobs.writing import conform, module_file, refuse_written, stage

log = logging.getLogger("spark_jobs")

Entry = Callable[[Mapping[str, DataFrame], Sequence[str]], DataFrame]
HOME = Path(__file__).resolve().parents[1]
ENTRIES = {"features": "build", "labels": "label"}


def build_all(spark: SparkSession, plan: BuildPlan) -> None:
    """Stage every day of a plan that can be built, and leave its manifest; leave of each other day why it cannot.

    Raises NightshiftError, which names all of those, once the days that can be built are staged.
    """
    for target in plan.targets:
        _compare_code(plan, target)
    failed = list[Unbuilt]()
    for target in sorted(plan.targets, key=lambda target: list(ENTRIES).index(target.dataset)):
        # One after the other: what is wrong with labels must not cost the features.
        refuse_written(target, plan.attempt)
        _function(plan.module, ENTRIES[target.dataset])
        failed += _build(spark, plan, target)
    if failed:
        raise together(failed, {target.dataset: len(target.days) for target in plan.targets})


def _build(spark: SparkSession, plan: BuildPlan, target: Target) -> list[Unbuilt]:
    """Build the days of a target, by halves where they fail together; leave of each day that is not built why.

    Raises NightshiftError where it is not the days: none can be built, and no line of the module is to blame.
    """
    manifests = {manifest.ds: manifest for manifest in plan.manifests if manifest.dataset == target.dataset}
    found = by_halves(list(target.days), _Tries(spark, plan, target, manifests))
    failed = [Unbuilt.of(manifests[day], error) for day, error in found.bad.items()]
    failed += [Unbuilt.of(manifests[day], _not_tried(found)) for day in found.not_tried]
    for item in failed:
        leave_unbuilt(target.table, item)
    return failed


def _not_tried(found: Found) -> NightshiftError:
    """The error of a day that was given up because others failed: the last one's, since the day's own is not known."""
    last = list(found.bad.values())[-1]
    words = f"not tried, since {len(found.bad)} other days failed alone, the last with: {last.what}"
    return type(last)(words, where=last.where, allowed=last.allowed, do=last.do)


class _Tries:
    """The tries at some days of a target; each has a root of its own."""

    def __init__(self, spark: SparkSession, plan: BuildPlan, target: Target, manifests: Mapping[str, Manifest]) -> None:
        self.spark, self.plan, self.target, self.manifests = spark, plan, target, manifests
        self.number, self.failed, self.of_days = count(), 0, False

    def __call__(self, days: Sequence[str]) -> NightshiftError | None:
        """Stages the days together, or returns why not. Raises NightshiftError where it is not the days."""
        part = _part(self.target, days, self.manifests)
        try:
            _stage_days(self.spark, self.plan, part, self.manifests, next(self.number))
        except Exception as error:
            raised = as_error(error, _where(self.plan, self.target))
            if is_lost(error) or not self._may_be_of(days, error):
                raise raised from error
            if len(days) > 1:
                log.info("%s: %d days from %s fail together: %s", part.dataset, len(days), days[0], raised.what)
            return raised
        self.of_days = True
        return None

    def _may_be_of(self, days: Sequence[str], error: Exception) -> bool:
        """Whether an error may be that of these days: of two alone it is not, unless a line of the module is to blame.

        Where a day has been built, or was to blame before, it may.
        """
        if len(days) > 1:
            return True
        self.failed += 1
        self.of_days = self.of_days or of_the_module(error)
        return self.of_days or (self.failed == 1 and len(self.target.days) > 1)


def _part(target: Target, days: Sequence[str], manifests: Mapping[str, Manifest]) -> Target:
    """A target with some of its days alone, and of its sources what these may read."""
    if len(days) == len(target.days):
        return target
    reads = {
        name: {day for ds in days for day in manifests[ds].upstream[f"inputs/{name}"].days} for name in target.inputs
    }
    return replace(
        target,
        days={day: target.days[day] for day in days},
        inputs={name: tuple(sorted(some)) for name, some in reads.items()},
    )


def _stage_days(
    spark: SparkSession, plan: BuildPlan, target: Target, manifests: Mapping[str, Manifest], number: int
) -> None:
    """Stage all days of a target, then leave their manifests. Each try has a root of its own."""
    started = time.monotonic()
    attempt = f"{plan.attempt}-{number}" if number else plan.attempt
    rows = returned(spark, plan, target)
    try:
        files = stage(rows, target, attempt, plan.rows_per_file)
    except Exception as error:
        alone = len(target.days) == 1
        located = with_line(error, partial(returned, spark, plan, target)) if alone else error
        if located is error:
            raise
        raise located from error
    for day, found in files.items():
        manifest = replace(manifests[day], files=found, attempt=attempt, libraries=libraries())
        leave_staged(target.table, manifest)
    rows_staged = sum(file.rows for found in files.values() for file in found)
    seconds = time.monotonic() - started
    log.info("%s: %d rows of %d days staged in %.1f s", target.dataset, rows_staged, len(files), seconds)


def returned(spark: SparkSession, plan: BuildPlan, target: Target) -> DataFrame:
    """What the feature module returns for a target, with the columns of the contract. Raises SpecError."""
    name = ENTRIES[target.dataset]
    where = _where(plan, target)
    function = _function(plan.module, name)
    inputs = frames(spark, plan, target)
    contract = {*target.columns, *(name for source in plan.sources.values() for name in source.columns)}
    with _blamed(plan.module, where, contract):
        frame = function(inputs, sorted(target.days))
    if not isinstance(frame, DataFrame):
        raise SpecError(f"returned {type(frame).__name__}", where=where, allowed="a Spark DataFrame")
    return conform(frame, target, where)


def _compare_code(plan: BuildPlan, target: Target) -> None:
    """Raises SpecError where the code here is not the plan's: other rows would carry its fingerprint."""
    planned, library = plan.code.get(target.dataset), plan.library or version("building")
    if planned is None:
        return
    here = feature_code(HOME, plan.module, ENTRIES[target.dataset], plan.reads), version("building")
    if here == (planned, library):
        return
    raise SpecError(
        "the code here is not that of the plan",
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
def _blamed(module: str, where: str, columns: Collection[str]) -> Iterator[None]:
    """An exception of the module becomes one line that names it; only words that hold no cell are shown."""
    try:
        yield
    except NightshiftError as error:
        if error.where:
            raise
        raise type(error)(error.what, where=where, allowed=error.allowed, do=error.do) from error
    except AnalysisException as error:
        words = f"{place(error, module_file(module))}{what_spark_said(error, columns)}"
        raise SpecError(words, where=where) from error
    except Exception as error:
        words = f"{place(error, module_file(module))}{what_was_raised(error)}"
        raise SpecError(words, where=where) from error
