"""The end of a proposal in the ledger: the role of people appends an approval, that of tasks whatever else it is."""

from datetime import datetime

from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.registry.proposals import Answer, concluded
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


def approve(settings: Settings, pipeline: Pipeline, proposal: int, answer: Answer) -> Entry | None:
    """Append the approval that an answer gives, and return it, or the entry that ended the proposal before.

    None where the answer approves nothing, which is for ``refuse`` to record. Raises NightshiftError where this
    process has not the role of people, and PromotionRefused where there is no such proposal.
    """
    return _ended(Ledger.of_people(settings), pipeline, proposal, answer, approves=True)


def refuse(settings: Settings, pipeline: Pipeline, proposal: int, answer: Answer) -> Entry | None:
    """Append the refusal that an answer gives, and return it, or the entry that ended the proposal before.

    None where the answer approves, which is for ``approve`` to record. Raises PromotionRefused where there is no such
    proposal.
    """
    return _ended(Ledger.of(settings), pipeline, proposal, answer, approves=False)


def _ended(ledger: Ledger, pipeline: Pipeline, proposal: int, answer: Answer, *, approves: bool) -> Entry | None:
    def compose(past: list[Entry], now: datetime) -> NewEntry | Entry | None:
        found = concluded(past, pipeline, proposal, answer, now)
        return found if isinstance(found, Entry) or (found.kind == "approval") == approves else None

    return ledger.append_seeing(pipeline.name, compose)
