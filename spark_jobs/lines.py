"""In which line of a module an expression was written: asked only after it has failed.

Python would tell the JVM the line of every expression as it is made, in two of three calls to it: 1.4 s of a job that
takes ten. A module is written once and built every night, so its job begins without, and a failure is built again.
"""

from collections.abc import Callable

from pyspark.errors import PySparkException, utils
from pyspark.sql import DataFrame


def tell_lines(whether: bool) -> None:
    """Whether expressions that are made from now on carry their line.

    Spark's own setting, ``spark.python.sql.dataFrameDebugging.enabled``, is for the whole life of a session; Python
    looks at it once and remembers what it found.
    """
    utils._enable_debugging_cache = whether


def with_line(error: Exception, build: Callable[[], DataFrame]) -> Exception:
    """The failure of what ``build`` returns, now with its line; ``error`` where that has none, or comes no more."""
    if not isinstance(error, PySparkException) or not error.getQueryContext():
        return error
    tell_lines(True)
    try:
        build().write.format("noop").mode("overwrite").save()
    except PySparkException as again:
        return again
    finally:
        tell_lines(False)
    return error
