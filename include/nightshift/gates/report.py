"""A gate's report for people: one offline HTML page, a plain-text table, and what to do next."""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from nightshift.aligned import aligned
from nightshift.gates.results import NO_ANSWER, CheckResult, GateReport, label

_PAGE = Path(__file__).with_name("report.html")
_HEADLINES = {
    "passed": "Every expectation holds.",
    "warned": "Some expectations failed that only warn: the rows are published.",
    "quarantined": "Rows that failed went to quarantine. The others are published.",
    "blocked": "Nothing of this attempt is published. Readers see what was published before, if anything was.",
}
_NOT_NULL = "expect_column_values_to_not_be_null"
_IMPLIED = {
    _NOT_NULL: "no nulls",
    "expect_column_values_to_be_unique": "no duplicates",
    "expect_compound_columns_to_be_unique": "no duplicates",
}
_NOT_THRESHOLDS = ("column", "column_A", "column_B", "column_list", "strict_min", "strict_max")
_COMPARED = {"min_value": ("≥", ">"), "max_value": ("≤", "<")}


def next_steps(report: GateReport) -> list[str]:
    """The steps of an operator after a gate's outcome, as sentences."""
    spec = f"include/pipelines/{report.pipeline}.yaml"
    if report.status == "passed":
        return ["Nothing."]
    if report.status == "warned":
        steps = ["Look at the failed expectations."]
        steps += dict.fromkeys(result.do for result in report.failed if result.only_warns and result.do)
        if any(not result.only_warns for result in report.failed):
            steps.append(f"To stop such data, set the gate's policy in {spec}.")
        return steps
    if report.status == "quarantined":
        return [
            f"Look at the {_number(report.removed)} rows in the table quarantine/{report.dataset}, ds {report.ds}.",
            "To get them published, correct the cause and repair the day with a backfill.",
        ]
    steps = [_repair(report)]
    over = [result for result in report.failed if result.row_level]
    if over and report.policy == "quarantine":
        steps.append(f"At most {_percent(report.limit)} of the rows may leave for quarantine.")
    if any(result.error.startswith(NO_ANSWER) for result in report.failed):
        steps.append(f"An expectation could not be evaluated: correct its name, column or arguments in {spec}.")
    steps.append(f"If the data is right, correct the contract or the gate in {spec}, then clear the task.")
    return steps


def warning_lines(report: GateReport) -> tuple[str, ...]:
    """A line for each expectation that failed and stopped nothing."""
    failed = [result for result in report.failed if report.status == "warned" or result.only_warns]
    return tuple(
        f"{report.dataset} of {report.ds}: {label(result.name, [result.column] if result.column else [])} failed: "
        f"{', '.join(filter(None, (observed(result), unexpected(result))))}"
        for result in failed
    )


def text_table(report: GateReport) -> str:
    """The failed expectations as a plain-text table."""
    rows = [("expectation", "column", "threshold", "observed", "unexpected")]
    rows += [
        (result.name, result.column or "", threshold(result), observed(result), unexpected(result))
        for result in report.failed
    ]
    return aligned(rows, rule=True)


def html_page(report: GateReport) -> str:
    """The report as one HTML page that needs no network and runs no script."""
    failed, passed = report.failed, [result for result in report.results if result.success]
    steps = "".join(f"<li>{html.escape(step)}</li>" for step in next_steps(report))
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        {name: html.escape(str(value)) for name, value in report.document().items() if name != "results"},
        headline=html.escape(_HEADLINES[report.status]),
        counts=_counts(report),
        next_steps=f"<ol>{steps}</ol>",
        failed_table=_section(f"Failed ({len(failed)})", failed),
        passed_table=_section(f"Passed ({len(passed)})", passed),
    )


def threshold(result: CheckResult) -> str:
    """The expectation's arguments as text; they come from the spec."""
    mostly = result.arguments.get("mostly", 1)
    if result.name == _NOT_NULL and mostly < 1:
        return f"nulls in at most {_percent(1 - mostly)} of the rows"
    texts = [_IMPLIED[result.name]] if result.name in _IMPLIED else []
    for name, value in result.arguments.items():
        if name in _NOT_THRESHOLDS or value is None:
            continue
        if name in _COMPARED:
            strict = result.arguments.get(f"strict_{name[:3]}")
            texts.append(f"{_COMPARED[name][bool(strict)]} {_plain(value)}")
        elif name == "mostly":
            texts.append(f"for at least {_percent(value)} of the rows")
        elif name == "value_set":
            texts.append(f"one of {', '.join(map(str, value))}")
        else:
            texts.append(f"{name} {_plain(value)}")
    return ", ".join(texts)


def observed(result: CheckResult) -> str:
    """The observed counts, fractions and means as text."""
    if result.error:
        return result.error
    return ", ".join(
        _plain(value) if name == "observed" else f"{name} {_plain(value)}" for name, value in result.observed.items()
    )


def unexpected(result: CheckResult) -> str:
    """The number of rows that did not hold."""
    if not result.rows:
        return ""
    return f"{_number(result.unexpected)} of {_number(result.rows)} ({_percent(result.fraction)})"


def _repair(report: GateReport) -> str:
    if report.dataset.startswith("inputs/"):
        return f"Have the landing files of {report.ds} corrected, then clear gate_inputs of the days that read them."
    return f"Correct what makes the {report.dataset} of {report.ds}, then clear the task that builds them."


def _counts(report: GateReport) -> str:
    counts = (
        ("Rows in", _number(report.rows), ""),
        ("Removed", _number(report.removed), _share(report.removed, report.rows)),
        ("Published" if report.status != "blocked" else "Published now", _number(report.published), ""),
        ("Failed expectations", f"{len(report.failed)} of {len(report.results)}", ""),
    )
    return "".join(
        f'<div class="count"><b>{html.escape(value)}</b><span>{name}</span><i>{html.escape(note)}</i></div>'
        for name, value, note in counts
    )


def _section(title: str, results: Sequence[CheckResult]) -> str:
    if not results:
        return ""
    heads = ("Expectation", "Column", "Threshold", "Observed", "Unexpected rows")
    head = "".join(f"<th>{name}</th>" for name in heads)
    body = "".join(_row(result) for result in results)
    return f'<h2>{html.escape(title)}</h2><div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _row(result: CheckResult) -> str:
    kind = "ok" if result.success else "bad"
    words = result.name.removeprefix("expect_").replace("_", " ")
    level = "rows may leave" if result.row_level else "whole table"
    cells = (result.column or "", threshold(result), observed(result))
    bar = min(100.0, 100 * result.fraction)
    return (
        f'<tr class="{kind}"><td><span class="dot"></span><span title="{html.escape(result.name)}">'
        f"{html.escape(words)}</span> <small>{level}</small></td>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + f'<td class="number">{html.escape(unexpected(result))}'
        + (f'<div class="bar"><div style="width:{bar:.1f}%"></div></div>' if result.unexpected else "")
        + "</td></tr>"
    )


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower() if value is not None else "nothing"
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: int) -> str:
    return f"{value:,}"


def _percent(fraction: float) -> str:
    text = f"{100 * fraction:.2f}".rstrip("0").rstrip(".")
    return f"{text if fraction == 0 or text != '0' else '<0.01'} %"


def _share(part: int, whole: int) -> str:
    return f"{_percent(part / whole)} of the rows" if part and whole else ""
