"""The entry point of every Spark job, and the only place that makes a session.

``spark-submit spark_jobs/main.py features|audit|archive …``; resources come from spark-submit, what results depend
on is set here. An expected failure is one line on standard error and exit status 3.
"""

import importlib
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nightshift.commands import AuditCommand, FeaturesCommand
from nightshift.spark import AHEAD, FAILED, done_line, error_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

RESULTS_DEPEND_ON = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}

log = logging.getLogger("spark_jobs")


def session(name: str) -> "SparkSession":
    """The session of this process, with the settings that results depend on."""
    from pyspark.sql import SparkSession

    from spark_jobs.lines import tell_lines

    tell_lines(False)
    builder = SparkSession.builder.appName(name)
    for key, value in RESULTS_DEPEND_ON.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def features(argv: Sequence[str]) -> None:
    """Build the features and labels of a plan."""
    from nightshift.features.build_plan import read_plan
    from spark_jobs.building import build_all

    command = FeaturesCommand.parse(argv)
    plan = read_plan(command.plan)
    build_all(session(f"nightshift {command.pipeline} {command.first} to {command.last}"), plan)


def audit(argv: Sequence[str]) -> None:
    """Audit staged files with Great Expectations."""
    from spark_jobs.audit import run

    command = AuditCommand.parse(argv)
    run(session("nightshift audit"), command)


def ahead(argv: Sequence[str]) -> None:
    """Start Spark, then run the commands that come through a pipe, a line each, until nobody holds its other end.

    Each is answered by a line with its token, and finds the code as it is on disk then and the session as at first.
    """
    spark = session("nightshift")
    settings = dict(spark.conf.getAll)
    with os.fdopen(os.open(argv[1], os.O_RDONLY | os.O_NONBLOCK), "rb") as pipe:
        os.set_blocking(pipe.fileno(), True)
        for line in iter(pipe.readline, b""):
            token, *command = json.loads(line)
            failure = _failure(command)
            # A module may have left a line unfinished on the same stream.
            sys.stderr.write("".join(f"\n{answer}\n" for answer in (failure, done_line(token)) if answer))
            _forget_modules()
            _forget_state(spark, settings)


def _forget_modules() -> None:
    """Lets what is imported next be read anew: feature modules, and what they import from ``spark_jobs``."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "spark_jobs"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def _forget_state(spark: "SparkSession", settings: Mapping[str, str]) -> None:
    """Takes back what a module may have left in the session: a night would begin without."""
    spark.catalog.clearCache()
    for table in spark.catalog.listTables():
        if table.isTemporary:
            spark.catalog.dropTempView(table.name)
    for key, value in dict(spark.conf.getAll).items():
        if key not in settings:
            spark.conf.unset(key)
        elif settings[key] != value:
            spark.conf.set(key, settings[key])


def archive(argv: Sequence[str]) -> None:
    """Load the classes that jobs use, for the class-data archive that the JVM writes when it ends."""
    from spark_jobs.warm_up import warm_up

    warm_up(session("nightshift archive"), argv[1])


COMMANDS = {FeaturesCommand.prog: features, AuditCommand.prog: audit, "archive": archive, AHEAD: ahead}


def main(argv: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    for chatty in ("py4j", "DataFrameQueryContextLogger", "SQLQueryContextLogger"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    if not argv or argv[0] not in COMMANDS:
        log.error("usage: spark_jobs/main.py %s …", "|".join(COMMANDS))
        return 2
    if failure := _failure(argv):
        sys.stderr.write(f"{failure}\n")
        return FAILED
    return 0


def _failure(argv: Sequence[str]) -> str:
    """Runs a command; the line that tells why it failed, or nothing."""
    from spark_jobs.failures import as_error

    try:
        COMMANDS[argv[0]](argv)
    except Exception as error:
        return error_line(as_error(error, f"spark_jobs/main.py {argv[0]}"))
    return ""


def set_path() -> None:
    """Let ``spark_jobs`` be found, and take an installed pyspark rather than spark-submit's zip of the same.

    Modules in a zip are compiled anew by each process, which costs a second.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    installed = [entry for entry in sys.path if not entry.endswith(("pyspark.zip", "-src.zip", ".jar"))]
    if all(any(Path(entry, name).is_dir() for entry in installed) for name in ("pyspark", "py4j")):
        sys.path[:] = installed


if __name__ == "__main__":
    set_path()
    sys.exit(main(sys.argv[1:]))
