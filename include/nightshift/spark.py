"""How a Spark job is started: configuration, environment and argv; and the line in which a driver tells its error.

Java is tuned for short jobs: client code only (C1), one collector thread, and classes from an archive that set-up makes
once (``spark_local.py``). Where the archive does not fit the JVM does without it.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from nightshift import errors
from nightshift.errors import NightshiftError
from nightshift.exit_status import signal_text
from nightshift.java import archive_file, java_home, uses_aot_cache
from nightshift.settings import Settings

MAIN = "spark_jobs/main.py"
AHEAD = "ahead"
FAILED = 3
_ERROR = "nightshift error: "
_ERROR_LINE = re.compile(re.escape(_ERROR) + r"(\w+): (.*)")
_REFUSALS = (re.compile(r"Message: (.*?)\.? Received status: "), re.compile(r'Exception in thread "main" (.*)'))


class Command(Protocol):
    """A command of ``spark_jobs/main.py``."""

    def argv(self) -> list[str]:
        """The arguments after ``spark_jobs/main.py``."""
        ...


def spark_conf(settings: Settings) -> dict[str, str]:
    """The configuration of every job. What results depend on is set by ``spark_jobs/main.py`` itself."""
    scratch = settings.var / "spark"
    conf = {
        "spark.driver.extraJavaOptions": " ".join([*java_options(settings), *_archive_options(archive_file())]),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
        "spark.sql.optimizer.dynamicPartitionPruning.enabled": "false",  # a plan names its files one by one
    }
    if settings.spark_master.startswith("local"):
        conf |= {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.memory": "2g",
            "spark.local.dir": str(scratch),
            "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
            "spark.sql.files.openCostInBytes": "131072",
        }
    return conf


def spark_environment(settings: Settings) -> dict[str, str]:
    """The environment variables that spark-submit needs beside those of this process."""
    python_path = [str(settings.home), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "JAVA_HOME": str(java_home()),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(python_path),
        "PYTHONWARNINGS": "ignore",
        "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def submit_argv(settings: Settings, conf: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """The whole command line of a job, whose program gets the words."""
    return _submit(settings, conf, [], [str(settings.home / MAIN), *words])


def on_kubernetes(master: str) -> bool:
    """Return whether driver and executors are pods."""
    return master.startswith("k8s://")


def cluster_submit_argv(settings: Settings, conf: Mapping[str, str], command: Command, program: str) -> list[str]:
    """The command line that has ``settings.spark_master`` make a driver, whose image has the program."""
    return _submit(settings, conf, ["--deploy-mode", "cluster"], [f"local://{program}", *command.argv()])


def cluster_submit_environment(settings: Settings) -> dict[str, str]:
    """The environment of spark-submit where the driver is elsewhere: it is a JVM of a few seconds."""
    return {"JAVA_HOME": str(java_home()), "SPARK_SUBMIT_OPTS": spark_conf(settings)["spark.driver.extraJavaOptions"]}


def refusal(said: str) -> str:
    """Why spark-submit made no driver, from all that it said: the API server's words, or the exception."""
    found = next(filter(None, (pattern.search(said) for pattern in _REFUSALS)), None)
    return found[1].strip() if found else ""


def done_line(told: str) -> str:
    """The line by which a driver answers a command that was told with this token, once it is done."""
    return f"nightshift done: {told}"


def error_line(error: NightshiftError) -> str:
    """An error as the one line in which a driver tells it."""
    return f"{_ERROR}{type(error).__name__}: {' '.join(str(error).split())}"


def is_error_line(line: str) -> bool:
    """Return whether a line is a driver's last words (see ``error_line``)."""
    return _ERROR_LINE.search(line) is not None


def driver_error(line: str, status: int) -> NightshiftError:
    """The error that a driver told in its last words, or one that says that it told none."""
    found = _ERROR_LINE.search(line)
    if found is None and (by := signal_text(status)):
        return NightshiftError(
            f"the Spark job was killed by {by}",
            do="look into the kernel's log (dmesg); where memory is short, give the pool of Spark jobs fewer slots",
        )
    if found is None:
        return NightshiftError(
            f"the Spark job ended with status {status} and without saying why", do="read its log above"
        )
    kind = getattr(errors, found.group(1), NightshiftError)
    return kind(found.group(2)) if issubclass(kind, NightshiftError) else NightshiftError(found.group(2))


def _submit(settings: Settings, conf: Mapping[str, str], mode: Sequence[str], argv: Sequence[str]) -> list[str]:
    program = str(_spark_home() / "bin" / "spark-submit")
    options = [item for key, value in sorted(conf.items()) for item in ("--conf", f"{key}={value}")]
    return [program, "--master", settings.spark_master, *mode, *options, *argv]


def _spark_home() -> Path:
    """``SPARK_HOME``, else the installed pyspark, which is found without importing it."""
    if home := os.environ.get("SPARK_HOME"):
        return Path(home)
    found = find_spec("pyspark")
    if found is None or not found.submodule_search_locations:
        raise NightshiftError("pyspark is not installed", do="pip install 'nightshift[platform]', or set SPARK_HOME")
    return Path(found.submodule_search_locations[0])


def java_options(settings: Settings) -> list[str]:
    """The options of every JVM of ours, but for the class-data archive."""
    log4j = f"-Dlog4j2.configurationFile=file:{settings.home}/spark_jobs/log4j2.properties"
    # With the first compiler alone Java keeps 48 MB for what it compiles. A session that has planned some hundreds of
    # queries has filled them, and then fails at anything ("Out of space in CodeCache for method handle intrinsic").
    cache = "-XX:ReservedCodeCacheSize=256m"
    return ["-XX:TieredStopAtLevel=1", cache, "-XX:+UseSerialGC", "-Xlog:disable", "-Xlog:all=error:stderr", log4j]


def _archive_options(archive: Path) -> list[str]:
    if not archive.is_file():
        return []
    return [f"-XX:AOTCache={archive}" if uses_aot_cache() else f"-XX:SharedArchiveFile={archive}"]
