"""Whether each component answers, and what the platform looks like from outside."""

import json
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nightshift.platform import layout as places
from nightshift.platform.layout import Layout
from nightshift.platform.supervisor import GIVEN_UP, Running
from nightshift.settings import Settings

HEALTHY = "healthy"
# Where the watcher says how its last look went, beside the sockets; one look may wait for services that do not answer.
LOOK = "watcher.json"
_LOOK_SECONDS = 300
# Our program -> its name in the answer of Airflow's health endpoint.
_HEARTBEATS = {
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dag_processor",
    "airflow-triggerer": "triggerer",
}


@dataclass(frozen=True)
class Component:
    """One part of the platform; ``port`` 0 is none.

    ``state`` is stopped, starting, running or failed; without a supervisor orphaned (its own) or unknown (the others).
    ``health`` is ``healthy``, or what is missing; empty while it is stopped.
    """

    name: str
    state: str
    pid: int
    port: int
    health: str
    log: str


def check(settings: Settings, found: Mapping[str, Running]) -> dict[str, str]:
    """The health of each program that runs; ``found`` is what the supervisor says.

    A server is healthy if what answers is the process that the supervisor started, or a child of it.
    """
    alive = {name: running for name, running in found.items() if running.pid}
    health = {}
    if "postgres" in alive:
        health["postgres"] = _postgres(Layout(settings.var))
    if "mlflow" in alive:
        answer = _get(f"http://127.0.0.1:{places.mlflow_port(settings)}/health")
        health["mlflow"] = HEALTHY if answer == "OK" else "does not answer yet"
    if "watcher" in alive:
        health["watcher"] = watched(settings, alive["watcher"].started)
    if any(name.startswith("airflow-") for name in alive):
        answer = _get(f"http://127.0.0.1:{places.airflow_port(settings)}/api/v2/monitor/health")
        health |= _airflow(answer, alive)
    others = {name: _other(alive[name], port) for name, port in places.ports(settings).items() if name in alive}
    return health | {name: said for name, said in others.items() if said}


def _other(running: Running, port: int) -> str:
    """The other process that has the port of a program, in words; empty where the program has it, or nobody."""
    # While a program starts nobody answers there, and to look through all processes again and again would slow it down.
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)):
            return ""
    from nightshift.platform import processes

    if processes.tree_listens(running.pid, port):
        return ""
    by = processes.listener(port)
    return f"port {port} is held by {processes.named(by)}, which the supervisor did not start" if by else ""


def served(settings: Settings, name: str) -> str:
    """The health of a program that runs in a container, by what anybody may ask it."""
    if name == "mlflow":
        return HEALTHY if _get(f"{settings.mlflow_uri}/health") == "OK" else "does not answer yet"
    if name == "watcher":
        return watched(settings, 0)
    answer = _get(f"{settings.airflow_url}/api/v2/monitor/health")
    return _airflow(answer, {name: Running(name, "RUNNING", 1, 0, "")})[name]


def watched(settings: Settings, started: int) -> str:
    """The health of the watcher: it looks. What it could not see or say is another thing, see ``look_problems``."""
    looked = _last_look(settings).get("at", 0)
    if looked < started:
        return "no look yet"
    return HEALTHY if time.time() - looked < _LOOK_SECONDS else "no look for minutes"


def look_problems(settings: Settings) -> list[str]:
    """What the watcher could not see or say when it looked last."""
    return list(_last_look(settings).get("problems", ()))


def _last_look(settings: Settings) -> dict[str, Any]:
    try:
        return dict(json.loads((Layout(settings.var).run / LOOK).read_text()))
    except (OSError, ValueError):
        return {}


def state(running: Running | None) -> str:
    """The word of a component for supervisor's."""
    if running is None:
        return "stopped"
    words = {
        "RUNNING": "running",
        "STARTING": "starting",
        "BACKOFF": "starting",
        GIVEN_UP: "failed",
        "EXITED": "failed",
    }
    return words.get(running.state, "stopped")


def _postgres(layout: Layout) -> str:
    import psycopg

    from nightshift.platform.postgres import connect

    try:
        connect(layout.cluster).close()
    except psycopg.Error:
        return "does not answer yet"
    return HEALTHY


def _airflow(answer: str, alive: Mapping[str, Running]) -> dict[str, str]:
    try:
        said: dict[str, Any] = json.loads(answer)
        database = said["metadatabase"]["status"]
    except (ValueError, KeyError, TypeError):
        return {name: "the api-server does not answer yet" for name in alive if name.startswith("airflow-")}
    health = {"airflow-api-server": HEALTHY if database == HEALTHY else "cannot reach its database"}
    for name, key in _HEARTBEATS.items():
        if name in alive:
            health[name] = _heartbeat(said.get(key) or {}, key, alive[name].started)
    return {name: text for name, text in health.items() if name in alive}


def _heartbeat(said: Mapping[str, Any], key: str, started: int) -> str:
    """A heartbeat older than the process is its predecessor's."""
    beat = said.get(f"latest_{key}_heartbeat")
    if not beat or datetime.fromisoformat(beat).timestamp() < started:
        return "no heartbeat yet"
    return HEALTHY if said.get("status") == HEALTHY else f"no heartbeat since {beat}"


def _get(url: str) -> str:
    """The body of an answer, empty when there is none; a proxy is not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError, urllib.error.URLError):
        return ""


def main(name: str) -> int:
    """``python -m nightshift.platform.health NAME``: asked of a container every few seconds, so it imports little."""
    said = served(Settings.from_env(), name)
    print(said)
    return int(said != HEALTHY)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
