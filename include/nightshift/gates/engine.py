"""The one place that talks to Great Expectations' validator, for pandas and for Spark alike."""

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from nightshift.collector import uncollected

POSITION = "__position"


def great_expectations() -> Any:
    """The library, made quiet: no analytics, no warnings on import, no log messages, which quote cells."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    log = logging.getLogger("great_expectations")  # its modules set their own levels
    log.propagate, log.handlers = False, [logging.NullHandler()]
    once = nullcontext() if "great_expectations" in sys.modules else uncollected()
    with warnings.catch_warnings(), once:
        warnings.simplefilter("ignore")
        return importlib.import_module("great_expectations")


def gx_validate(
    context: Any,
    batch: Any,
    checks: Sequence[tuple[str, dict[str, Any]]],
    positions: bool,
    index_column: str | None = None,
) -> list[dict[str, Any]]:
    """GX's answer to each (name, arguments): ``success``, ``result``, ``traceback`` (empty where it did not raise).

    With ``positions``, also the positions of the unexpected rows: from the frame's index, or ``index_column``.
    The tracebacks and results may hold values of cells: they go no further than ``nightshift.gates.run``.
    """
    context.variables.progress_bars = {"globally": False}
    suite = great_expectations().ExpectationSuite(name="gate")
    answers: list[dict[str, Any]] = [{} for _ in checks]
    for number, (name, arguments) in enumerate(checks):
        try:
            suite.expectations.append(_expectation(name, arguments, number))
        except Exception as error:  # pydantic's, GX's, or Python's: all mean that there is no such expectation
            answers[number] = {
                "success": False,
                "result": {},
                "traceback": f"{type(error).__name__}: ",
                "positions": [],
            }
    for found in batch.validate(suite, result_format=_format(positions, index_column)).results:
        answers[found.expectation_config.meta["number"]] = {
            "success": bool(found.success),
            "result": found.result,
            "traceback": _traceback(found.exception_info),
            "positions": _positions(found.result, index_column) if positions else [],
        }
    return answers


def _expectation(name: str, arguments: dict[str, Any], number: int) -> Any:
    from great_expectations.expectations.registry import get_expectation_impl

    condition = {"condition_parser": "great_expectations"} if "row_condition" in arguments else {}
    return get_expectation_impl(name)(**arguments, **condition, meta={"number": number})


def _format(positions: bool, index_column: str | None) -> dict[str, Any]:
    if not positions:
        return {"result_format": "BASIC", "partial_unexpected_count": 0}
    index = {"unexpected_index_column_names": [index_column]} if index_column else {}
    return {
        "result_format": "COMPLETE",
        "partial_unexpected_count": 0,
        "exclude_unexpected_values": True,
        "return_unexpected_index_query": False,
        **index,
    }


def _positions(result: dict[str, Any], index_column: str | None) -> list[int]:
    """GX lists the index itself, or (without the values, which are not wanted) one list for each index column."""
    found = result.get("unexpected_index_list") or []
    if index_column is None:
        return [int(position) for position in found]
    return [int(position) for item in found for position in item[index_column]]


def _traceback(info: Any) -> str:
    """The traceback of an expectation that raised; GX nests one for each metric that did."""
    if not isinstance(info, dict):
        return ""
    nested = [info] if "raised_exception" in info else [item for item in info.values() if isinstance(item, dict)]
    return "\n".join(item.get("exception_traceback") or "Exception" for item in nested if item.get("raised_exception"))
