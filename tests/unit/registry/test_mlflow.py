"""MLflow as it answers: a real server with a login."""

import json
import os
import uuid
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightshift.errors import NightshiftError
from nightshift.registry import mlflow
from nightshift.registry.champions import Champion
from nightshift.registry.mlflow import Record
from nightshift.settings import Settings
from tests.mlflow_server import MlflowServer


@pytest.fixture
def server(settings: Settings, mlflow_server: MlflowServer) -> Settings:
    return mlflow_server.settings(settings, f"t{uuid.uuid4().hex[:10]}")


def record(fingerprint: str = "f" * 16, **changes: object) -> Record:
    whole = Record(
        fingerprint=fingerprint,
        sha256="a" * 64,
        name="as of 2024-02-10",
        description="Trained as of 2024-02-10.",
        params={"eta": "0.05"},
        metrics={"rmse": 1.5},
        tags={"nightshift.as_of": "2024-02-10"},
        artifacts={"model/model.ubj": b"trees", "plots/importance.png": b"png"},
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def client(settings: Settings):  # type: ignore[no-untyped-def]
    return mlflow._talking(settings)


def test_version_has_run_metrics_and_files(server: Settings, tmp_path: Path) -> None:
    version = mlflow.register(server, "parcels", record())

    assert version.version == "1"
    assert version.sha256 == "a" * 64
    with client(server) as talking:
        run = talking.get_run(version.run_id)
        registered = talking.get_model_version(f"{server.env}.parcels", "1")
        downloaded = talking.download_artifacts(version.run_id, "model/model.ubj", str(tmp_path))
        experiment = talking.get_experiment(run.info.experiment_id)
    assert experiment.name == f"{server.env}/parcels"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"eta": "0.05"}
    assert run.data.metrics == {"rmse": 1.5}
    assert run.data.tags["nightshift.fingerprint"] == "f" * 16
    assert registered.run_id == version.run_id
    assert registered.source == f"{run.info.artifact_uri}/model"
    assert Path(downloaded).read_bytes() == b"trees"
    assert version.url == f"{server.mlflow_uri}/#/experiments/{run.info.experiment_id}/runs/{version.run_id}"


def test_known_fingerprint_registers_nothing_new(server: Settings) -> None:
    first = mlflow.register(server, "parcels", record())
    again = mlflow.register(server, "parcels", record(metrics={"rmse": 99.0}))
    other = mlflow.register(server, "parcels", record("e" * 16))

    assert again == first
    assert mlflow.find_version(server, "parcels", "f" * 16) == first
    assert other.version == "2"
    assert mlflow.find_version(server, "parcels", "0" * 16) is None


@pytest.mark.parametrize("dies_at", ["log_artifacts", "set_terminated", "create_model_version"])
def test_try_that_died_is_completed(server: Settings, monkeypatch: pytest.MonkeyPatch, dies_at: str) -> None:
    from mlflow import MlflowClient

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, dies_at, _die)
        with pytest.raises(RuntimeError, match="killed"):
            mlflow.register(server, "parcels", record())
    assert mlflow.find_version(server, "parcels", "f" * 16) is None

    version = mlflow.register(server, "parcels", record())

    with client(server) as talking:
        number = talking.get_experiment_by_name(f"{server.env}/parcels").experiment_id
        [run] = talking.search_runs([number])
        assert run.info.run_id == version.run_id
        assert run.info.status == "FINISHED"
        assert [item.path for item in talking.list_artifacts(version.run_id, "model")] == ["model/model.ubj"]
        assert len(talking.search_model_versions(f"name = '{server.env}.parcels'")) == 1


def _die(*_arguments: object, **_named: object) -> None:
    raise RuntimeError("killed")


def test_alias_follows(server: Settings) -> None:
    first = mlflow.register(server, "parcels", record())
    second = mlflow.register(server, "parcels", record("e" * 16, sha256="b" * 64))
    assert mlflow.champion_version(server, "parcels") is None

    seen = []
    for version in (first, second, first):
        assert mlflow.set_champion(server, "parcels", champion(version)) == version.version
        seen.append(mlflow.champion_version(server, "parcels"))
    mlflow.set_champion(server, "parcels", None)
    mlflow.set_champion(server, "parcels", None)

    assert seen == ["1", "2", "1"]
    assert mlflow.champion_version(server, "parcels") is None


def test_no_alias_where_no_model_is_registered(server: Settings) -> None:
    mlflow.set_champion(server, "parcels", None)
    assert mlflow.champion_version(server, "parcels") is None


def test_alias_of_a_version_that_was_deleted_follows_its_model(server: Settings, mlflow_server: MlflowServer) -> None:
    """A retrain of the same recipe registers the champion's model once more."""
    first = mlflow.register(server, "parcels", record())
    mlflow.register(server, "parcels", record("e" * 16, sha256="b" * 64))
    refusal = pytest.raises(NightshiftError, match="the login of tasks may not do this in MLflow")
    with refusal as error, client(server) as talking:
        talking.delete_model_version(f"{server.env}.parcels", first.version)
    assert "restart MLflow" in error.value.do
    with client(mlflow_server.by_admin(server)) as talking:
        talking.delete_model_version(f"{server.env}.parcels", first.version)

    assert mlflow.set_champion(server, "parcels", champion(first)) is None
    assert mlflow.champion_version(server, "parcels") is None

    again = mlflow.register(server, "parcels", record())
    assert mlflow.set_champion(server, "parcels", champion(first)) == again.version == "3"
    assert mlflow.champion_version(server, "parcels") == "3"


def champion(version: mlflow.Version) -> Champion:
    """The ledger's entry of a version."""
    return Champion(version.version, version.sha256, 1, date(2024, 2, 11), date(2024, 2, 10))


def test_names_of_environments() -> None:
    local = Settings.from_env({})
    assert mlflow.registered_name(local, "parcels") == "parcels"
    assert mlflow.experiment_name(local, "parcels") == "local/parcels"
    staging = replace(local, env="staging")
    assert mlflow.registered_name(staging, "parcels") == "staging.parcels"
    assert mlflow.experiment_name(staging, "parcels") == "staging/parcels"


@pytest.mark.process
def test_server_is_away(settings: Settings) -> None:
    away = replace(settings, mlflow_uri="http://127.0.0.1:9")
    with pytest.raises(NightshiftError) as error:
        mlflow.find_version(away, "parcels", "f" * 16)
    assert str(error.value).startswith("http://127.0.0.1:9: MLflow does not answer (")
    assert "nightshift status" in error.value.do
    assert error.value.retryable


def test_wrong_login(server: Settings, tmp_path: Path) -> None:
    wrong = tmp_path / "login"
    wrong.write_text(json.dumps({"username": "admin", "password": "not it"}))
    for file in (wrong, tmp_path / "absent"):
        with pytest.raises(NightshiftError, match="MLflow turned the login down") as error:
            mlflow.register(replace(server, mlflow_login_file=file), "parcels", record())
        assert str(file) in error.value.do
        assert "not it" not in str(error.value)


def test_login_file_that_is_not_one(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text("secret words")
    with pytest.raises(NightshiftError, match="the MLflow login cannot be read") as error:
        mlflow.find_version(replace(settings, mlflow_login_file=file), "parcels", "f" * 16)
    assert "secret words" not in str(error.value)


def test_login_is_in_the_environment_while_talking_alone(server: Settings) -> None:
    before = dict(os.environ)
    with client(server):
        assert os.environ["MLFLOW_TRACKING_USERNAME"] == "nightshift"
    assert dict(os.environ) == before
