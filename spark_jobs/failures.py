"""What may be said of an exception: a kind and a place, never the engine's words, which can hold cells."""

from pyspark.errors import PySparkException

from nightshift.errors import NightshiftError
from spark_jobs.writing import NOT_ASKED

_MAX_CAUSES = 8


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
    return NightshiftError(f"{type(error).__name__} was raised", where=where)


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
    """The line of a feature module in which the failing expression was written, where Spark knows it."""
    try:
        sites = [context.callSite() for context in error.getQueryContext()]
    except Exception:
        return ""
    lines = [site.rpartition("/")[2] for site in sites if "/features/" in site]
    return f" (at {lines[0]})" if lines else ""
