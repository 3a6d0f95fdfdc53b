"""Evaluating checks with Great Expectations, and refusing what a gate blocked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from threading import get_ident
from typing import TYPE_CHECKING, Any, Protocol

from nightshift.errors import GateFailed
from nightshift.gates.engine import great_expectations, gx_validate
from nightshift.gates.report import next_steps, text_table
from nightshift.gates.results import NO_ANSWER, CheckResult, GateReport, label, result_of
from nightshift.gates.suite import Check
from nightshift.specs.model import Column

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Audit", "CheckResult", "Engine", "GateReport", "PandasEngine", "audit", "audit_with", "enforce"]

Request = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Audit:
    """The results in the order of the checks, and the rows to remove: position to the names of what they failed."""

    results: tuple[CheckResult, ...]
    failing: dict[int, list[str]]


class Engine(Protocol):
    """A frame that Great Expectations can judge. Rows are known by their position from 0."""

    def validate(self, checks: Sequence[Request], positions: bool) -> list[dict[str, Any]]:
        """GX's answer to each (name, arguments), in that order; ``positions`` asks for the unexpected ones."""
        ...

    def without(self, positions: Collection[int]) -> "Engine":
        """The frame without some rows; the others keep their positions."""
        ...


@dataclass(frozen=True)
class PandasEngine:
    """A pandas frame whose index is the position of each row."""

    frame: "DataFrame"

    def validate(self, checks: Sequence[Request], positions: bool) -> list[dict[str, Any]]:
        """See ``Engine``."""
        context, definition = _pandas_batches(get_ident())
        return gx_validate(context, definition.get_batch({"dataframe": self.frame}), checks, positions)

    def without(self, positions: Collection[int]) -> "PandasEngine":
        """See ``Engine``."""
        return PandasEngine(self.frame.drop(index=list(positions)))


@cache
def _pandas_batches(_thread: int) -> tuple[Any, Any]:
    """GX's context and batch definition, one for each thread: making them costs as much as three expectations."""
    context = great_expectations().get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("rows")
    return context, asset.add_batch_definition_whole_dataframe("all")


def audit(
    frame: "DataFrame", checks: Sequence[Check], columns: Mapping[str, Column] | None = None, removable: int = 0
) -> Audit:
    """Judge a pandas frame; see ``audit_with``."""
    return audit_with(PandasEngine(frame.reset_index(drop=True)), checks, columns or {}, removable)


def audit_with(engine: Engine, checks: Sequence[Check], columns: Mapping[str, Column], removable: int) -> Audit:
    """Judge a frame, and find the rows to remove, if they are not more than ``removable``.

    Where rows are to be removed, table-level expectations are measured on the rows that remain: these are what
    would be published. ``columns`` says which columns are public, and which hold dates and timestamps.
    """
    results = _judged(engine, checks, columns)
    failed = [check for check, result in zip(checks, results, strict=True) if check.row_level and not result.success]
    worst = max((result.unexpected for result in results if result.row_level), default=0)
    if not failed or worst > removable or any(result.row_level and result.error for result in results):
        return Audit(tuple(results), {})
    failing, located = _failing(engine, failed, columns)
    places = iter(located)
    results = [
        _checked(result, next(places)) if result.row_level and not result.success else result for result in results
    ]
    if len(failing) > removable or any(result.row_level and result.error for result in results):
        return Audit(tuple(results), {})
    table_level = [check for check in checks if not check.row_level]
    remaining = iter(_judged(engine.without(failing), table_level, columns) if table_level else ())
    return Audit(tuple(result if result.row_level else next(remaining) for result in results), failing)


def enforce(report: GateReport, page: str = "") -> None:
    """Raises GateFailed where the gate blocked; ``page`` is where people find the report."""
    if report.status != "blocked":
        return
    steps = next_steps(report)
    error = GateFailed(
        f"the gate blocked {report.rows} rows: {len(report.failed)} of {len(report.results)} expectations failed",
        where=f"{report.pipeline}/{report.dataset} of {report.ds}",
        do=" ".join(steps) + (f" The report: {page}" if page else ""),
        table=text_table(report),
    )
    error.links = {"gate report": page} if page else {}
    raise error


def _judged(engine: Engine, checks: Sequence[Check], columns: Mapping[str, Column]) -> list[CheckResult]:
    answers = engine.validate([(check.name, _typed(check, columns)) for check in checks], positions=False)
    return [result_of(check, answer, columns) for check, answer in zip(checks, answers, strict=True)]


def _failing(
    engine: Engine, failed: Sequence[Check], columns: Mapping[str, Column]
) -> tuple[dict[int, list[str]], list[int]]:
    """The failing rows with what they failed, and how many each check located."""
    answers = engine.validate([(check.name, _typed(check, columns)) for check in failed], positions=True)
    failing: dict[int, list[str]] = {}
    for check, answer in zip(failed, answers, strict=True):
        for position in answer["positions"]:
            failing.setdefault(position, []).append(label(check.name, check.columns))
    return dict(sorted(failing.items())), [len(set(answer["positions"])) for answer in answers]


def _checked(result: CheckResult, located: int) -> CheckResult:
    """The result, with an error where an engine counted rows that it gave no position for: they would be published."""
    if located >= result.unexpected:
        return result
    return replace(result, error=f"{NO_ANSWER} ({result.unexpected} rows were counted, {located} were located)")


def _typed(check: Check, columns: Mapping[str, Column]) -> dict[str, Any]:
    """The arguments as GX compares them: ISO text about date and timestamp columns becomes dates and moments.

    Another text, which ``nightshift check`` refuses, stays: GX has no answer about it, or finds no value that is one.
    """
    kinds = {columns[name].type for name in check.columns if name in columns}
    if kinds not in ({"timestamp"}, {"date"}):
        return dict(check.arguments)
    read = datetime.fromisoformat if kinds == {"timestamp"} else date.fromisoformat

    def typed(value: Any) -> Any:
        if isinstance(value, list):
            return [typed(item) for item in value]
        try:
            return read(value) if isinstance(value, str) else value
        except ValueError:
            return value

    compared = {"min_value", "max_value", "value_set"}
    return {name: typed(value) if name in compared else value for name, value in check.arguments.items()}
