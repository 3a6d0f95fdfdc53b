"""Every setting of Airflow, MLflow and Nightshift as environment variables.

The local platform's processes get them, ``nightshift env`` prints them for an operator's shell, and a deployment
elsewhere sets the same names. None of them is a secret: they name the files that hold secrets.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from nightshift.actor import person
from nightshift.platform import logins
from nightshift.platform.airflow_client import passwords
from nightshift.platform.layout import Layout
from nightshift.settings import Settings

# Who may sign in to Airflow, `name:role` by commas. A variable of this name outside adds people.
LOGINS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"
# Tells a connection that was made from settings from one that an operator set, in a shell that has both.
_MADE = "made by Nightshift from its settings"
# How often Airflow looks, and how soon it tries again: measured on two cores (docs/adr/0001-supervisor.md). A variable
# of this name outside wins.
_PACE = {
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "20",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "60",
    # A task whose process and its watcher were both killed is tried again after this; heartbeats come every second.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
    # A changed spec does not change the DAG file: it is seen when the file's turn comes again.
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "15",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
}


def airflow_environment(settings: Settings) -> dict[str, str]:
    """The variables that Airflow, its tasks and the ``nightshift`` command need, wherever they run."""
    layout = Layout(settings.var, settings.postgres)
    return {
        **_nightshift(settings),
        **_tools(settings),
        **_airflow_core(settings, layout),
        **_airflow_limits(settings),
        **_airflow_secrets(layout),
        **_metrics(settings),
        **_connections(settings),
    }


def platform_environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """``airflow_environment``, the pace and who may sign in, of which a variable outside may change any."""
    outer = os.environ if environ is None else environ
    pace = {name: outer.get(name) or value for name, value in _PACE.items()}
    made = airflow_environment(settings)
    return {**made, **pace, LOGINS: outer.get(LOGINS) or made[LOGINS]}


def login_names(users: str) -> list[str]:
    """The names of logins that are written as in ``LOGINS``."""
    return [user.partition(":")[0].strip() for user in users.split(",") if user.strip()]


def process_environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """``platform_environment`` over the variables of this process; connections that the operator set stay."""
    outer = dict(os.environ if environ is None else environ)
    outer.pop("PYTHONHOME", None)
    path = os.pathsep.join([str(_bin()), outer.get("PATH", os.defpath)])
    return {**outer, **platform_environment(settings, outer), **_operators(outer), "PATH": path}


def shell_exports(settings: Settings, environ: Mapping[str, str] | None = None) -> str:
    """Lines for ``eval "$(nightshift env)"``, after which plain ``airflow …`` talks to this platform.

    Connections that the operator set stay. Neither the pace nor who may sign in is in them: a shell must not bring back
    those of its platform's last version.
    """
    variables = airflow_environment(settings) | _operators(os.environ if environ is None else environ)
    del variables[LOGINS]
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    return "\n".join([*lines, f'export PATH={shlex.quote(str(_bin()))}:"$PATH"', ""])


def _operators(environ: Mapping[str, str]) -> dict[str, str]:
    """The connections that an operator set."""
    return {name: value for name, value in environ.items() if name.startswith("AIRFLOW_CONN_") and _MADE not in value}


def _bin() -> Path:
    return Path(sys.executable).parent


def _nightshift(settings: Settings) -> dict[str, str]:
    names = {
        "HOME": settings.home,
        "VAR": settings.var,
        "ENV": settings.env,
        "LANDING": settings.landing,
        "LAKE": settings.lake,
        "HEADS": settings.heads,
        "MODELS": settings.models,
        "REPORTS": settings.reports,
        "MLFLOW": settings.mlflow_uri,
        "AIRFLOW": settings.airflow_url,
        "MLFLOW_PAGE": settings.mlflow_page,
        "AIRFLOW_PAGE": settings.airflow_page,
        "POSTGRES": settings.postgres,
        "COMPUTE": settings.compute,
        "NAMESPACE": settings.namespace,
        "SCORING_IMAGE": settings.scoring_image,
        "POD_TEMPLATE": settings.pod_template,
        "SPARK_MASTER": settings.spark_master,
        "SPARK_IMAGE": settings.spark_image,
        "SPARK_DRIVER_TEMPLATE": settings.spark_driver_template,
        "SPARK_EXECUTOR_TEMPLATE": settings.spark_executor_template,
        "SPARK_EVENTS": settings.spark_events,
        "PARALLELISM": settings.parallelism,
        "STATSD_HOST": settings.statsd_host,
        "STATSD_PORT": settings.statsd_port,
        "DATABASE_FILE": settings.database_file,
        "MLFLOW_LOGIN_FILE": settings.mlflow_login_file,
        "REMOVAL_KEY_FILE": settings.removal_key or "",
        "NOTIFY_FILE": settings.notify_file or "",
        "ALERTMANAGER": settings.alertmanager,
        "LOG_DAYS": settings.log_days,
    }
    return {f"NIGHTSHIFT_{name}": str(value) for name, value in names.items()}


def _tools(settings: Settings) -> dict[str, str]:
    return {
        "PYTHONPATH": str(settings.home),
        # A warning of graphviz on stdout would corrupt `airflow … -o json`.
        "PYTHONWARNINGS": "ignore",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_TRACKING_URI": settings.mlflow_uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        # Process titles would overwrite the environment by which `nightshift down` knows its processes.
        "SPT_NOENV": "1",
    }


def _airflow_core(settings: Settings, layout: Layout) -> dict[str, str]:
    database = logins.sqlalchemy_url(layout, "airflow")
    return {
        "AIRFLOW_HOME": str(layout.airflow),
        "AIRFLOW__CORE__DAGS_FOLDER": str(settings.home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(settings.home / "plugins"),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        LOGINS: f"{logins.ADMIN}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(logins.airflow_passwords(layout)),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{settings.airflow_url}/execution/",
        # A look-up of the machine's name can hang without a network.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        # psycopg serves both only when both are set.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": database,
        # In a container of its own it is found from others.
        "AIRFLOW__API__HOST": "0.0.0.0" if settings.postgres else "127.0.0.1",  # noqa: S104
        "AIRFLOW__API__PORT": str(urlsplit(settings.airflow_url).port or 8080),
        "AIRFLOW__API__BASE_URL": settings.airflow_address,
        "AIRFLOW__API__INSTANCE_NAME": "Nightshift",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(layout.airflow / "logs"),
        "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(layout.airflow / "logs" / "dag_processor"),
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        # Either says a hundred times what it did not do.
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "great_expectations=WARNING matplotlib=WARNING",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    }


def _airflow_limits(settings: Settings) -> dict[str, str]:
    """How much Airflow does at once, and how long it may take."""
    return {
        "AIRFLOW__CORE__PARALLELISM": str(settings.parallelism),
        # All shards of a day are tasks of one DAG, for which Airflow's own limit is 16.
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(max(settings.parallelism, 16)),
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "60",
        "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "120",
    }


def _airflow_secrets(layout: Layout) -> dict[str, str]:
    files = {
        "AIRFLOW__API_AUTH__JWT_SECRET_CMD": "airflow-jwt-secret",
        "AIRFLOW__API__SECRET_KEY_CMD": "airflow-api-secret-key",
        "AIRFLOW__CORE__FERNET_KEY_CMD": "airflow-fernet-key",
    }
    return {name: f"cat {shlex.quote(str(layout.secrets / file))}" for name, file in files.items()}


def _metrics(settings: Settings) -> dict[str, str]:
    if not settings.statsd_host:
        return {}
    return {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": settings.statsd_host,
        "AIRFLOW__METRICS__STATSD_PORT": str(settings.statsd_port),
        # Without one of the tag dialects StatsD drops the tags.
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
    }


def _connections(settings: Settings) -> dict[str, str]:
    spark = {"conn_type": "spark", "host": settings.spark_master, "extra": {"spark-binary": "spark-submit"}}
    return {
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps(spark | {"description": _MADE}),
        "AIRFLOW_CONN_KUBERNETES_DEFAULT": json.dumps({"conn_type": "kubernetes", "description": _MADE}),
    }


def known_logins(settings: Settings, environ: Mapping[str, str] | None = None) -> frozenset[str] | None:
    """The people with a login of Airflow by what this machine knows: a variable, else the file of its platform.

    Logins of one person count once. None for unknown: where another auth manager is configured, that one alone knows.
    """
    outer = os.environ if environ is None else environ
    if not outer.get("AIRFLOW__CORE__AUTH_MANAGER", "SimpleAuthManager").endswith("SimpleAuthManager"):
        return None
    if users := outer.get(LOGINS):
        return frozenset(map(person, login_names(users)))
    return frozenset(map(person, passwords(settings))) or None
