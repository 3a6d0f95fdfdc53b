"""What the account of tasks may do in a real MLflow, and what not."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from nightshift.errors import PlatformError
from nightshift.platform.mlflow_account import Account, ensure
from nightshift.registry import mlflow
from nightshift.registry.champions import Champion
from nightshift.settings import Settings
from tests.mlflow_server import MlflowServer

pytestmark = pytest.mark.process

RECORD = mlflow.Record(
    fingerprint="f" * 16,
    sha256="5" * 64,
    name="a retrain",
    description="of tests",
    params={"depth": "3"},
    metrics={"average_precision": 0.5},
    artifacts={"model/model.ubj": b"no model", "report.txt": b"text"},
)


def call(server: MlflowServer, auth: tuple[str, str], path: str, **document: Any) -> requests.Response:
    return requests.post(f"{server.uri}/api/2.0/mlflow/{path}", json=document, auth=auth, timeout=30)


@pytest.fixture
def tasks(mlflow_server: MlflowServer) -> tuple[str, str]:
    login = json.loads(mlflow_server.login_file.read_text())
    return login["username"], login["password"]


def retrain(settings: Settings) -> None:
    """All that a retrain, a promotion and an order do in MLflow."""
    version = mlflow.register(settings, "parcels", RECORD)
    mlflow.tag_versions(settings, "parcels", {RECORD.sha256: {"nightshift.decision": "promoted"}})
    champion = Champion(version.version, RECORD.sha256, 1, date(2024, 1, 1), None)
    assert mlflow.set_champion(settings, "parcels", champion) == version.version
    mlflow.set_head(settings, "parcels", "1:abc")
    assert mlflow.champions_shown(settings, ["parcels"]) == {"parcels": version.version}
    assert mlflow.set_champion(settings, "parcels", None) is None


def test_a_retrain_on_an_empty_server(mlflow_server: MlflowServer, settings: Settings) -> None:
    retrain(mlflow_server.settings(settings, "emptyserver"))


def test_a_retrain_where_an_administrator_made_everything(mlflow_server: MlflowServer, settings: Settings) -> None:
    """As after an upgrade: tasks were the administrator before."""
    known = mlflow_server.settings(settings, "upgraded")
    experiment, name = mlflow.experiment_name(known, "parcels"), mlflow.registered_name(known, "parcels")
    made = call(mlflow_server, mlflow_server.admin, "experiments/create", name=experiment).json()["experiment_id"]
    run = call(mlflow_server, mlflow_server.admin, "runs/create", experiment_id=made).json()["run"]["info"]["run_id"]
    assert call(mlflow_server, mlflow_server.admin, "registered-models/create", name=name).ok
    document = {"name": name, "source": f"mlflow-artifacts:/{made}/{run}/artifacts/model", "run_id": run}
    old = call(mlflow_server, mlflow_server.admin, "model-versions/create", **document).json()["model_version"]
    alias = {"name": name, "alias": mlflow.CHAMPION, "version": old["version"]}
    answer = call(mlflow_server, mlflow_server.admin, "registered-models/alias", **alias)
    assert answer.ok, answer.text
    retrain(known)


def test_tasks_administer_nothing(mlflow_server: MlflowServer, tasks: tuple[str, str]) -> None:
    made = call(mlflow_server, mlflow_server.admin, "experiments/create", name="others").json()["experiment_id"]
    grant = {"username": tasks[0], "permission": "MANAGE"}
    for method, path, document in (
        ("POST", "users/create", {"username": "eve", "password": "long enough for MLflow"}),
        ("PATCH", "users/update-admin", {"username": tasks[0], "is_admin": True}),
        ("PATCH", "users/update-password", {"username": "admin", "password": "long enough for MLflow"}),
        ("DELETE", "users/delete", {"username": "admin"}),
        ("POST", "3.0/roles/create", {"name": "all", "workspace": "default"}),
        ("POST", "experiments/permissions/create", {"experiment_id": made, **grant}),
        ("POST", "3.0/users/permissions/grant", {"resource_type": "run", "resource_id": "*", **grant}),
    ):
        assert status(mlflow_server, tasks, method, path, document) == 403, path


@pytest.mark.parametrize("whose", ["others", "its own"])
def test_tasks_delete_nothing(mlflow_server: MlflowServer, tasks: tuple[str, str], whose: str) -> None:
    auth, name = mlflow_server.admin if whose == "others" else tasks, f"kept, {whose}"
    made = call(mlflow_server, auth, "experiments/create", name=name).json()["experiment_id"]
    run = call(mlflow_server, auth, "runs/create", experiment_id=made).json()["run"]["info"]["run_id"]
    assert call(mlflow_server, auth, "registered-models/create", name=name).ok
    document = {"name": name, "source": f"mlflow-artifacts:/{made}/{run}/artifacts/model", "run_id": run}
    assert call(mlflow_server, auth, "model-versions/create", **document).ok
    for method, path, place in (
        ("POST", "experiments/delete", {"experiment_id": made}),
        ("POST", "runs/delete", {"run_id": run}),
        ("DELETE", "registered-models/delete", {"name": name}),
        ("DELETE", "model-versions/delete", {"name": name, "version": "1"}),
    ):
        assert status(mlflow_server, tasks, method, path, place) == 403, path


def status(server: MlflowServer, auth: tuple[str, str], method: str, path: str, document: dict[str, Any]) -> int:
    address = f"{server.uri}/api/{'3.0' if path.startswith('3.0/') else '2.0'}/mlflow/{path.removeprefix('3.0/')}"
    return requests.request(method, address, json=document, auth=auth, timeout=30).status_code


@pytest.fixture
def database(tmp_path: Path) -> dict[str, str]:
    """What names an empty database of MLflow's logins."""
    configuration = tmp_path / "auth.ini"
    configuration.write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{tmp_path}/auth.db\n"
        "admin_username = admin\nadmin_password = of the administrator\n"
    )
    return {"MLFLOW_AUTH_CONFIG_PATH": str(configuration), "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of tests alone"}


PROBE = """
import os, sys
from nightshift.platform.mlflow_account import Account, _is_there, ensure
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
url, mine = sys.argv[1], Account("nightshift", "the first password")
store = SqlAlchemyStore()
store.init_db(url)
store.create_user("nightshift", "once an administrator", is_admin=True)
for account in (mine, mine, Account("nightshift", "the second password")):
    print(_is_there(account, url))
    ensure(account, os.environ)
    print(_is_there(account, url), store.get_user("nightshift").is_admin)
print(store.authenticate_user("nightshift", "the first password"))
"""


def test_it_is_made_once_and_mended(database: dict[str, str], tmp_path: Path) -> None:
    argv = [sys.executable, "-c", PROBE, f"sqlite:///{tmp_path}/auth.db"]
    done = subprocess.run(argv, env=os.environ | database, capture_output=True, text=True, check=False)
    # Whether it is there; then, that it is, and no administrator.
    made = ["False", "True False"]
    assert done.stdout.splitlines() == [*made, "True", "True False", *made, "False"], done.stderr


@pytest.mark.parametrize(
    ("account", "message"),
    [
        (Account("admin", "long enough for MLflow"), "the tasks' login is MLflow's administrator"),
        (Account("nightshift", "s3cret"), "the tasks' password for MLflow is too short"),
    ],
)
def test_a_login_that_cannot_be_is_refused(database: dict[str, str], account: Account, message: str) -> None:
    with pytest.raises(PlatformError, match=message) as error:
        ensure(account, database)
    assert account.password not in str(error.value)
