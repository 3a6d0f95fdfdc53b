"""How a Spark job is started, and what a driver says at its end."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightshift import java, spark
from nightshift.commands import FeaturesCommand
from nightshift.errors import SpecError
from nightshift.settings import Settings

DAY = date(2024, 1, 1)
COMMAND = FeaturesCommand("p", DAY, DAY, "plan.json")


def test_the_argv_ends_with_the_command_and_binds_to_this_machine(settings: Settings, submit: Path) -> None:
    argv = spark.submit_argv(settings, spark.spark_conf(settings), COMMAND.argv())

    assert argv[:3] == [str(submit), "--master", "local[*]"]
    assert argv[-len(COMMAND.argv()) - 1 :] == [str(settings.home / "spark_jobs/main.py"), *COMMAND.argv()]
    assert "spark.driver.bindAddress=127.0.0.1" in argv
    assert "spark.ui.enabled=false" in argv
    assert f"spark.local.dir={settings.var}/spark" in argv


def test_a_cluster_keeps_its_own_network_and_memory(settings: Settings) -> None:
    conf = spark.spark_conf(replace(settings, spark_master="k8s://https://cluster"))

    assert not {name for name in conf if "bindAddress" in name or "memory" in name or "shuffle" in name}


def test_a_cluster_gets_the_program_of_the_image_and_the_mode(settings: Settings, submit: Path) -> None:
    there = replace(settings, spark_master="k8s://https://cluster:6443")
    argv = spark.cluster_submit_argv(there, {"spark.app.name": "a b"}, COMMAND, "/jobs/main.py")

    head = [str(submit), "--master", "k8s://https://cluster:6443", "--deploy-mode", "cluster"]
    assert argv == [*head, "--conf", "spark.app.name=a b", "local:///jobs/main.py", *COMMAND.argv()]


def test_an_archive_that_is_not_there_is_done_without(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "cache_folder", lambda: settings.var)

    assert "jsa" not in spark.spark_conf(settings)["spark.driver.extraJavaOptions"]


def test_an_error_of_several_lines_is_one_line() -> None:
    line = spark.error_line(SpecError("first\nsecond", where="here"))

    assert line == "nightshift error: SpecError: here: first second."


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
