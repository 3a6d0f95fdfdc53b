"""What may be said of an exception: a kind, a place, and names that stand in the code.

Never the engine's or the exception's own words, which can hold cells: a name is shown only if the source has it too.
"""

import ast
import builtins
import re
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pyspark.errors import PySparkException

from nightshift.errors import NightshiftError
from spark_jobs.writing import NOT_ASKED

_MAX_CAUSES = 8
_OURS = "/spark_jobs/"
_NOT_IMPORTED = re.compile(r"cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'")
_WORKERS_FRAME = re.compile(r'^\s*File "([^"]*/spark_jobs/[^"]*\.py)", line (\d+)', re.MULTILINE)
_WORKERS_KIND = re.compile(r"^(?:\w+\.)*(\w+)(?::|$)", re.MULTILINE)


def as_error(error: Exception, where: str) -> NightshiftError:
    """The failure of a Spark job as an error whose message may be shown."""
    if isinstance(error, NightshiftError):
        return error
    if NOT_ASKED in str(error):
        return NightshiftError(
            "a row was returned for a day that was not asked for", where=where, allowed="rows of `days` alone"
        )
    if isinstance(error, PySparkException):
        return NightshiftError(f"Spark failed: {_kinds(error)}{_code(error)}", where=where)
    return NightshiftError(what_was_raised(error), where=where)


def place(error: BaseException, file: str) -> str:
    """``line N: `` of a file where it was raised, or called what raised it; with the line of our code below that."""
    if isinstance(error, SyntaxError) and error.filename:
        return (
            f"line {error.lineno}: " if error.filename.endswith(file) else f"{_shown(error.filename, error.lineno)}: "
        )
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if _OURS in frame.filename]
    lines = [number for number, frame in enumerate(ours) if frame.filename.endswith(file)]
    if not lines:
        return ""
    below = "" if lines[-1] == len(ours) - 1 else f" ({_shown(ours[-1].filename, ours[-1].lineno)})"
    return f"line {ours[lines[-1]].lineno}{below}: "


def what_was_raised(error: BaseException) -> str:
    """The kind of an exception, and the names in it that its code has, too."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename and _OURS in error.filename:
        return f"{kind}: {error.msg}"
    known = {name for frame in traceback.extract_tb(error.__traceback__) for name in _names_in(frame.filename)}
    if (
        isinstance(error, ImportError)
        and (found := _NOT_IMPORTED.search(str(error)))
        and known.issuperset(found.groups())
    ):
        return f"{kind}: cannot import {found[1]} from {found[2]}"
    condition = f" {error.getCondition()}" if isinstance(error, PySparkException) and error.getCondition() else ""
    names = ", ".join(name for name in _named(error) if name in known)
    return f"{kind}{condition} was raised" + (f": {names}" if names else "")


def _named(error: BaseException) -> Iterator[str]:
    """The names that an exception carries beside its text; whether they may be shown is not known yet."""
    if isinstance(error, PySparkException):
        yield from map(str, (error.getMessageParameters() or {}).values())
    elif isinstance(error, KeyError):
        yield from map(str, error.args[:1])
    elif name := getattr(error, "name", None):
        yield str(name)


@cache
def _names_in(file: str) -> frozenset[str]:
    """The identifiers and the texts in a file of ours."""
    if _OURS not in file:
        return frozenset()
    found: set[str] = set()
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):  # it may have changed since it was imported
        return frozenset()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            found |= {node.value} if isinstance(node.value, str) else set()
            continue
        values = (getattr(node, field, None) for field in ("id", "attr", "name", "module", "arg"))
        found.update(value for value in values if isinstance(value, str))
    return frozenset(found)


def _shown(file: str, line: int | None) -> str:
    return f"spark_jobs/{file.rpartition(_OURS)[2]}:{line}" if _OURS in file else f"{Path(file).name}:{line}"


def _kinds(error: PySparkException) -> str:
    """The error conditions or classes from the outermost exception to the root cause."""
    kinds = [error.getCondition() or type(error).__name__]
    cause = getattr(error, "_origin", None)
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        kinds.append(str(cause.getClass().getName()))
        cause = cause.getCause()
    return ", ".join(dict.fromkeys(kinds))


def _code(error: PySparkException) -> str:
    """The line of our code in which the failing expression was written, or the Python function failed."""
    frames = _WORKERS_FRAME.findall(str(error))
    if frames:
        known = {*dir(builtins), *_names_in(frames[-1][0])}
        kinds = [
            kind
            for kind in _WORKERS_KIND.findall(str(error))
            if kind in known and kind.endswith(("Error", "Exception"))
        ]
        return f" ({kinds[-1]} was raised at {_shown(*frames[-1])})" if kinds else f" (at {_shown(*frames[-1])})"
    try:
        sites = [context.callSite() for context in error.getQueryContext()]
    except Exception:
        return ""
    lines = [f"spark_jobs/{site.rpartition(_OURS)[2]}" for site in sites if _OURS in site]
    return f" (at {lines[0]})" if lines else ""
