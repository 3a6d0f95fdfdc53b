"""The settings as environment variables."""

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from nightshift.platform import environment, logins
from nightshift.platform.environment import (
    airflow_environment,
    platform_environment,
    process_environment,
    shell_exports,
)
from nightshift.platform.layout import Layout
from nightshift.settings import Settings


def test_the_settings_come_back_from_their_variables(settings: Settings) -> None:
    changed = replace(
        settings, env="trial", statsd_host="10.0.0.1", spark_master="spark://m:7077", compute="kubernetes",
        parallelism=9,
    )  # fmt: skip
    assert Settings.from_env(airflow_environment(changed)) == changed


def test_what_airflow_is_told(settings: Settings) -> None:
    told = airflow_environment(settings)
    assert told["AIRFLOW_HOME"] == f"{settings.var}/airflow"
    assert told["AIRFLOW__CORE__DAGS_FOLDER"] == f"{settings.home}/dags"
    assert told["AIRFLOW__CORE__PLUGINS_FOLDER"] == f"{settings.home}/plugins"
    assert told["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert told["AIRFLOW__API__PORT"] == "8080"
    assert told["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8080/execution/"
    assert told["PYTHONPATH"] == str(settings.home)
    assert json.loads(told["AIRFLOW_CONN_SPARK_DEFAULT"])["host"] == "local[*]"
    assert not any(name.startswith("AIRFLOW__METRICS__") for name in told)


@pytest.mark.parametrize(("wanted", "of_a_run"), [(4, 16), (32, 32)])
def test_all_that_may_run_at_once_may_be_shards_of_one_day(settings: Settings, wanted: int, of_a_run: int) -> None:
    told = airflow_environment(replace(settings, parallelism=wanted))
    assert told["AIRFLOW__CORE__PARALLELISM"] == str(wanted)
    assert told["AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG"] == str(of_a_run)


def test_metrics_keep_their_tags(settings: Settings) -> None:
    told = airflow_environment(replace(settings, statsd_host="127.0.0.1", statsd_port=9125))
    assert {name: value for name, value in told.items() if name.startswith("AIRFLOW__METRICS__")} == {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
        "AIRFLOW__METRICS__STATSD_PORT": "9125",
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
    }


def test_only_names_of_secret_files_are_told(settings: Settings) -> None:
    layout = Layout(settings.var)
    layout.make()
    logins.ensure_secrets(layout)
    told = " ".join(airflow_environment(settings).values())
    passwords = [role.password for role in logins.postgres_roles(layout)]
    assert len(set(passwords)) == 5
    assert [password for password in passwords if password and password in told] == []
    secret = (layout.secrets / "airflow-jwt-secret").read_text()
    assert len(secret) >= 64
    assert secret not in told


def test_a_process_keeps_connections_and_path_of_outside(settings: Settings) -> None:
    outer = {"AIRFLOW_CONN_SPARK_DEFAULT": "spark://elsewhere", "AIRFLOW_HOME": "/other", "PATH": "/bin", "LANG": "C"}
    found = process_environment(settings, {**outer, "PYTHONHOME": "/broken"})
    assert found["AIRFLOW_CONN_SPARK_DEFAULT"] == "spark://elsewhere"
    assert found["AIRFLOW_HOME"] == f"{settings.var}/airflow"
    assert found["PATH"].endswith(":/bin")
    assert found["LANG"] == "C"
    assert "PYTHONHOME" not in found


def test_a_shell_with_our_exports_starts_the_platform_with_changed_settings(settings: Settings) -> None:
    own = {"AIRFLOW_CONN_KUBERNETES_DEFAULT": "kubernetes://mine"}
    shell = {**own, **dict(line.split("=", 1) for line in shell_exports(settings, own).splitlines())}
    exported = {name.removeprefix("export "): "".join(shlex.split(value)) for name, value in shell.items()}
    found = process_environment(replace(settings, spark_master="k8s://https://c:6443"), exported)
    assert json.loads(found["AIRFLOW_CONN_SPARK_DEFAULT"])["host"] == "k8s://https://c:6443"
    assert found["AIRFLOW_CONN_KUBERNETES_DEFAULT"] == "kubernetes://mine"


def test_the_pace_is_what_the_operator_sets(settings: Settings) -> None:
    name = "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY"
    assert process_environment(settings, {})[name] == "20"
    assert process_environment(settings, {name: ""})[name] == "20"
    assert process_environment(settings, {name: "60"})[name] == "60"


def test_what_is_not_pace_is_what_the_settings_say(settings: Settings) -> None:
    name = "AIRFLOW__CORE__PARALLELISM"
    assert process_environment(settings, {name: "60"})[name] == str(settings.parallelism)


def test_a_shell_does_not_keep_the_pace_of_an_older_version(settings: Settings) -> None:
    exported = shell_exports(settings, {})
    assert [name for name in platform_environment(settings, {}) if f"export {name}=" not in exported] == [
        environment.LOGINS,
        *environment._PACE,
    ]


def test_who_may_sign_in_is_what_the_operator_sets(settings: Settings) -> None:
    assert platform_environment(settings, {})[environment.LOGINS] == "admin:admin"
    assert platform_environment(settings, {environment.LOGINS: "admin:admin,ada:op"})[environment.LOGINS].endswith("op")
    assert environment.login_names("admin:admin, ada:op,") == ["admin", "ada"]


@pytest.mark.process
def test_a_shell_understands_the_exports(settings: Settings, tmp_path: Path) -> None:
    awkward = replace(settings, home=tmp_path / "it's $HOME `x`")
    script = f'{shell_exports(awkward)}\nprintf "%s|%s" "$PYTHONPATH" "$PATH"'
    said = subprocess.run(["/bin/sh", "-c", script], env={"PATH": "/bin"}, capture_output=True, text=True, check=True)
    assert said.stdout == f"{awkward.home}|{environment._bin()}:/bin"


@pytest.mark.parametrize("name", ["dags_are_paused_at_creation", "load_examples"])
def test_airflow_knows_the_names(settings: Settings, name: str) -> None:
    assert airflow_environment(settings)[f"AIRFLOW__CORE__{name.upper()}"] == "False"


def test_every_setting_is_one_of_airflows(settings: Settings) -> None:
    from importlib.util import find_spec

    import yaml

    origin = find_spec("airflow")
    assert origin is not None
    assert origin.submodule_search_locations
    template = Path(origin.submodule_search_locations[0]) / "config_templates" / "config.yml"
    known = yaml.safe_load(template.read_text())
    told = platform_environment(replace(settings, statsd_host="h"))
    for name in (name for name in told if name.startswith("AIRFLOW__")):
        section, option = name.removeprefix("AIRFLOW__").lower().split("__", 1)
        assert option.removesuffix("_cmd") in known[section]["options"], name
        if option.endswith("_cmd"):
            assert known[section]["options"][option.removesuffix("_cmd")]["sensitive"], name
