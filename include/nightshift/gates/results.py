"""What is kept of a gate: results of expectations, and the report.

Results hold counts, fractions and means. Everything else that was observed (minima, maxima, medians, values) is kept
of columns marked ``public`` alone, and of an engine's exception only its type: its text may quote cells.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nightshift.gates.suite import Check
from nightshift.specs.model import Column

Status = Literal["passed", "warned", "quarantined", "blocked"]

NO_ANSWER = "could not be evaluated"

_LONGEST_LIST = 20
_COUNTS_AND_MEANS = re.compile(
    r"expect_(table_(row|column)_count_.*|column_(mean|unique_value_count|proportion_of_\w+_values)_to_be_between)"
)
_EXCEPTION = re.compile(r"^(?:[A-Za-z_]\w*\.)*([A-Z]\w*(?:Error|Exception))(?::|$)", re.MULTILINE)


@dataclass(frozen=True)
class CheckResult:
    """What became of one expectation. ``unexpected`` of ``rows`` did not hold; ``error`` says why it has no answer.

    One that ``only_warns`` marks its partition and never stops it, whatever the policy; ``do`` says what follows.
    """

    name: str
    column: str | None
    arguments: dict[str, Any]
    success: bool
    observed: dict[str, Any] = field(default_factory=dict)
    unexpected: int = 0
    rows: int = 0
    row_level: bool = False
    error: str = ""
    only_warns: bool = False
    do: str = ""

    @property
    def fraction(self) -> float:
        """The unexpected rows as a fraction of the rows."""
        return self.unexpected / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class GateReport:
    """The outcome of a gate. Of ``rows`` that came, ``removed`` left for quarantine (none where it blocked)."""

    pipeline: str
    dataset: str
    ds: str
    attempt: str
    status: Status
    rows: int
    removed: int
    results: tuple[CheckResult, ...]
    policy: str = "block"
    limit: float = 0.0
    run_id: str = ""
    fingerprint: str = ""
    created_at: str = ""

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The expectations that failed."""
        return tuple(result for result in self.results if not result.success)

    @property
    def warnings(self) -> int:
        """The number of expectations that failed and stopped nothing."""
        return sum(self.status == "warned" or result.only_warns for result in self.failed)

    @property
    def published(self) -> int:
        """The rows that may be published."""
        return 0 if self.status == "blocked" else self.rows - self.removed

    def document(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)


def result_of(check: Check, answer: Mapping[str, Any], columns: Mapping[str, Column]) -> CheckResult:
    """The part that is kept of GX's answer (see ``nightshift.gates.engine``) to a check."""
    named = ", ".join(check.columns) or None
    if answer["traceback"]:
        kinds = _EXCEPTION.findall(answer["traceback"])
        error = f"{NO_ANSWER} ({kinds[0] if kinds else 'unknown error'})"
        return CheckResult(check.name, named, check.arguments, False, row_level=check.row_level, error=error)
    result = answer["result"]
    public = bool(check.columns) and all(name in columns and columns[name].public for name in check.columns)
    observed: dict[str, Any] = {}
    if result.get("missing_count"):
        observed["nulls"] = int(result["missing_count"])
    if "observed_value" in result:
        shown = public or _COUNTS_AND_MEANS.fullmatch(check.name)
        observed["observed"] = _json(result["observed_value"]) if shown else "not public"
    unexpected, rows = int(result.get("unexpected_count") or 0), int(result.get("element_count") or 0)
    return CheckResult(
        check.name, named, check.arguments, answer["success"], observed, unexpected, rows, check.row_level
    )


def label(name: str, columns: Sequence[str]) -> str:
    """An expectation and its columns as people read it."""
    return f"{name}({', '.join(columns)})" if columns else name


def _json(value: Any) -> Any:
    """An observed value as JSON: numpy's scalars as Python's, long lists cut."""
    if isinstance(value, dict):
        return {str(name): _json(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_json(item) for item in (value if isinstance(value, list) else sorted(value, key=str))[:_LONGEST_LIST]]
    value = value.item() if hasattr(value, "item") else value
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
