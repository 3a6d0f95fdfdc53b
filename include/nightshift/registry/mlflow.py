"""The only module that talks to MLflow. MLflow shows models to people; the ledger is the truth.

A version is found by its fingerprint, which both its run and the version carry as a tag: a try that died between the
two is completed, never repeated.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nightshift.errors import NightshiftError
from nightshift.registry.champions import Champion
from nightshift.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"
FINGERPRINT = "nightshift.fingerprint"
SHA256 = "nightshift.sha256"
# On a registered model: the environment and the head of the ledger at the pipeline's newest entry.
HEAD = "nightshift.ledger"
MODEL = "model"

_READ_SECONDS = 5.0  # for a look that a person waits for

_QUIET_AND_SHORT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout belongs to our own commands
}
# Whoever only compares does not wait for a server that starts.
_AT_ONCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@dataclass(frozen=True)
class Record:
    """What a run shows. ``artifacts`` are files by their path in the run; those below ``model/`` make the version.

    Two tries at one fingerprint have the same ``params``, since MLflow never changes one.
    """

    fingerprint: str
    sha256: str
    name: str
    description: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """A registered version: its number as text, the model's SHA-256, its run and where people see it."""

    version: str
    sha256: str
    run_id: str
    url: str


def registered_name(settings: Settings, pipeline: str) -> str:
    """The name of a pipeline's registered model; another environment than ``local`` has models of its own."""
    return pipeline if settings.env == "local" else f"{settings.env}.{pipeline}"


def experiment_name(settings: Settings, pipeline: str) -> str:
    """The name of the experiment of a pipeline's runs."""
    return f"{settings.env}/{pipeline}"


def find_version(settings: Settings, pipeline: str, fingerprint: str) -> Version | None:
    """The first version with a fingerprint, if there is one. Raises NightshiftError where MLflow is away."""
    with _talking(settings) as client:
        return _find_version(settings, client, pipeline, fingerprint)


def register(settings: Settings, pipeline: str, record: Record, confirm: Callable[[], None] | None = None) -> Version:
    """The version with the record's fingerprint, registered with its run where there is none yet.

    Two processes must not register one fingerprint at the same moment: hold a lock, which ``confirm`` asks for once
    the run is there. Raises NightshiftError.
    """
    with _talking(settings) as client:
        found = _find_version(settings, client, pipeline, record.fingerprint)
        if found:
            return found
        run = _completed_run(client, experiment_name(settings, pipeline), record)
        name = registered_name(settings, pipeline)
        _create_registered_model(client, name)
        if confirm is not None:
            confirm()
        client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/{MODEL}",
            run_id=run.info.run_id,
            tags={FINGERPRINT: record.fingerprint, SHA256: record.sha256},
            description=record.description,
            await_creation_for=0,
        )
        found = _find_version(settings, client, pipeline, record.fingerprint)
        assert found is not None  # noqa: S101
        return found


def champion_version(settings: Settings, pipeline: str) -> str | None:
    """The version that the alias names, None where there is no alias."""
    from mlflow.exceptions import MlflowException

    with _talking(settings) as client:
        try:
            # Asked by its alias, a model that is not there is a refusal to all but administrators.
            aliases = client.get_registered_model(registered_name(settings, pipeline)).aliases
        except MlflowException as error:
            if _code(error) == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
    return str(aliases[CHAMPION]) if CHAMPION in aliases else None


def champions_shown(settings: Settings, pipelines: Sequence[str]) -> dict[str, str]:
    """The version that the alias of each pipeline names, in one question; without those that have no alias.

    For commands that only look: MLflow's client takes two seconds to import. Raises NightshiftError where MLflow is
    away.
    """
    import httpx

    login, names = _login(settings), {registered_name(settings, name): name for name in pipelines}
    auth = (login["MLFLOW_TRACKING_USERNAME"], login["MLFLOW_TRACKING_PASSWORD"]) if login else None
    query: dict[str, str] = {"max_results": "1000"}
    if len(names) == 1:
        query["filter"] = f"name = '{next(iter(names))}'"
    shown: dict[str, str] = {}
    try:
        with httpx.Client(base_url=settings.mlflow_uri, auth=auth, timeout=_READ_SECONDS) as client:
            while True:
                answer = client.get("/api/2.0/mlflow/registered-models/search", params=query).raise_for_status().json()
                for model in answer.get("registered_models", ()):
                    aliases = {item["alias"]: str(item["version"]) for item in model.get("aliases", ())}
                    if CHAMPION in aliases and model["name"] in names:
                        shown[names[model["name"]]] = aliases[CHAMPION]
                if not answer.get("next_page_token"):
                    return shown
                query["page_token"] = answer["next_page_token"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NightshiftError(
            f"MLflow does not answer as it should ({type(error).__name__})",
            where=settings.mlflow_uri,
            do="see `nightshift status`",
        ) from None


def tag_versions(settings: Settings, pipeline: str, decided: Mapping[str, Mapping[str, str]]) -> None:
    """Writes tags on the versions of models, by SHA-256, where they have others. Raises NightshiftError."""
    name = registered_name(settings, pipeline)
    with _talking(settings) as client:
        for item in client.search_model_versions(f"name = '{name}'"):
            for key, value in decided.get(item.tags.get(SHA256, ""), {}).items():
                if item.tags.get(key) != value:
                    client.set_model_version_tag(name, item.version, key, value)


def set_champion(settings: Settings, pipeline: str, champion: Champion | None) -> str | None:
    """Points the alias at the champion, or takes it away; returns the version that it names then.

    Where the champion's version was deleted, another one of the same model serves as well. None where there is none of
    that model, or no champion. Raises NightshiftError where MLflow is away.
    """
    version = version_of(settings, pipeline, champion) if champion is not None else None
    name = registered_name(settings, pipeline)
    if version is not None:
        with _talking(settings) as client:
            client.set_registered_model_alias(name, CHAMPION, version)
    elif champion_version(settings, pipeline) is not None:
        with _talking(settings) as client:
            client.delete_registered_model_alias(name, CHAMPION)
    return version


def set_head(settings: Settings, pipeline: str, head: str) -> None:
    """Sets the ledger's head on the pipeline's registered model, if there is one. Raises NightshiftError."""
    from mlflow.exceptions import MlflowException

    with _talking(settings) as client:
        try:
            client.set_registered_model_tag(registered_name(settings, pipeline), HEAD, f"{settings.env} {head}")
        except MlflowException as error:
            if _code(error) != "RESOURCE_DOES_NOT_EXIST":
                raise


def heads(settings: Settings) -> dict[str, str]:
    """The ledger's head on each registered model of the environment, by its name; empty where it has none.

    Raises NightshiftError where MLflow is away, after seconds.
    """
    found: dict[str, str] = {}
    token = None
    with _talking(settings, _AT_ONCE) as client:
        while True:
            page = client.search_registered_models(max_results=1000, page_token=token)
            found |= {model.name: str(model.tags.get(HEAD, "")) for model in page}
            token = page.token
            if not token:
                return found


def version_of(settings: Settings, pipeline: str, champion: Champion) -> str | None:
    """The champion's version if it is there with the champion's model; else the newest version of that model, if any.

    Raises NightshiftError where MLflow is away.
    """
    name = registered_name(settings, pipeline)
    with _talking(settings) as client:
        found = client.search_model_versions(f"name = '{name}' AND tag.`{SHA256}` = '{champion.sha256}'")
    versions = sorted((str(item.version) for item in found), key=int)
    return champion.version if champion.version in versions else next(reversed(versions), None)


def _find_version(settings: Settings, client: "MlflowClient", pipeline: str, fingerprint: str) -> Version | None:
    name = registered_name(settings, pipeline)
    found = client.search_model_versions(f"name = '{name}' AND tag.`{FINGERPRINT}` = '{fingerprint}'")
    if not found:
        return None
    first = min(found, key=lambda item: int(item.version))
    return Version(str(first.version), first.tags.get(SHA256, ""), first.run_id, _url(settings, client, first.run_id))


def _url(settings: Settings, client: "MlflowClient", run_id: str) -> str:
    experiment = client.get_run(run_id).info.experiment_id
    return f"{settings.mlflow_address.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"


def _completed_run(client: "MlflowClient", experiment: str, record: Record) -> Any:
    """The run of a fingerprint with all of its contents; one that an earlier try left is used again."""
    from mlflow.entities import Metric, Param, RunTag

    number = _experiment(client, experiment)
    found = client.search_runs([number], f"tags.`{FINGERPRINT}` = '{record.fingerprint}'", max_results=1)
    tags = {**record.tags, FINGERPRINT: record.fingerprint, SHA256: record.sha256}
    run = found[0] if found else client.create_run(number, tags=tags, run_name=record.name)
    if run.info.status == "FINISHED":
        return run
    client.log_batch(
        run.info.run_id,
        metrics=[Metric(name, value, run.info.start_time, 0) for name, value in record.metrics.items()],
        params=[Param(name, value) for name, value in record.params.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    with tempfile.TemporaryDirectory(prefix="nightshift-run-") as folder:
        for path, content in record.artifacts.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        client.log_artifacts(run.info.run_id, folder)
    client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _experiment(client: "MlflowClient", name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        again = client.get_experiment_by_name(name)
        if again is None:
            raise error
        return str(again.experiment_id)


def _create_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if _code(error) != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _talking(settings: Settings, more: Mapping[str, str] = MappingProxyType({})) -> Iterator["MlflowClient"]:
    """A client whose login and timeouts are in the environment while it is used; failures as NightshiftError."""
    environment = {**_QUIET_AND_SHORT, **more, **_login(settings)}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            yield MlflowClient(tracking_uri=settings.mlflow_uri, registry_uri=settings.mlflow_uri)
        except (MlflowException, OSError) as error:
            raise _explained(settings, error) from error
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _login(settings: Settings) -> dict[str, str]:
    """The login for MLflow's client; none where there is no file, since a server may have none."""
    try:
        document = json.loads(settings.mlflow_login_file.read_text())
        return {
            "MLFLOW_TRACKING_USERNAME": str(document["username"]),
            "MLFLOW_TRACKING_PASSWORD": str(document["password"]),
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise NightshiftError(
            "the MLflow login cannot be read",
            where=str(settings.mlflow_login_file),
            allowed='a JSON file {"username": …, "password": …} that this user may read',
            do="correct the file, or NIGHTSHIFT_MLFLOW_LOGIN_FILE",
        ) from None


def _explained(settings: Settings, error: Exception) -> NightshiftError:
    code = _code(error)
    if code == "PERMISSION_DENIED":
        return NightshiftError(
            "the login of tasks may not do this in MLflow",
            where=settings.mlflow_uri,
            allowed="to record runs, register versions, set tags and aliases; nothing is deleted",
            do="if a retrain did it, restart MLflow: its start gives that login its rights",
        )
    if code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED") or " 401" in str(error):
        return NightshiftError(
            "MLflow turned the login down",
            where=settings.mlflow_uri,
            do=f"correct {settings.mlflow_login_file}, or NIGHTSHIFT_MLFLOW_LOGIN_FILE",
        )
    if code == "INTERNAL_ERROR" or isinstance(error, OSError):
        return NightshiftError(
            f"MLflow does not answer ({type(error).__name__})",
            where=settings.mlflow_uri,
            do="see `nightshift status`, then clear the task: what is done already is found again",
        )
    return NightshiftError(
        f"MLflow refuses ({code}): {' '.join(str(error).split())[:300]}",
        where=settings.mlflow_uri,
        do="if a model or version was deleted in MLflow, restore it or run its retrain again: the ledger names it",
    )


def _code(error: Exception) -> str:
    return str(getattr(error, "error_code", ""))
