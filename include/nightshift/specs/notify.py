"""Who hears of what: events, and the names of channels, whose addresses only the platform knows."""

from typing import Annotated, Literal, get_args

from pydantic import Field, StringConstraints

Event = Literal[
    "FAILED", "late", "blocked", "OK with warnings", "refused retrain", "approval", "ledger trouble", "alert"
]
EVENTS: tuple[Event, ...] = get_args(Event)
ChannelName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*([-_][a-z0-9]+)*$", max_length=60)]
Routes = dict[ChannelName, Annotated[tuple[Event, ...], Field(min_length=1)]]
"""The events that each channel hears of."""
