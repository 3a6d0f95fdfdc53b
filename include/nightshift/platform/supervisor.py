"""The supervisor that keeps the programs running: its configuration, its start, its answers over a Unix socket."""

import hashlib
import http.client
import json
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nightshift import storage
from nightshift.errors import PlatformError
from nightshift.platform.layout import Layout
from nightshift.platform.programs import Program

# Every process of a platform has it in its environment, with the platform's ``var``.
MARKER = "NIGHTSHIFT_PLATFORM"
GIVEN_UP = "FATAL"
_FACTORY = "supervisor.rpcinterface_factory"
NOT_RUNNING = ("STOPPED", "EXITED", GIVEN_UP, "UNKNOWN")


@dataclass(frozen=True)
class Running:
    """What the supervisor says of a program: its state (supervisor's word), process id (0: none), start (epoch s)."""

    name: str
    state: str
    pid: int
    started: int
    said: str


def configuration(layout: Layout, programs: Sequence[Program], environment: Mapping[str, str]) -> str:
    """The supervisor's configuration, the same for the same settings, so that a change of them is seen.

    ``environment`` is not in it, only its hash: the programs inherit it. Raises PlatformError for what cannot be
    written in such a file.
    """
    supervisord = {
        "logfile": layout.log("supervisor"),
        "logfile_maxbytes": "5MB",
        "logfile_backups": 2,
        "pidfile": layout.supervisor_pid,
        "umask": "077",
        "directory": layout.var,
        "identifier": "nightshift",
    }
    if layout.cluster.account:
        supervisord["user"] = "root"
    digest = hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()
    sections = [
        f"; of an environment with the hash {digest}\n",
        _section("unix_http_server", {"file": layout.supervisor_socket, "chmod": "0700"}),
        _section("rpcinterface:supervisor", {_FACTORY: "supervisor.rpcinterface:make_main_rpcinterface"}),
        _section("supervisord", supervisord),
    ]
    sections += [_section(f"program:{program.name}", _program(layout, program)) for program in programs]
    return "\n".join(sections)


def start(layout: Layout, config: str, environ: Mapping[str, str]) -> None:
    """Starts the supervisor in the background, its programs not yet. Raises PlatformError."""
    storage.write_bytes(str(layout.supervisor_config), config.encode())
    layout.supervisor_socket.unlink(missing_ok=True)
    argv = [sys.executable, "-m", "supervisor.supervisord", "-c", str(layout.supervisor_config)]
    marked = {**environ, MARKER: str(layout.var)}
    made = subprocess.run(argv, env=marked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    deadline = time.monotonic() + 20
    while made.returncode == 0 and time.monotonic() < deadline:
        if answers(layout):
            return
        time.sleep(0.05)
    said = (made.stderr or made.stdout).strip().splitlines()[-1:]
    raise PlatformError(
        f"the supervisor did not start: {' '.join(said) or 'its socket does not answer'}",
        where="supervisor",
        do=f"see {layout.log('supervisor')}",
    )


def answers(layout: Layout) -> bool:
    """Return whether the supervisor is there."""
    try:
        _rpc(layout).getState()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return False
    return True


def running(layout: Layout) -> dict[str, Running]:
    """The state of each program by the supervisor; nothing when it does not answer."""
    try:
        found = _rpc(layout).getAllProcessInfo()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return {}
    return {
        one["name"]: Running(
            one["name"], one["statename"], one["pid"], one["start"], one["spawnerr"] or one["description"]
        )
        for one in found
    }


def start_program(layout: Layout, name: str) -> None:
    """Asks for a program's start, unless it runs; does not wait."""
    _ask(layout, "startProcess", name)


def stop_program(layout: Layout, name: str) -> None:
    """Asks for a program's end, if it runs; does not wait."""
    _ask(layout, "stopProcess", name)


def shut_down(layout: Layout) -> None:
    """Asks the supervisor to stop everything and itself; does not wait."""
    try:
        _rpc(layout).shutdown()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return


def _ask(layout: Layout, method: str, name: str) -> None:
    from supervisor.xmlrpc import Faults

    try:
        getattr(_rpc(layout), method)(name, False)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode not in (Faults.ALREADY_STARTED, Faults.NOT_RUNNING):
            raise PlatformError(f"{method} was refused: {fault.faultString}", where=name) from None
    except (OSError, http.client.HTTPException) as error:
        raise PlatformError(f"the supervisor does not answer ({error})", where="supervisor") from None


def _rpc(layout: Layout) -> Any:
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, serverurl=f"unix://{layout.supervisor_socket}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def _program(layout: Layout, program: Program) -> dict[str, Any]:
    keys = {
        "command": " ".join(_quoted(argument) for argument in program.argv),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": program.start_seconds,
        "startretries": 5,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_seconds,
        "stopasgroup": "false" if program.name == "postgres" else "true",
        "killasgroup": "true",
        "stdout_logfile": layout.log(program.name),
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": 2,
        "redirect_stderr": "true",
        "environment": _pairs(program.environment),
    }
    return {**keys, "user": program.user} if program.user else keys


def _section(name: str, keys: Mapping[str, Any]) -> str:
    lines = [f"{key}={str(value).replace('%', '%%')}" for key, value in keys.items() if value != ""]
    return "\n".join([f"[{name}]", *lines, ""])


def _pairs(environment: Mapping[str, str]) -> str:
    return ",".join(f"{name}={_quoted(value)}" for name, value in sorted(environment.items()))


def _quoted(value: str) -> str:
    """A value in a file that knows no escapes, and takes what follows `` ;`` or `` #`` for a comment."""
    if any(found in value for found in ('"', "\\", "\n", " ;", " #")):
        raise PlatformError(
            f"{value!r} cannot be written in the supervisor's configuration",
            where="supervisor",
            allowed="no double quote, backslash, line break, or space before ; or #",
            do="move the project, or NIGHTSHIFT_VAR, to a plainer path",
        )
    return f'"{value}"'
