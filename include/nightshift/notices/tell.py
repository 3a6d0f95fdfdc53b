"""One look's troubles against what was said: who is told now, of what, and what is over."""

import logging
from collections.abc import Callable, Mapping, Sequence

from nightshift.errors import NightshiftError
from nightshift.notices.channels import Channels, send
from nightshift.notices.message import OVER, Message, message, over
from nightshift.notices.record import OPEN, Fault, Record
from nightshift.notices.trouble import Trouble, by_fault
from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift.notices")

Send = Callable[[Channels, str, Message], None]
IsOver = Callable[[Trouble], bool]


def tell(
    record: Record,
    channels: Channels,
    pipelines: Mapping[str, Pipeline],
    troubles: Sequence[Trouble],
    is_over: IsOver,
    send: Send = send,
) -> list[str]:
    """Say of each fault what was not said yet, and that others are over; return what could not be said.

    ``is_over`` knows whether a run or night that had a trouble is well now: that it was not looked at says nothing.
    """
    failures: list[str] = []
    kept = record.faults()
    for name, alike in by_fault(troubles).items():
        heard = {channel: _of(alike, channel, channels, pipelines) for channel in channels.channels}
        if any(heard.values()):
            record.keep(kept, name, alike)
    for fault in (fault for fault in record.faults() if not fault.closed):
        members = fault.troubles()
        # As the last look saw it: a night that would be late may be late by now.
        now = {trouble.member: trouble for trouble in by_fault(troubles).get(fault.fault, [])}
        current = [now.get(trouble.member, trouble) for trouble in members]
        if all(trouble.member not in now and is_over(trouble) for trouble in members):
            _say_over(record, channels, fault, current, send, failures)
            continue
        if record.now() - fault.since > OPEN:
            record.close(fault)
            continue
        for channel in channels.channels:
            if mine := _of(current, channel, channels, pipelines):
                _say(record, channels, fault, channel, mine[0].stage, message(mine), send, failures)
    record.forget(kept)
    return failures


def _of(
    troubles: Sequence[Trouble], channel: str, channels: Channels, pipelines: Mapping[str, Pipeline]
) -> list[Trouble]:
    """The troubles that a channel hears of."""
    return [
        trouble for trouble in troubles if channel in channels.hear(trouble.events, pipelines.get(trouble.pipeline))
    ]


def _say_over(
    record: Record,
    channels: Channels,
    fault: Fault,
    troubles: Sequence[Trouble],
    send: Send,
    failures: list[str],
) -> None:
    told = [channel for channel in fault.told() if channel in channels.channels]
    said = [_say(record, channels, fault, channel, OVER, over(troubles), send, failures) for channel in told]
    if all(said):
        record.close(fault)


def _say(
    record: Record,
    channels: Channels,
    fault: Fault,
    channel: str,
    what: str,
    words: Message,
    send: Send,
    failures: list[str],
) -> bool:
    try:
        if said := record.once(fault, channel, what.replace(" ", "-"), lambda: send(channels, channel, words)):
            return said
        failures.append(f"channel {channel}: the message of {fault.since:%Y-%m-%d %H:%M} UTC is yet to be accepted")
    except NightshiftError as error:
        log.error("%s", error)
        failures.append(str(error))
    return False
