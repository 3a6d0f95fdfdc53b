"""``notify``: who is told of what, what they have been told, and a trial of a channel."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nightshift.cli.output import Json, emit, table

if TYPE_CHECKING:
    from nightshift.notices.channels import Channels
    from nightshift.settings import Settings


def notify(
    test: Annotated[str | None, typer.Option("--test", metavar="CHANNEL", help="Send a trial message to it.")] = None,
    as_json: Json = False,
) -> None:
    """Show who is told of what, and which faults are not over; or try a channel.

    Channels and their addresses are in var/secrets/notify.yaml (NIGHTSHIFT_NOTIFY_FILE); no address is shown. Exit code
    1 where nobody is told, or the trial was not accepted.

    Example: nightshift notify

    Example: nightshift notify --test night-shift
    """
    from nightshift.notices.channels import read_channels
    from nightshift.settings import Settings

    settings = Settings.from_env()
    channels = read_channels(settings)
    if channels is None or not channels.channels:
        text = f"nobody is told: {settings.channels} {'is not there' if channels is None else 'has no channel'}"
        emit(as_json, {"channels": {}, "faults": []}, text)
        raise typer.Exit(1)
    if test is None:
        _show(settings, channels, as_json)
    else:
        _try(channels, test, as_json)


def _try(channels: "Channels", name: str, as_json: bool) -> None:
    from nightshift.errors import PlatformError
    from nightshift.notices.channels import send
    from nightshift.notices.message import trial

    for _, words in channels.unknown({name: ("FAILED",)}):
        raise typer.BadParameter(words)
    try:
        send(channels, name, trial(name))
    except PlatformError as error:
        emit(as_json, {"channel": name, "accepted": False}, str(error))
        raise typer.Exit(1) from None
    emit(as_json, {"channel": name, "accepted": True}, f"{name} accepted the trial; look whether it has arrived")


def _show(settings: "Settings", channels: "Channels", as_json: bool) -> None:
    from nightshift.notices.record import Record
    from nightshift.specs.load import load_all

    routes = [("every pipeline", channels.notify)]
    routes += [(f"owner {owner}", each) for owner, each in channels.owners.items()]
    routes += [(spec.name, spec.notify) for spec in load_all(settings)[0]]
    rows = [(name, whose, ", ".join(events)) for whose, each in routes for name, events in each.items()]
    faults: list[dict[str, Any]] = []
    for fault in (fault for fault in Record(settings).faults() if not fault.closed):
        first, *others = fault.troubles()
        faults.append(
            {"since": fault.since, "of": first.member, "more": len(others), "cause": first.cause, "told": fault.told()}
        )
    lines = [table(("channel", "hears of", "events"), rows), *(map(_line, faults) if faults else ["no fault is open"])]
    document = {
        "channels": sorted(channels.channels),
        "routes": [{"channel": name, "of": whose, "events": events} for name, whose, events in rows],
        "heartbeat": channels.heartbeat is not None,
        "faults": faults,
    }
    emit(as_json, document, "\n".join(lines))


def _line(fault: dict[str, Any]) -> str:
    more = f" and {fault['more']} more" if fault["more"] else ""
    told = ", ".join(fault["told"]) or "nobody yet"
    return f"{fault['since']:%Y-%m-%d %H:%M}Z {fault['of'] or 'the platform'}{more}: {fault['cause']} (told: {told})"
