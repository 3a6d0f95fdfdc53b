"""``up``, ``down``, ``status``, ``env``, ``demo``: the local platform."""

import logging
from dataclasses import asdict
from datetime import date
from typing import Annotated

import typer

from nightshift.cli.output import Json, day, emit, progress, table

log = logging.getLogger("nightshift")

_ONE_ACCOUNT = (
    "one account owns ledger, lake and MLflow here, and reads every secret, the login for orders of people too: it can "
    "rewrite all of them unseen; a change of one alone is found by `nightshift ledger verify`"
)


def up(as_json: Json = False) -> None:
    """Start the local platform, unless it is up; say where.

    Example: nightshift up
    """
    from nightshift.platform import local
    from nightshift.settings import Settings

    progress()
    local.up(Settings.from_env(), log.info)
    _status(as_json)


def down(as_json: Json = False) -> None:
    """Stop the local platform; no process stays.

    Who stopped it, and when, is kept below `var/_upkeep`; `nightshift status` shows the last.

    Example: nightshift down
    """
    from nightshift.platform import local
    from nightshift.settings import Settings

    progress()
    local.down(Settings.from_env(), log.info)
    emit(as_json, {"up": False}, "the platform is down")


def status(as_json: Json = False) -> None:
    """The local platform's components and how they are, and what is not well of the pipelines.

    That is what another program changed in their tables, specs that are not valid, newest days that scored less than
    landed for them, promotions that are frozen or wait for a person, and what the watcher could not see or say.

    Tries what no promise holds without: a session of the database for each lock, and a store that keeps what it
    confirmed. Exit code 1 where a component is not healthy, or one of the two is not so. A store that no publication
    has tried, and to which these rights cannot write, is named and no failure.

    Example: nightshift status --json
    """
    _status(as_json)


def _status(as_json: bool) -> None:
    from nightshift.cli.ground import ground_lines
    from nightshift.cli.repair import damage_lines
    from nightshift.cli.standing import standing_lines
    from nightshift.platform import local
    from nightshift.platform.health import HEALTHY, look_problems
    from nightshift.platform.layout import Layout
    from nightshift.platform.logins import ADMIN, airflow_passwords, mlflow_admin
    from nightshift.settings import Settings
    from nightshift.upkeep_record import last_stop

    settings = Settings.from_env()
    found = local.status(settings)
    healthy = all(item.health == HEALTHY for item in found)
    layout = Layout(settings.var)
    passwords = {"airflow": airflow_passwords(layout), "mlflow": mlflow_admin(layout)}
    urls = {"airflow": settings.airflow_url, "mlflow": settings.mlflow_uri}
    rows = [(item.name, item.state, item.health, str(item.pid or ""), str(item.port or "")) for item in found]
    lines = [table(("component", "state", "health", "pid", "port"), rows)]
    lines += [f"{name}: {url}, user {ADMIN}, password in {passwords[name]}" for name, url in urls.items()]
    untried: list[str] = []
    unsound = list(ground_lines(settings, healthy, untried.append))
    damaged, standing = list(damage_lines(settings)), list(standing_lines(settings))
    watches = any(item.name == "watcher" and item.pid for item in found)
    unsaid = [f"watcher: {problem}" for problem in look_problems(settings)] if watches else []
    stopped = last_stop(settings)
    lines += [*unsound, *untried, *damaged, *standing, *unsaid, *filter(None, [stopped]), _ONE_ACCOUNT]
    document = {
        "healthy": healthy,
        "unsound": unsound,
        "untried": untried,
        "damaged": damaged,
        "standing": standing,
        "unsaid": unsaid,
        "stopped": stopped,
        "trust": _ONE_ACCOUNT,
        "components": [asdict(item) for item in found],
        "urls": urls,
        "user": ADMIN,
        "password_files": passwords,
    }
    emit(as_json, document, "\n".join(lines))
    if unsound or not healthy:
        raise typer.Exit(1)


def prepare() -> None:
    """Prepare what the parts of a platform in containers share: secrets, databases, pools.

    Does only what is not done yet. The variables that it needs are those of docker-compose.yaml.

    Example: nightshift prepare
    """
    import os

    from nightshift.platform import containers
    from nightshift.settings import Settings

    progress()
    containers.prepare(Settings.from_env(), os.environ, log.info)


def serve(
    name: Annotated[str, typer.Argument(metavar="NAME", help="mlflow, airflow-scheduler, …")],
) -> None:
    """Run one part of a platform in containers, in the foreground.

    Example: nightshift serve airflow-scheduler
    """
    from nightshift.platform import containers
    from nightshift.settings import Settings

    containers.serve(Settings.from_env(), name)


def env() -> None:
    """Shell exports for a plain `airflow` command.

    Example: eval "$(nightshift env)"
    """
    from nightshift.platform.environment import shell_exports
    from nightshift.settings import Settings

    print(shell_exports(Settings.from_env()), end="")


def demo(
    pipeline: Annotated[str | None, typer.Argument(metavar="PIPELINE", help="Default: the one with demo data.")] = None,
    retrain: Annotated[
        list[date] | None, typer.Option(parser=day, metavar="DAY", help="As-of date; give it more than once.")
    ] = None,
    last: Annotated[
        date | None, typer.Option("--to", parser=day, metavar="DAY", help="Last business date to backfill.")
    ] = None,
) -> None:
    """Land, retrain and backfill through the platform.

    Each --retrain is followed by a backfill of the days up to the next one; the last by one up to --to.

    Example: nightshift demo flights --retrain 2013-03-03 --retrain 2013-03-15 --to 2013-03-17
    """
    from nightshift.demo import TOUR
    from nightshift.platform.demo import run
    from nightshift.platform.nights import table
    from nightshift.settings import Settings
    from nightshift.specs.load import load_pipeline

    progress()
    settings = Settings.from_env()
    spec = load_pipeline(settings, pipeline or TOUR.pipeline)
    retrains, until = sorted(retrain or TOUR.retrains), last or TOUR.last
    if until <= retrains[-1]:
        raise typer.BadParameter(f"--to {until} is not after the last --retrain {retrains[-1]}")
    nights = run(settings, spec.name, retrains, until, log.info)
    print(f"\n{table(spec, nights)}\n")
    if settings.postgres:
        print(f"airflow: {settings.airflow_address}, mlflow: {settings.mlflow_address}, user admin")
        return
    print("The platform stays up; `nightshift down` (or `make down`) stops it.")
    _status(as_json=False)
