"""Where things are: built once in an entry point from ``NIGHTSHIFT_*`` and handed down.

What a pipeline is stands in its YAML; nothing about a pipeline is a setting.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from nightshift import __version__
from nightshift.errors import NightshiftError, PlatformError

PROJECT = Path(__file__).resolve().parents[2]
# The name of the file with the key for the fingerprints of removed rows, among secrets and in a backup.
REMOVAL_KEY = "removed-rows"


@dataclass(frozen=True)
class Settings:
    """Locations are absolute paths or URIs without a trailing slash.

    ``home`` holds ``include/pipelines`` and ``spark_jobs``; ``var`` holds everything that deleting resets.
    Where ``compute`` is ``kubernetes``, scoring pods are made in ``namespace``, of ``scoring_image`` and
    ``pod_template``. Where Spark's master is ``k8s://…``, driver and executors are pods of that namespace, of
    ``spark_image`` and a template each, and the driver keeps its event log in ``spark_events``. ``poke_seconds`` is
    how often a task that waits looks again. ``private``: no other process knows this lake, so that nothing in it has
    to be locked. ``airflow_page`` and ``mlflow_page`` are where browsers find what programs find at ``airflow_url``
    and ``mlflow_uri``; empty: there, too. ``parallelism`` is how many tasks run at once. ``postgres`` is the
    ``host:port`` of a server where the platform's parts are containers; empty: they are this machine's processes.
    ``heads`` is where the ledger's heads are kept beside the lake: who can write there, the lake and the database can
    rewrite the past. ``removal_key`` is a file that another place than ``var`` has, see ``removal_key_file``; so is
    ``notify_file``, with the channels that people are told by. ``alertmanager`` is the URL of one whose alerts they are
    told of, too. ``people_file`` has the libpq URL of the role that appends what people decide: for the API server.
    ``airflow_user`` is who signs in to that server for an order, with the password in ``airflow_password_file``.
    ``log_days`` is for how many days the logs of tasks are kept.
    """

    home: Path
    var: Path
    env: str
    landing: str
    lake: str
    heads: str
    models: str
    reports: str
    mlflow_uri: str
    airflow_url: str
    compute: Literal["local", "kubernetes"]
    namespace: str
    scoring_image: str
    pod_template: Path
    spark_master: str
    spark_image: str
    spark_driver_template: Path
    spark_executor_template: Path
    spark_events: str
    statsd_host: str
    statsd_port: int
    poke_seconds: int
    parallelism: int
    database_file: Path
    mlflow_login_file: Path
    database_url: str = field(default="", repr=False)
    private: bool = False
    airflow_page: str = ""
    mlflow_page: str = ""
    postgres: str = ""
    removal_key: Path | None = None
    notify_file: Path | None = None
    alertmanager: str = ""
    people_file: Path | None = None
    airflow_user: str = ""
    airflow_password_file: Path | None = None
    log_days: int = 400

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """The settings that ``NIGHTSHIFT_*`` (see ``docs/architecture.md``) and the local defaults make.

        Raises NightshiftError where a value is not allowed.
        """
        env = os.environ if environ is None else environ
        home = Path(env.get("NIGHTSHIFT_HOME", PROJECT)).resolve()
        var = Path(env.get("NIGHTSHIFT_VAR", home / "var")).resolve()
        lake = _location(env, "NIGHTSHIFT_LAKE", var / "lake")
        return cls(
            home=home,
            var=var,
            env=_matching(env, "NIGHTSHIFT_ENV", "local", r"[a-z][a-z0-9]{0,30}"),
            landing=_location(env, "NIGHTSHIFT_LANDING", var / "landing"),
            lake=lake,
            heads=_location(env, "NIGHTSHIFT_HEADS", f"{lake}/_heads"),
            models=_location(env, "NIGHTSHIFT_MODELS", var / "models"),
            reports=_location(env, "NIGHTSHIFT_REPORTS", var / "reports"),
            mlflow_uri=env.get("NIGHTSHIFT_MLFLOW", f"http://127.0.0.1:{env.get('NIGHTSHIFT_MLFLOW_PORT', '5000')}"),
            airflow_url=env.get("NIGHTSHIFT_AIRFLOW", f"http://127.0.0.1:{env.get('NIGHTSHIFT_AIRFLOW_PORT', '8080')}"),
            compute=cast(
                Literal["local", "kubernetes"], _matching(env, "NIGHTSHIFT_COMPUTE", "local", "local|kubernetes")
            ),
            namespace=_matching(env, "NIGHTSHIFT_NAMESPACE", "nightshift", r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"),
            scoring_image=env.get("NIGHTSHIFT_SCORING_IMAGE", f"nightshift-scoring:{__version__}"),
            pod_template=_template(env, "NIGHTSHIFT_POD_TEMPLATE", home, "scoring-pod.yaml"),
            spark_master=env.get("NIGHTSHIFT_SPARK_MASTER", "local[*]"),
            spark_image=env.get("NIGHTSHIFT_SPARK_IMAGE", f"nightshift-spark:{__version__}"),
            spark_driver_template=_template(env, "NIGHTSHIFT_SPARK_DRIVER_TEMPLATE", home, "spark-driver-pod.yaml"),
            spark_executor_template=_template(
                env, "NIGHTSHIFT_SPARK_EXECUTOR_TEMPLATE", home, "spark-executor-pod.yaml"
            ),
            spark_events=_location(env, "NIGHTSHIFT_SPARK_EVENTS", f"{lake}/_spark-events"),
            statsd_host=env.get("NIGHTSHIFT_STATSD_HOST", ""),
            statsd_port=int(_matching(env, "NIGHTSHIFT_STATSD_PORT", "8125", r"\d{1,5}")),
            poke_seconds=int(_matching(env, "NIGHTSHIFT_POKE_SECONDS", "60", r"[1-9]\d{0,4}")),
            parallelism=int(_matching(env, "NIGHTSHIFT_PARALLELISM", "4", r"[1-9]\d{0,3}")),
            database_file=Path(env.get("NIGHTSHIFT_DATABASE_FILE", var / "secrets" / "database")),
            mlflow_login_file=Path(env.get("NIGHTSHIFT_MLFLOW_LOGIN_FILE", var / "secrets" / "mlflow")),
            database_url=env.get("NIGHTSHIFT_DATABASE", ""),
            airflow_page=env.get("NIGHTSHIFT_AIRFLOW_PAGE", "").rstrip("/"),
            mlflow_page=env.get("NIGHTSHIFT_MLFLOW_PAGE", "").rstrip("/"),
            postgres=_matching(env, "NIGHTSHIFT_POSTGRES", "", r"([A-Za-z0-9.-]+:\d{1,5})?"),
            removal_key=_file(env, "NIGHTSHIFT_REMOVAL_KEY_FILE"),
            notify_file=_file(env, "NIGHTSHIFT_NOTIFY_FILE"),
            alertmanager=env.get("NIGHTSHIFT_ALERTMANAGER", "").rstrip("/"),
            people_file=_file(env, "NIGHTSHIFT_PEOPLE_FILE"),
            airflow_user=env.get("NIGHTSHIFT_AIRFLOW_USER", ""),
            airflow_password_file=_file(env, "NIGHTSHIFT_AIRFLOW_PASSWORD_FILE"),
            log_days=int(_matching(env, "NIGHTSHIFT_LOG_DAYS", "400", r"[1-9]\d{0,4}")),
        )

    @property
    def database(self) -> str:
        """The libpq URL of the ledger's writer role. Raises NightshiftError where there is none."""
        if self.database_url:
            return self.database_url
        why = "it is empty"  # libpq would take whatever server its defaults name
        try:
            if url := self.database_file.read_text().strip():
                return url
        except OSError as error:
            why = str(error.strerror)
        raise NightshiftError(
            f"the Nightshift database is unknown: {self.database_file} cannot be read ({why})",
            do="start the platform with `nightshift up`, or set NIGHTSHIFT_DATABASE_FILE",
        )

    @property
    def people_login(self) -> Path:
        """The file with the libpq URL of the role of people."""
        return self.people_file or self.var / "secrets" / "people"

    @property
    def people(self) -> str:
        """The libpq URL of the role that appends what people decide. Raises PlatformError where it is not had."""
        why = "it is empty"
        try:
            if url := self.people_login.read_text().strip():
                return url
        except OSError as error:
            why = str(error.strerror)
        raise PlatformError(
            f"what people decide cannot be recorded from here: {self.people_login} cannot be read ({why})",
            where="ledger",
            do="order it where Airflow's API server answers, which has that login (record a restore in its "
            "container or pod); locally `nightshift up` makes it",
        )

    @property
    def removal_key_file(self) -> Path:
        """The file with the key for the fingerprints of removed rows."""
        return self.removal_key or self.var / "secrets" / REMOVAL_KEY

    @property
    def channels(self) -> Path:
        """The file with the channels by which people are told, and with their addresses."""
        return self.notify_file or self.var / "secrets" / "notify.yaml"

    @property
    def airflow_address(self) -> str:
        """Where people find Airflow."""
        return self.airflow_page or self.airflow_url

    @property
    def mlflow_address(self) -> str:
        """Where people find MLflow."""
        return self.mlflow_page or self.mlflow_uri

    @property
    def pipelines(self) -> Path:
        """The folder of the specs."""
        return self.home / "include" / "pipelines"

    @property
    def feature_modules(self) -> Path:
        """The folder of the feature modules."""
        return self.home / "spark_jobs" / "features"

    @property
    def tables(self) -> str:
        """The root of all tables; an environment other than ``local`` has a root of its own."""
        return self.lake if self.env == "local" else f"{self.lake}/env={self.env}"


def _matching(env: Mapping[str, str], name: str, default: str, pattern: str) -> str:
    value = env.get(name) or default
    if not re.fullmatch(pattern, value):
        allowed = f"what matches {pattern}"
        raise NightshiftError(f"{name}={value!r} is not allowed", allowed=allowed, do=f"correct {name}")
    return value


def _file(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]) if env.get(name) else None


def _template(env: Mapping[str, str], name: str, home: Path, file: str) -> Path:
    return Path(env.get(name, home / "include" / "k8s" / file)).resolve()


def _location(env: Mapping[str, str], name: str, default: Path | str) -> str:
    value = env.get(name) or str(default)
    return value.rstrip("/") if "://" in value else str(Path(value).resolve())
