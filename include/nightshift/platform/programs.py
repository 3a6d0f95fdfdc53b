"""The programs of the local platform as plain data."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from nightshift.errors import PlatformError
from nightshift.platform import layout as places
from nightshift.platform import logins
from nightshift.platform.layout import Layout
from nightshift.settings import Settings

NAMES = (
    "postgres",
    "mlflow",
    "airflow-scheduler",
    "airflow-api-server",
    "airflow-dag-processor",
    "airflow-triggerer",
    "watcher",
)
# Not `-m airflow`: Airflow would be imported before there is a __main__, which pyspark takes for a doctest and exits.
AIRFLOW = (sys.executable, str(Path(sys.executable).parent / "airflow"))
PRELOAD = Path(__file__).parent / "preload"


@dataclass(frozen=True)
class Program:
    """One long-running process. ``port`` is where it listens (0: nowhere), ``variable`` what moves that port."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    user: str = ""
    port: int = 0
    variable: str = ""
    stop_signal: str = "TERM"
    stop_seconds: int = 10
    # A program that ends earlier than this has not started; after some tries it is given up.
    start_seconds: int = 10


# It ends at once, whatever it waits for: what it has said is written down.
_WATCHER = Program("watcher", (sys.executable, "-m", "nightshift.platform.watcher"), stop_seconds=5, start_seconds=1)


def programs(settings: Settings) -> tuple[Program, ...]:
    """Every program, in the order in which they are started. Raises PlatformError."""
    layout = Layout(settings.var)
    found = (
        _postgres(layout),
        _mlflow(settings, layout, "127.0.0.1", places.mlflow_port(settings)),
        *_airflow(settings, places.airflow_port(settings)),
        _WATCHER,
    )
    return tuple(_after_its_predecessor(program) if program.port else program for program in found)


def served(settings: Settings, name: str) -> Program:
    """A program that runs in a container, where others must find it. Raises PlatformError for a name that is none.

    The names are those of ``NAMES`` but Postgres'. Of MLflow the secrets are read, which no other container has.
    """
    if name == "mlflow":
        return _served_mlflow(settings)
    programs = {program.name: program for program in (*_airflow(settings, 0), _WATCHER)}
    if name not in programs:
        allowed = ", ".join(("mlflow", *programs))
        raise PlatformError(f"there is no program {name!r}", allowed=allowed, do="name one of them")
    return programs[name]


def _served_mlflow(settings: Settings) -> Program:
    port = urlsplit(settings.mlflow_uri).port or 5000
    mlflow = _mlflow(settings, Layout(settings.var, settings.postgres), "0.0.0.0", port)  # noqa: S104
    # MLflow answers those alone who call it by a name that it knows.
    hosts = [urlsplit(url).netloc for url in (settings.mlflow_uri, settings.mlflow_address)]
    known = {"MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(["localhost:*", "127.0.0.1:*", *hosts])}
    return replace(mlflow, environment={**mlflow.environment, **known})


def _after_its_predecessor(program: Program) -> Program:
    first = (sys.executable, "-m", "nightshift.platform.predecessor", str(program.port))
    return replace(program, argv=(*first, *program.argv))


def _postgres(layout: Layout) -> Program:
    cluster = layout.cluster
    # SIGINT is Postgres' fast mode: it ends the sessions and leaves a clean shutdown behind.
    return Program(
        "postgres",
        tuple(cluster.argv(max_connections="200", log_line_prefix="%t [%p] %u@%d ")),
        user=cluster.account or "",
        stop_signal="INT",
        stop_seconds=20,
        start_seconds=1,
    )


def _mlflow(settings: Settings, layout: Layout, host: str, port: int) -> Program:
    argv = [sys.executable, "-m", "nightshift.platform.mlflow_account", str(layout.secrets / "mlflow")]
    argv += [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth"]
    argv += ["--host", host, "--port", str(port), "--workers", "1"]
    environment = {
        "MLFLOW_BACKEND_STORE_URI": logins.sqlalchemy_url(layout, "mlflow"),
        "MLFLOW_ARTIFACTS_DESTINATION": str(layout.mlflow / "artifacts"),
        "MLFLOW_AUTH_CONFIG_PATH": str(logins.mlflow_config(layout)),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": (layout.secrets / "mlflow-secret-key").read_text(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    variable = "NIGHTSHIFT_MLFLOW_PORT"
    return Program("mlflow", tuple(argv), environment, port=port, variable=variable, start_seconds=3)


def _airflow(settings: Settings, port: int) -> tuple[Program, ...]:
    # Their log servers would listen on every interface; here the api-server reads the files themselves.
    commands = {
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "api-server": ("api-server",),
        "dag-processor": ("dag-processor",),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    }
    # What is forked from them, and finds in them what it would import (see the module in that folder).
    forked = {"scheduler": "tasks", "dag-processor": "dags"}
    preload = {
        name: {"PYTHONPATH": f"{PRELOAD}:{settings.home}", "NIGHTSHIFT_PRELOAD": what} for name, what in forked.items()
    }
    return tuple(
        Program(
            f"airflow-{name}",
            (*AIRFLOW, *command),
            environment=preload.get(name, {}),
            port=port if name == "api-server" else 0,
            variable="NIGHTSHIFT_AIRFLOW_PORT" if name == "api-server" else "",
        )
        for name, command in commands.items()
    )
