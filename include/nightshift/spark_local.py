"""A Spark job on this machine: run now, or started ahead of its command; and the class-data archive.

``python -m nightshift.spark_local archive`` makes the archive, which set-up does.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from nightshift.java import archive_file, uses_aot_cache
from nightshift.settings import Settings
from nightshift.spark import (
    AHEAD,
    FAILED,
    Command,
    done_line,
    driver_error,
    is_error_line,
    java_options,
    on_kubernetes,
    spark_conf,
    spark_environment,
    submit_argv,
)

log = logging.getLogger("nightshift.spark")

_GRACE_SECONDS = 10


def run_local(settings: Settings, command: Command) -> None:
    """Run a job as a child process, its log lines to ``nightshift.spark``.

    Raises the error that the driver names in its last words. However this process is stopped, the job stops, too.
    Where Spark's jobs run in pods, this one still runs here: it is a gate's, or an operator's by hand.
    """
    settings = _here(settings)
    with _started(
        submit_argv(settings, spark_conf(settings), command.argv()), _environment(settings), _scratch(settings)
    ) as process:
        _end_well(process)


class Ahead:
    """A job that is started now and told its commands later, one after another: what takes the place of ``run_local``.

    Java and Spark start while this process does what comes before the first command, and are warm for the next.
    Each command finds the code as it is on disk then. A job that has ended by itself is started anew by the command
    after that. It ends with the block, or with this process: it then reads the end of a pipe that nobody holds open
    any more.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = _here(settings)
        self._held = ExitStack()
        self._process: subprocess.Popen[str] | None = None
        self._told: BinaryIO

    def __enter__(self) -> "Ahead":
        self._start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._end()

    def __call__(self, settings: Settings, command: Command) -> None:
        """Run a command; its log lines go to ``nightshift.spark``. Raises the error that the driver names."""
        process = self._process or self._start()
        token, error = uuid.uuid4().hex, ""
        self._told.write(f"{json.dumps([token, *command.argv()])}\n".encode())
        for line in process.stdout or ():
            if line.rstrip() == done_line(token):
                if error:
                    raise driver_error(error, FAILED)
                return
            if is_error_line(line):
                error = line
            else:
                log.info("%s", line.rstrip())
        status = process.wait()
        self._end()
        raise driver_error(error, status)

    def _start(self) -> subprocess.Popen[str]:
        scratch = _scratch(self._settings)
        with ExitStack() as stack:
            pipe = str(Path(stack.enter_context(TemporaryDirectory(prefix="ahead-", dir=scratch)), "command"))
            os.mkfifo(pipe, 0o600)
            # Open for reading, too: opened for writing alone it would wait for the job. Open until the job has ended,
            # which may open its end long after it was told.
            self._told = stack.enter_context(os.fdopen(os.open(pipe, os.O_RDWR), "wb", buffering=0))
            # Python's workers would keep the modules that they have imported.
            conf = spark_conf(self._settings) | {"spark.python.worker.reuse": "false"}
            argv = submit_argv(self._settings, conf, [AHEAD, pipe])
            process = stack.enter_context(_started(argv, _environment(self._settings), scratch))
            stack.callback(_end_group, process)
            self._held, self._process = stack.pop_all(), process
        return process

    def _end(self) -> None:
        self._process = None
        self._held.close()


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
            "spark.driver.extraJavaOptions": " ".join([*java_options(settings), record]),
            "spark.local.dir": folder,
            "spark.sql.warehouse.dir": f"{folder}/warehouse",
        }
        argv = submit_argv(settings, conf, ["archive", f"{folder}/tables"])
        with _started(argv, _environment(settings), Path(folder)) as process:
            status, last = _followed(process)
        if status != 0 or not new.is_file():
            why = last.strip() or f"status {status}"
            log.warning("no class-data archive could be made (%s): Spark starts more slowly", why)
            return None
        new.replace(target)
    return target


def _here(settings: Settings) -> Settings:
    return replace(settings, spark_master="local[*]") if on_kubernetes(settings.spark_master) else settings


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
        _signals_raise() as stopped,
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
            stopped.arm()
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
class _Stopped:
    """A signal that comes before the job is known is kept until there is something to end."""

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
def _signals_raise() -> Iterator[_Stopped]:
    """Makes SIGTERM, and the end of the terminal, an exception, so that the job is ended with this process.

    A handler that is there already stays.
    """
    stopped, numbers = _Stopped(), (signal.SIGTERM, signal.SIGHUP)
    here = threading.current_thread() is threading.main_thread()
    ours = [number for number in numbers if here and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stopped)
    try:
        yield stopped
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def main(argv: Sequence[str]) -> int:
    """``python -m nightshift.spark_local archive``: make the class-data archive. Never fails a set-up."""
    if list(argv) != ["archive"]:
        sys.stderr.write("usage: python -m nightshift.spark_local archive\n")
        return 2
    logging.basicConfig(level=logging.WARNING)
    made = build_archive(Settings.from_env())
    sys.stdout.write(f"class-data archive: {made or 'none'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
