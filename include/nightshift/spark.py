"""How a Spark job is started: configuration, environment, argv, the class-data archive, and a local run.

A local run is tuned for short jobs: client code only (C1), one collector thread, classes from an archive that
set-up makes once (``python -m nightshift.spark archive``). Where the archive does not fit the JVM does without it.
"""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from nightshift import errors
from nightshift.errors import NightshiftError
from nightshift.java import archive_file, java_home, uses_aot_cache
from nightshift.settings import Settings

log = logging.getLogger("nightshift.spark")

MAIN = "spark_jobs/main.py"
AHEAD = "ahead"
FAILED = 3
_ERROR = "nightshift error: "
_ERROR_LINE = re.compile(re.escape(_ERROR) + r"(\w+): (.*)")
_REFUSALS = (re.compile(r"Message: (.*?)\.? Received status: "), re.compile(r'Exception in thread "main" (.*)'))
_GRACE_SECONDS = 10
_BUILD_SECONDS = 300


class Command(Protocol):
    """A command of ``spark_jobs/main.py``."""

    def argv(self) -> list[str]:
        """The arguments after ``spark_jobs/main.py``."""
        ...


def spark_conf(settings: Settings) -> dict[str, str]:
    """The configuration of every job. What results depend on is set by ``spark_jobs/main.py`` itself."""
    scratch = settings.var / "spark"
    conf = {
        "spark.driver.extraJavaOptions": " ".join([*_java_options(settings), *_archive_options(archive_file())]),
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


def submit_argv(settings: Settings, command: Command) -> list[str]:
    """The whole command line of a job."""
    return _submit(settings, spark_conf(settings), [], [_program(settings), *command.argv()])


def on_kubernetes(master: str) -> bool:
    """Whether driver and executors are pods."""
    return master.startswith("k8s://")


def cluster_submit_argv(settings: Settings, conf: Mapping[str, str], command: Command, program: str) -> list[str]:
    """The command line that has ``settings.spark_master`` make a driver, whose image has the program."""
    return _submit(settings, conf, ["--deploy-mode", "cluster"], [f"local://{program}", *command.argv()])


def cluster_submit_environment(settings: Settings) -> dict[str, str]:
    """What spark-submit itself needs where the driver is elsewhere: it is a JVM of a few seconds."""
    return {"JAVA_HOME": str(java_home()), "SPARK_SUBMIT_OPTS": spark_conf(settings)["spark.driver.extraJavaOptions"]}


def refusal(said: str) -> str:
    """Why spark-submit made no driver, from all that it said: the API server's words, or the exception."""
    found = next(filter(None, (pattern.search(said) for pattern in _REFUSALS)), None)
    return found[1].strip() if found else ""


def is_error_line(line: str) -> bool:
    """Whether a line is a driver's last words (see ``error_line``)."""
    return _ERROR_LINE.search(line) is not None


def run_local(settings: Settings, command: Command) -> None:
    """Run a job as a child process, its log lines to ``nightshift.spark``.

    Raises the error that the driver names in its last words. However this process is stopped, the job stops, too.
    Where Spark's jobs run in pods, this one still runs here: it is a gate's, or an operator's by hand.
    """
    settings = _here(settings)
    with _started(submit_argv(settings, command), _environment(settings), _scratch(settings)) as process:
        _end_well(process)


@contextmanager
def started_ahead(settings: Settings) -> Iterator[Callable[[Settings, Command], None]]:
    """Start a job now, whose command is told once it is known; yields what takes the place of ``run_local``, once.

    Java and Spark start while this process does what comes before the job. The job ends with the block, or with this
    process: it then reads the end of a pipe that nobody holds open any more.
    """
    settings = _here(settings)
    scratch = _scratch(settings)
    with TemporaryDirectory(prefix="ahead-", dir=scratch) as folder:
        pipe = str(Path(folder, "command"))
        os.mkfifo(pipe, 0o600)
        # Open for reading, too: opened for writing alone it would wait for the job. Open until the job has ended, which
        # may open its end long after it was told.
        with os.fdopen(os.open(pipe, os.O_RDWR), "wb", buffering=0) as told:
            argv = _submit(settings, spark_conf(settings), [], [_program(settings), AHEAD, pipe])
            with _started(argv, _environment(settings), scratch) as process:

                def run(settings: Settings, command: Command) -> None:
                    told.write(f"{json.dumps(command.argv())}\n".encode())
                    _end_well(process)

                yield run
                _end_group(process)


def error_line(error: NightshiftError) -> str:
    """An error as the one line in which a driver tells it."""
    return f"{_ERROR}{type(error).__name__}: {' '.join(str(error).split())}"


def driver_error(line: str, status: int) -> NightshiftError:
    """The error that a driver told in its last words, or one that says that it told none."""
    found = _ERROR_LINE.search(line)
    if found is None:
        return NightshiftError(
            f"the Spark job ended with status {status} and without saying why", do="read its log above"
        )
    kind = getattr(errors, found.group(1), NightshiftError)
    return kind(found.group(2)) if issubclass(kind, NightshiftError) else NightshiftError(found.group(2))


def build_archive(settings: Settings) -> Path | None:
    """Make the class-data archive unless it is there. None, and a warning, where this Java cannot make one."""
    target = archive_file()
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as folder:
        new = Path(folder, target.name)
        record = f"-XX:AOTCacheOutput={new}" if uses_aot_cache() else f"-XX:ArchiveClassesAtExit={new}"
        conf = spark_conf(settings) | {
            "spark.driver.extraJavaOptions": " ".join([*_java_options(settings), record]),
            "spark.local.dir": folder,
            "spark.sql.warehouse.dir": f"{folder}/warehouse",
        }
        argv = _submit(settings, conf, [], [_program(settings), "archive", f"{folder}/tables"])
        with _started(argv, _environment(settings), Path(folder)) as process:
            status, last = _followed(process)
        if status != 0 or not new.is_file():
            why = last.strip() or f"status {status}"
            log.warning("no class-data archive could be made (%s): Spark starts more slowly", why)
            return None
        new.replace(target)
    return target


def _program(settings: Settings) -> str:
    return str(settings.home / MAIN)


def _here(settings: Settings) -> Settings:
    return replace(settings, spark_master="local[*]") if on_kubernetes(settings.spark_master) else settings


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


def _java_options(settings: Settings) -> list[str]:
    log4j = f"-Dlog4j2.configurationFile=file:{settings.home}/spark_jobs/log4j2.properties"
    # With the first compiler alone Java keeps 48 MB for what it compiles. A session that has planned some hundreds of
    # queries has filled them, and then fails at anything ("Out of space in CodeCache for method handle intrinsic").
    cache = "-XX:ReservedCodeCacheSize=256m"
    return ["-XX:TieredStopAtLevel=1", cache, "-XX:+UseSerialGC", "-Xlog:disable", "-Xlog:all=error:stderr", log4j]


def _archive_options(archive: Path) -> list[str]:
    if not archive.is_file():
        return []
    return [f"-XX:AOTCache={archive}" if uses_aot_cache() else f"-XX:SharedArchiveFile={archive}"]


def _scratch(settings: Settings) -> Path:
    scratch = settings.var / "spark"
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, **spark_environment(settings)}


@contextmanager
def _started(argv: Sequence[str], environment: dict[str, str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A program in a process group of its own, which ends with the block if that is left by an exception."""
    with (
        _sigterm_raises() as sigterm,
        subprocess.Popen(
            list(argv),
            env=environment,
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        try:
            sigterm.arm()
            yield process
        except BaseException:
            _end_group(process)
            raise


def _followed(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The status of a program that has come to its end, and its last error line; other lines are logged."""
    last = ""
    for line in process.stdout or ():
        if is_error_line(line):  # it is raised, and whoever catches it says it
            last = line
        else:
            log.info("%s", line.rstrip())
    return process.wait(), last


def _end_well(process: subprocess.Popen[str]) -> None:
    status, last = _followed(process)
    if status != 0:
        raise driver_error(last, status)


def _end_group(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(_GRACE_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


@dataclass
class _Sigterm:
    """A SIGTERM that comes before the job is known is kept until there is something to end."""

    armed: bool = False
    number: int = 0

    def arm(self) -> None:
        self.armed = True
        if self.number:
            sys.exit(128 + self.number)

    def __call__(self, number: int, frame: object) -> None:
        self.number = number
        if self.armed:
            sys.exit(128 + number)


@contextmanager
def _sigterm_raises() -> Iterator[_Sigterm]:
    """Makes SIGTERM an exception, so that the job is ended with this process; a handler that is there already stays."""
    sigterm = _Sigterm()
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield sigterm
        return
    signal.signal(signal.SIGTERM, sigterm)
    try:
        yield sigterm
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def main(argv: Sequence[str]) -> int:
    """``python -m nightshift.spark archive``: make the class-data archive. Never fails a set-up."""
    if list(argv) != ["archive"]:
        sys.stderr.write("usage: python -m nightshift.spark archive\n")
        return 2
    logging.basicConfig(level=logging.WARNING)
    made = build_archive(Settings.from_env())
    sys.stdout.write(f"class-data archive: {made or 'none'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
