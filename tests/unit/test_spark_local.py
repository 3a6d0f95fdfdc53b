"""Jobs on this machine, of a spark-submit that the test wrote: told now or later, and ended with who started them."""

import json
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightshift import java, spark, spark_local
from nightshift.commands import FeaturesCommand
from nightshift.errors import NightshiftError, SchemaChanged, SpecError
from nightshift.settings import Settings
from nightshift.spark_local import Ahead
from tests.programs import program
from tests.waiting import until

pytestmark = pytest.mark.process


DAY = date(2024, 1, 1)
COMMAND = FeaturesCommand("p", DAY, DAY, "plan.json")


STOPPED_WHILE_IT_STARTS = """
class Popen(subprocess.Popen):
    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
subprocess.Popen = Popen
"""


# What a job does that is told its commands later: it reads a line of the pipe that its last argument names.
TOLD = 'for pipe; do :; done; read told < "$pipe"; echo "${told#*, }"'
DONE = f'echo "{spark.done_line("$(echo $told | cut -c3-34)")}"'
ANSWERS = f"{TOLD}; {DONE}"


def test_a_run_logs_the_drivers_lines_and_ends_quietly(
    settings: Settings, submit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program(submit, 'echo "made of $PYSPARK_PYTHON"; echo second >&2')
    with caplog.at_level(logging.INFO, "nightshift.spark"):
        spark_local.run_local(settings, COMMAND)

    assert sorted(caplog.messages) == [f"made of {sys.executable}", "second"]


@pytest.mark.parametrize("kind", [NightshiftError, SpecError, SchemaChanged])
def test_the_drivers_own_error_is_raised_and_not_logged_as_well(
    settings: Settings, submit: Path, kind: type[NightshiftError], caplog: pytest.LogCaptureFixture
) -> None:
    told = kind("column a is wrong", where="spark_jobs/features/p.py build", allowed="number")
    program(submit, f"echo noise; echo '{spark.error_line(told)}' >&2; echo more noise; exit 3")

    with caplog.at_level(logging.INFO, "nightshift.spark"), pytest.raises(NightshiftError) as caught:
        spark_local.run_local(settings, COMMAND)

    assert sorted(caplog.messages) == ["more noise", "noise"]
    assert type(caught.value) is kind
    assert str(caught.value) == "spark_jobs/features/p.py build: column a is wrong. Allowed: number."


def test_a_driver_that_says_nothing_is_told_by_its_status(settings: Settings, submit: Path) -> None:
    program(submit, "exit 4")

    with pytest.raises(NightshiftError) as caught:
        spark_local.run_local(settings, COMMAND)

    assert str(caught.value) == (
        "the Spark job ended with status 4 and without saying why. What to do: read its log above."
    )


def test_a_job_that_is_started_ahead_is_told_its_commands_later(
    settings: Settings, submit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program(submit, f"echo starts; sleep 1; while :; do {ANSWERS}; done")
    second = replace(COMMAND, plan="other.json")
    with caplog.at_level(logging.INFO, "nightshift.spark"), Ahead(settings) as run:
        run(settings, COMMAND)
        run(settings, second)

    assert caplog.messages == ["starts", *(json.dumps(command.argv())[1:] for command in (COMMAND, second))]
    assert not list((settings.var / "spark").glob("ahead-*"))


def test_the_error_of_a_job_started_ahead_is_raised_and_the_job_stays(
    settings: Settings, submit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = SpecError("column a is wrong", where="spark_jobs/features/p.py build")
    program(submit, f"echo starts; {TOLD}; echo '{spark.error_line(told)}'; {DONE}; {ANSWERS}; sleep 300")

    with caplog.at_level(logging.INFO, "nightshift.spark"), Ahead(settings) as run:
        with pytest.raises(SpecError) as caught:
            run(settings, COMMAND)
        run(settings, COMMAND)
    assert str(caught.value) == str(told)
    assert caplog.messages.count("starts") == 1


def test_a_module_that_prints_an_answer_gives_none(
    settings: Settings, submit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program(submit, f"{TOLD}; echo '{spark.done_line('')}'; echo '{spark.done_line('0' * 32)}'; echo last; {DONE}")
    with caplog.at_level(logging.INFO, "nightshift.spark"), Ahead(settings) as run:
        run(settings, COMMAND)

    assert caplog.messages[-1] == "last"


def test_a_job_that_has_ended_is_started_anew_by_the_next_command(
    settings: Settings, submit: Path, tmp_path: Path
) -> None:
    program(submit, f"test -e {tmp_path}/second || {{ touch {tmp_path}/second; exit 137; }}; {ANSWERS}")

    with Ahead(settings) as run:
        with pytest.raises(NightshiftError) as caught:
            run(settings, COMMAND)
        run(settings, COMMAND)
    assert caught.value.what.startswith("the Spark job was killed by signal 9")
    assert not list((settings.var / "spark").glob("ahead-*"))


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_started_ahead_and_not_needed_ends_with_the_block(
    settings: Settings, submit: Path, tmp_path: Path, fails: bool
) -> None:
    program(submit, f"echo $$ > {tmp_path}/pid; {TOLD}")

    with suppress(InterruptedError), Ahead(settings):
        until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text().strip())
        if fails:
            raise InterruptedError

    assert not _runs(int((tmp_path / "pid").read_text()))


def test_a_job_started_ahead_does_not_outlive_who_started_it(
    settings: Settings, submit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(submit, f"echo $$ > {tmp_path}/pid; {TOLD}")
    monkeypatch.setenv("NIGHTSHIFT_VAR", str(settings.var))
    code = (
        "import time; from nightshift import spark_local; from nightshift.settings import Settings\n"
        "with spark_local.Ahead(Settings.from_env()): time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as starter:
        until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text().strip())
        starter.kill()

    until(lambda: not _runs(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize(("number", "early"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGHUP, False)])
def test_a_signal_ends_the_job_and_all_of_its_processes(
    tmp_path: Path, submit: Path, number: signal.Signals, early: bool
) -> None:
    pids = tmp_path / "pids"
    program(submit, f"sleep 300 & echo $! >> {pids}; echo $$ >> {pids}; wait")
    code = (
        "import os, signal, subprocess, time\n"
        # Children of nohup ignore SIGHUP, and a job of theirs rightly goes on.
        f"signal.signal({number:d}, signal.SIG_DFL)\n"
        "from nightshift import spark_local; from nightshift.settings import Settings; "
        "from nightshift.commands import AuditCommand\n"
        f"{STOPPED_WHILE_IT_STARTS if early else ''}"
        f"spark_local.run_local(Settings.from_env({{'NIGHTSHIFT_VAR': '{tmp_path}/var'}}), AuditCommand('u'))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        if not early:
            process.send_signal(number)
        assert process.wait(90) == 128 + number
        until(lambda: not any(_runs(int(pid)) for pid in pids.read_text().split()))
    finally:
        process.kill()
        process.wait()


def test_a_java_that_cannot_make_an_archive_harms_nothing(
    settings: Settings, submit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: settings.var / "cache")
    program(submit, "exit 1")

    assert spark_local.build_archive(settings) is None
    assert not list((settings.var / "cache").rglob("*.jsa"))


def test_an_archive_is_made_once(settings: Settings, submit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: settings.var / "cache")
    program(submit, 'for word do case "$word" in *Cache*=*|*Archive*=*) touch "${word##*=}";; esac; done')

    made = spark_local.build_archive(settings)
    assert made is not None
    submit.unlink()
    assert spark_local.build_archive(settings) == made
    assert str(made) in spark.spark_conf(settings)["spark.driver.extraJavaOptions"]


def test_a_gates_own_job_runs_here_where_features_are_built_in_pods(
    settings: Settings, submit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program(submit, 'echo "$2"')
    with caplog.at_level(logging.INFO, "nightshift.spark"):
        spark_local.run_local(replace(settings, spark_master="k8s://https://cluster:6443"), COMMAND)

    assert caplog.messages == ["local[*]"]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc").exists() else True


def test_set_up_asks_for_the_archive_by_a_word() -> None:
    argv = [sys.executable, "-m", "nightshift.spark_local", "archives"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "usage: python -m nightshift.spark_local archive\n")
