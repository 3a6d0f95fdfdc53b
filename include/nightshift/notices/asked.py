"""What is to be said of a proposal that waits for a person. Pure: from a pipeline's entries and the moment."""

from collections.abc import Sequence
from datetime import datetime

from nightshift.notices.trouble import Trouble, first_line
from nightshift.plan import RETRAIN_SUFFIX
from nightshift.registry.entry import Entry
from nightshift.registry.proposals import open_proposal
from nightshift.run_state import RunState
from nightshift.specs.model import Pipeline


def waiting(pipeline: Pipeline, entries: Sequence[Entry], now: datetime, link: str) -> Trouble | None:
    """The proposal that waits for an answer at a moment (aware), None where none does; ``link`` is where it is shown.

    Each proposal is a fault of its own, so that a later one is said, too.
    """
    found = open_proposal(entries, pipeline.schedule, now)
    if found is None:
        return None
    name, until = pipeline.name, f"{found.expires_at:%Y-%m-%d %H:%M} UTC"
    return Trouble(
        events=("approval",),
        state=RunState.WAITING,
        pipeline=name,
        dag=name + RETRAIN_SUFFIX,
        ds=found.as_of.isoformat(),
        cause=first_line(f"version {found.entry.version} waits for a person's approval until {until}"),
        next=f'nightshift approve {name} --proposal {found.seq} --reason "…"',
        link=link,
        owner=pipeline.owner,
        alike=f"proposal {found.seq} of {name}",
    )
