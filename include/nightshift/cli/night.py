"""``up``, ``down``, ``status``, ``env``, ``demo``: the local platform."""

import typer

from nightshift.cli.output import Json, emit, progress, table


def up(as_json: Json = False) -> None:
    """Start the local platform (or find it running), and say where it is.

    Example: nightshift up
    """
    from nightshift.platform import local
    from nightshift.settings import Settings

    progress()
    settings = Settings.from_env()
    local.up(settings)
    _status(as_json)


def down(as_json: Json = False) -> None:
    """Stop the local platform; no process stays.

    Example: nightshift down
    """
    from nightshift.platform import local
    from nightshift.settings import Settings

    progress()
    local.down(Settings.from_env())
    emit(as_json, {"running": False}, "the platform is down")


def status(as_json: Json = False) -> None:
    """The components of the local platform and how they are.

    Example: nightshift status --json
    """
    _status(as_json)


def _status(as_json: bool) -> None:
    from nightshift.platform import local
    from nightshift.settings import Settings

    found = local.status(Settings.from_env())
    rows = [(item.name, item.state, item.pid, item.detail) for item in found.components]
    emit(as_json, found.document(), table(("component", "state", "pid", ""), rows))
    if not found.healthy:
        raise typer.Exit(1)


def env() -> None:
    """Shell exports after which plain `airflow ...` talks to this platform.

    Example: eval "$(nightshift env)"
    """
    from nightshift.platform.environment import shell_exports
    from nightshift.settings import Settings

    print(shell_exports(Settings.from_env()), end="")


def demo() -> None:
    """Land, retrain, backfill and score the demo's data through the running platform.

    Example: nightshift demo
    """
    from nightshift.platform.demo import run
    from nightshift.settings import Settings

    progress()
    run(Settings.from_env())
