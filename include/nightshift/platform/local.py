"""The local platform as one: ``up``, ``down``, ``status``."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from nightshift import upkeep_record
from nightshift.database import refuse_pooler
from nightshift.errors import PlatformError
from nightshift.platform import health, logins, migration, postgres, processes, supervisor
from nightshift.platform.alone import alone
from nightshift.platform.environment import LOGINS, login_names, platform_environment, process_environment
from nightshift.platform.health import HEALTHY, Component
from nightshift.platform.layout import Layout, of_this_machine, ports
from nightshift.platform.programs import NAMES, Program, programs
from nightshift.settings import Settings

Report = Callable[[str], None]
# Longer than the slowest first start seen on two busy cores, migrations apart.
HEALTHY_WITHIN = 300.0
# A program that has to be started so often in one `up` will not stay.
STARTS = 4
SAY_SECONDS = 20.0
LOG_LINES = 15


def up(settings: Settings, report: Report = print) -> None:
    """Starts what does not run and returns when every component is healthy.

    ``report`` gets lines for people. Raises PlatformError, which names the component and shows the end of its log.
    """
    began = time.monotonic()
    layout = of_this_machine(settings)
    layout.make()
    with alone(layout):
        logins.ensure_secrets(layout)
        logins.ensure_passwords(layout, login_names(platform_environment(settings)[LOGINS]))
        wanted = programs(settings)
        _ensure_supervisor(settings, layout, wanted, report)
        _refuse_taken_ports(layout, wanted)
        _start_postgres(settings, layout, report)
        supervisor.start_program(layout, "mlflow")
        migration.ensure_migrated(layout, process_environment(settings), report)
        for program in wanted:
            supervisor.start_program(layout, program.name)
        migration.ensure_pools(layout, process_environment(settings), report)
        _wait_until_healthy(settings, layout, report, began)
    report(f"up after {time.monotonic() - began:.0f} s")


def down(settings: Settings, report: Report = print) -> None:
    """Stops every process of the platform, whoever started it, and keeps who asked for it.

    Raises PlatformError when one survives.
    """
    layout = of_this_machine(settings)
    # Somebody may have deleted the folders of what runs.
    with alone(layout) if layout.run.exists() else nullcontext():
        if _down(layout, report):
            upkeep_record.stopped(settings)


def stop_all_but_postgres(settings: Settings) -> None:
    """Stops what uses the databases, and waits for its end; ``up`` starts it again.

    Raises PlatformError for a program that goes on.
    """
    layout = of_this_machine(settings)
    with alone(layout):
        names = [name for name in supervisor.running(layout) if name != "postgres"]
        _stop(layout, names)
        if left := [name for name in names if _any_runs(layout, [name])]:
            raise PlatformError(
                "it does not end", where=", ".join(left), do="`nightshift down`, `nightshift up`, and try again"
            )


def status(settings: Settings) -> list[Component]:
    """Every component, in the order of their start."""
    layout = of_this_machine(settings)
    found = supervisor.running(layout)
    answers = health.check(settings, found)
    components = [_supervisor_component(layout, bool(found))]
    orphaned = components[0].state == "orphaned"
    for name, port in _names_and_ports(settings):
        one = found.get(name)
        said, pid = answers.get(name, ""), one.pid if one else 0
        state = "unknown" if orphaned else health.state(one)
        components.append(Component(name, state, pid, port, said, str(layout.log(name))))
    return components


def last_lines(path: Path, count: int = LOG_LINES) -> str:
    """The end of a log, indented, for a message."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - 16_384, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line[:300]}" for line in lines[-count:]) or "  (empty)"


def _down(layout: Layout, report: Report) -> bool:
    was_up = supervisor.answers(layout)
    if was_up:
        _stop_programs(layout)
    left = processes.of_platform(layout)
    if left and not was_up:
        report(f"the supervisor is gone; ending {len(left)} processes that it left")
    survivors = processes.end(layout, left)
    if survivors:
        names = ", ".join(f"{process.pid}" for process in survivors)
        raise PlatformError(f"processes {names} cannot be ended", where="platform", do="end them as their owner")
    for socket in (layout.supervisor_socket, layout.supervisor_pid):
        socket.unlink(missing_ok=True)
    report("down" if was_up or left else "nothing was running")
    return bool(was_up or left)


def _ensure_supervisor(settings: Settings, layout: Layout, wanted: Sequence[Program], report: Report) -> None:
    config = supervisor.configuration(layout, wanted, platform_environment(settings))
    if supervisor.answers(layout):
        with suppress(OSError):
            if layout.supervisor_config.read_text() == config:
                return
        report("settings have changed: stopping what runs with the old ones")
        _down(layout, lambda line: None)
    elif processes.of_platform(layout):
        _down(layout, report)
    _refuse_taken_ports(layout, wanted)
    supervisor.start(layout, config, process_environment(settings))


def _refuse_taken_ports(layout: Layout, wanted: Sequence[Program]) -> None:
    found = supervisor.running(layout)
    for program in wanted:
        if not program.port or (program.name in found and found[program.name].pid):
            continue
        by = processes.holder(program.port)
        if by is not None:
            raise PlatformError(
                f"port {program.port} is taken" + (f" by {by}" if by else ""),
                where=program.name,
                do=f"stop it, or set {program.variable} to a free port",
            )


def _start_postgres(settings: Settings, layout: Layout, report: Report) -> None:
    if postgres.initialise(layout.cluster):
        report("postgres: new data folder")
    supervisor.start_program(layout, "postgres")
    try:
        postgres.wait_until_ready(layout.cluster)
    except PlatformError as error:
        raise _failed(layout, "postgres", error.what) from None
    postgres.ensure_roles(layout.cluster, logins.postgres_roles(layout))
    postgres.make_ledger(layout.cluster, logins.OWNER, logins.WRITER, logins.PEOPLE)
    refuse_pooler(settings.database)
    report("postgres: ready")


def _wait_until_healthy(settings: Settings, layout: Layout, report: Report, began: float) -> None:
    reported: set[str] = {"postgres"}
    seen: dict[str, set[int]] = {}
    deadline, said_at = time.monotonic() + HEALTHY_WITHIN, time.monotonic()
    while True:
        found = supervisor.running(layout)
        answers = health.check(settings, found)
        for name, one in found.items():
            starts = seen.setdefault(name, set())
            starts |= {one.pid} - {0}
            if one.state == supervisor.GIVEN_UP or len(starts) >= STARTS:
                raise _failed(layout, name, "does not stay up")
            if answers.get(name) == HEALTHY and name not in reported:
                reported.add(name)
                report(f"{name}: healthy after {time.monotonic() - began:.0f} s")
        missing = {name: answers.get(name, "not running") for name in found if answers.get(name) != HEALTHY}
        if found and not missing:
            return
        if time.monotonic() > said_at + SAY_SECONDS:
            said_at = time.monotonic()
            report(f"waiting for {', '.join(missing)}")
        if time.monotonic() > deadline or not found:
            name, said = next(iter(missing.items()), ("supervisor", "does not answer"))
            raise _failed(layout, name, f"{said} after {time.monotonic() - began:.0f} s")
        time.sleep(0.3)


def _failed(layout: Layout, name: str, what: str) -> PlatformError:
    log = layout.log(name)
    return PlatformError(f"{what}; the end of {log}:\n{last_lines(log)}\n", where=name)


def _stop_programs(layout: Layout) -> None:
    """Postgres is stopped last, so that the others can write down that they ended."""
    names = list(supervisor.running(layout))
    for group in ([name for name in names if name != "postgres"], ["postgres"]):
        _stop(layout, group)
    supervisor.shut_down(layout)
    _wait(lambda: not supervisor.answers(layout) and not layout.supervisor_pid.exists(), 15)


def _stop(layout: Layout, names: Sequence[str]) -> None:
    for name in names:
        with suppress(PlatformError):
            supervisor.stop_program(layout, name)
    _wait(lambda: not _any_runs(layout, names), 30)


def _any_runs(layout: Layout, names: Sequence[str]) -> bool:
    found = supervisor.running(layout)
    return any(found[name].state not in supervisor.NOT_RUNNING for name in names if name in found)


def _wait(until: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not until() and time.monotonic() < deadline:
        time.sleep(0.1)


def _names_and_ports(settings: Settings) -> list[tuple[str, int]]:
    """Without the programs' secrets, which are not there before the first start."""
    known = ports(settings)
    return [(name, known.get(name, 0)) for name in NAMES]


def _supervisor_component(layout: Layout, answers: bool) -> Component:
    log = str(layout.log("supervisor"))
    with suppress(OSError, ValueError):
        if answers:
            return Component("supervisor", "running", int(layout.supervisor_pid.read_text()), 0, HEALTHY, log)
    left = len(processes.of_platform(layout))
    said = f"{left} processes run without it: `nightshift down` ends them" if left else ""
    return Component("supervisor", "orphaned" if left else "stopped", 0, 0, said, log)
