"""The end of a proposal in the ledger: the role of people appends an approval, that of tasks whatever else it is."""

from datetime import datetime

from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.registry.proposals import Answer, concluded
from nightshift.specs.model import Pipeline


def approve(ledger: Ledger, pipeline: Pipeline, proposal: int, answer: Answer) -> Entry | None:
    """Append the approval that an answer gives, and return it, or the entry that ended the proposal before.

    None where the answer approves nothing, which is for ``refuse`` to record. ``ledger`` is that of people. Raises
    PlatformError where it is not, and PromotionRefused where there is no such proposal.
    """
    return _ended(ledger, pipeline, proposal, answer, approves=True)


def refuse(ledger: Ledger, pipeline: Pipeline, proposal: int, answer: Answer) -> Entry | None:
    """Append the refusal that an answer gives, and return it, or the entry that ended the proposal before.

    None where the answer approves, which is for ``approve`` to record. ``ledger`` is that of tasks. Raises
    PromotionRefused where there is no such proposal.
    """
    return _ended(ledger, pipeline, proposal, answer, approves=False)


def _ended(ledger: Ledger, pipeline: Pipeline, proposal: int, answer: Answer, *, approves: bool) -> Entry | None:
    def compose(past: list[Entry], now: datetime) -> NewEntry | Entry | None:
        found = concluded(past, pipeline, proposal, answer, now)
        return found if isinstance(found, Entry) or (found.kind == "approval") == approves else None

    return ledger.append_seeing(pipeline.name, compose)
