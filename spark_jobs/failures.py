"""What may be said of an exception: a kind, a place, and names that stand in the code.

Never the engine's or the exception's own words, which can hold cells: a name is shown only if the source has it too.
"""

import builtins
import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JNetworkError
from pyspark.errors import AnalysisException, PySparkException

from nightshift.errors import NightshiftError, SpecError
from spark_jobs.names import OURS, in_the_code, names_in
from spark_jobs.writing import NOT_ASKED

_MAX_CAUSES = 8
_QUOTED = re.compile(r"`([^`]*)`")
_FULL = ("No space left on device", "Disk quota exceeded")
_NOT_IMPORTED = re.compile(r"cannot import name '(\w+)' from (?:partially initialized module )?'([\w.]+)'")
_WORKERS_FRAME = re.compile(r'^\s*File "([^"]*/spark_jobs/[^"]*\.py)", line (\d+)', re.MULTILINE)
_WORKERS_KIND = re.compile(r"^(?:\w+\.)*(\w+)(?::|$)", re.MULTILINE)


def as_error(error: Exception, where: str) -> NightshiftError:
    """The failure of a Spark job as an error whose message may be shown."""
    if isinstance(error, NightshiftError):
        return error
    # The same module fails on the same rows again: such an error is not retried.
    kind = SpecError if of_the_module(error) else NightshiftError
    if NOT_ASKED in str(error):
        return kind("a row was returned for a day that was not asked for", where=where, allowed="rows of `days` alone")
    if isinstance(error, PySparkException):
        return kind(f"Spark failed: {_kinds(error)}{_code(error)}", where=where)
    return kind(what_was_raised(error), where=where)


def of_the_module(error: BaseException) -> bool:
    """Whether the module, on the rows that it was given, is to blame; else it may be the disk, the cluster, a file."""
    if isinstance(error, PySparkException):
        text = str(error)
        return bool(error.getQueryContext()) or NOT_ASKED in text or _WORKERS_FRAME.search(text) is not None
    return isinstance(error, SpecError)


def is_lost(error: BaseException | None) -> bool:
    """Whether Spark itself is gone, or its disk is full, so that whatever is tried next fails, too."""
    while error is not None:
        if isinstance(error, Py4JNetworkError | ConnectionError):
            return True
        if any(words in text for text in (str(error), *_causes(error)) for words in _FULL):
            return True
        error = error.__cause__
    return False


def place(error: BaseException, file: str) -> str:
    """``line N: `` of a file where it was raised, or called what raised it; with the line of our code below that."""
    if isinstance(error, SyntaxError) and error.filename:
        return (
            f"line {error.lineno}: " if error.filename.endswith(file) else f"{_shown(error.filename, error.lineno)}: "
        )
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if OURS in frame.filename]
    lines = [number for number, frame in enumerate(ours) if frame.filename.endswith(file)]
    if not lines:
        return ""
    below = "" if lines[-1] == len(ours) - 1 else f" ({_shown(ours[-1].filename, ours[-1].lineno)})"
    return f"line {ours[lines[-1]].lineno}{below}: "


def what_was_raised(error: BaseException) -> str:
    """The kind of an exception, and the names in it that its code has, too."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename and OURS in error.filename:
        return f"{kind}: {error.msg}"
    known = {name for frame in traceback.extract_tb(error.__traceback__) for name in names_in(frame.filename)}
    if (
        isinstance(error, ImportError)
        and (found := _NOT_IMPORTED.search(str(error)))
        and known.issuperset(found.groups())
    ):
        return f"{kind}: cannot import {found[1]} from {found[2]}"
    condition = f" {error.getCondition()}" if isinstance(error, PySparkException) and error.getCondition() else ""
    names = ", ".join(name for name in _named(error) if name in known)
    return f"{kind}{condition} was raised" + (f": {names}" if names else "")


def what_spark_said(error: AnalysisException, columns: Iterable[str]) -> str:
    """The condition of a query that Spark refused, and the names in it that ``columns`` or the code have, too.

    Spark lists columns that it thinks were meant, and those of a ``pivot`` are cells.
    """
    names = list(dict.fromkeys(_named(error)))
    return f"[{error.getCondition() or type(error).__name__}] {in_the_code(names, columns)}".rstrip()


def _named(error: BaseException) -> Iterator[str]:
    """The names that an exception carries beside its text; whether they may be shown is not known yet."""
    if isinstance(error, PySparkException):
        for value in map(str, (error.getMessageParameters() or {}).values()):
            yield from _QUOTED.findall(value) or [value]
    elif isinstance(error, KeyError):
        yield from map(str, error.args[:1])
    elif name := getattr(error, "name", None):
        yield str(name)


def _shown(file: str, line: int | None) -> str:
    return f"spark_jobs/{file.rpartition(OURS)[2]}:{line}" if OURS in file else f"{Path(file).name}:{line}"


def _kinds(error: PySparkException) -> str:
    """The error conditions or classes from the outermost exception to the root cause."""
    kinds = [error.getCondition() or type(error).__name__]
    kinds += [str(cause.getClass().getName()) for cause in _in_the_jvm(error)]
    return ", ".join(dict.fromkeys(kinds))


def _causes(error: BaseException) -> list[str]:
    """The JVM's own words for an exception and its causes, which may hold cells: to look into, never to show."""
    return [str(cause.toString()) for cause in _in_the_jvm(error)]


def _in_the_jvm(error: BaseException) -> Iterator[Any]:
    """The JVM's exception behind one of Spark's, and its causes."""
    cause = getattr(error, "_origin", None)
    for _ in range(_MAX_CAUSES):
        if cause is None:
            break
        yield cause
        cause = cause.getCause()


def _code(error: PySparkException) -> str:
    """The line of our code in which the failing expression was written, or the Python function failed."""
    frames = _WORKERS_FRAME.findall(str(error))
    if frames:
        known = {*dir(builtins), *names_in(frames[-1][0])}
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
    lines = [f"spark_jobs/{site.rpartition(OURS)[2]}" for site in sites if OURS in site]
    return f" (at {lines[0]})" if lines else ""
