"""The platform's channels: a file of secrets that gives names to addresses, and how one is told something.

No address is ever in a message, a log or an error: most hold a password or a token.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError

from nightshift.errors import NightshiftError, PlatformError
from nightshift.notices.message import Message
from nightshift.settings import Settings
from nightshift.specs.contract import Model
from nightshift.specs.document import read_document
from nightshift.specs.model import Pipeline
from nightshift.specs.notify import ChannelName, Event, Routes
from nightshift.specs.spelling import nearest

_ALLOWED = (
    "channels (names with addresses), notify (channels with lists of events), owners (owners with the same), heartbeat "
    "(an address)"
)


class Channels(Model):
    """Who is told, as the platform's file of secrets says; the default is nobody.

    ``notify`` is for events of every pipeline, ``owners`` for those of an owner's pipelines. ``heartbeat`` is an
    address that is asked after each look that saw everything.
    """

    channels: dict[ChannelName, SecretStr] = Field(default={}, repr=False)
    notify: Routes = Field(default={})
    owners: dict[str, Routes] = Field(default={})
    heartbeat: SecretStr | None = Field(default=None, repr=False)

    def unknown(self, routes: Routes) -> Iterator[tuple[str, str]]:
        """Each channel of some routes that has no address, and what is wrong with it."""
        for name in routes:
            if name not in self.channels:
                known = ", ".join(sorted(self.channels)) or "none is declared"
                yield name, f"there is no channel {name}{nearest(name, self.channels)}; allowed: {known}"

    def hear(self, events: tuple[Event, ...], pipeline: Pipeline | None) -> tuple[str, ...]:
        """The channels, by name, that hear of one of these events of a pipeline, or of the platform itself."""
        routes = [self.notify]
        routes += [self.owners.get(pipeline.owner, {}), pipeline.notify] if pipeline else []
        heard = {name for each in routes for name, wanted in each.items() if {*wanted} & {*events}}
        return tuple(sorted(heard & {*self.channels}))


def read_channels(settings: Settings) -> Channels | None:
    """The channels; None where there is no file, or an empty one. Raises NightshiftError without its content."""
    path = settings.channels
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise NightshiftError(f"the channels cannot be read ({why})", where=str(path), do="correct the file") from None
    if not text.strip():
        return None
    document, problems = read_document(str(path), text)
    if document is None:
        raise _wrong(path, problems[0].line)
    try:
        found = Channels.model_validate_json(json.dumps(document.data))
    except ValidationError as error:
        raise _wrong(path, document.place(error.errors(include_input=False)[0]["loc"]).line) from None
    for part, routes in (("notify", found.notify), *(("owners", each) for each in found.owners.values())):
        for _, words in found.unknown(routes):
            raise NightshiftError(f"{part}: {words}", where=str(path), do="add it to channels, or correct its name")
    return found


def send(channels: Channels, name: str, told: Message) -> None:
    """Sends a message to a channel. Raises PlatformError where it was not accepted, which has no address."""
    import apprise

    # Their warnings have addresses.
    for logger in ("apprise", "urllib3"):
        logging.getLogger(logger).setLevel(logging.CRITICAL + 1)
    where = f"channel {name}"
    service = apprise.Apprise()
    if name not in channels.channels or not service.add(channels.channels[name].get_secret_value()):
        do = "correct it: https://appriseit.com/services has the forms"
        raise PlatformError("it has no address that apprise reads", where=where, do=do)
    plugins: list[Any] = list(service)
    for plugin in plugins:
        if getattr(plugin, "dedup", "") is None:  # it opens incidents: what ends a fault is to find its own
            plugin.dedup = told.fault or None
    kind = apprise.NotifyType(told.weight)
    sent = False
    with suppress(Exception):  # their words may hold the address
        sent = bool(
            service.notify(told.body, title=told.title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
        )
    if not sent:
        do = f"`nightshift notify --test {name}`; look whether its service is up and the address is still valid"
        raise PlatformError("the message was not accepted", where=where, do=do)


def _wrong(path: Path, line: int) -> NightshiftError:
    what = "it is not as it must be (what stands there is not shown: it may be a secret)"
    return NightshiftError(what, where=f"{path}:{line}", allowed=_ALLOWED, do="correct the line")
