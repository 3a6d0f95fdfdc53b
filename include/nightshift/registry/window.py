"""The window on a proposal that Airflow shows: its choices, and how its record of an answer is read. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from nightshift.actor import signed_in
from nightshift.registry.proposals import Answer, Choice

APPROVE, REJECT = "Approve", "Reject"
REASON, PROPOSAL = "reason", "proposal"
LONGEST = 500

_CHOICES: Mapping[str, Choice] = {APPROVE: "approve", REJECT: "reject"}


def stated(reason: str) -> str:
    """A reason as it is kept: one line. Raises ValueError where it is none."""
    line = " ".join(reason.split())
    if not line or len(line) > LONGEST or not line.isprintable():
        raise ValueError(f"an answer has a reason, one line of at most {LONGEST} characters")
    return line


def proposal_of(event: Mapping[str, Any]) -> int | None:
    """The proposal that an answer names; None where it names none."""
    number = (event.get("params_input") or {}).get(PROPOSAL)
    return number if type(number) is int else None


def answered(event: Mapping[str, Any], proposal: int, where: Mapping[str, str]) -> tuple[Answer, str]:
    """The answer that Airflow resumes the task with, and why it cannot count; empty where it may.

    ``proposal`` is the one that the window is on: where a task was cleared, Airflow may show what an earlier window
    was on. ``where`` names the record.
    """
    if event.get("error_type") == "timeout" or event.get("timedout"):
        return Answer("expire", **where), ""
    if "error" in event:
        return Answer("reject", **where), "Airflow could not read the answer; answer again"
    person, given = event.get("responded_by_user") or {}, event.get("params_input") or {}
    by, login = str(person.get("name") or person.get("id") or ""), str(person.get("id") or "")
    chosen = event.get("chosen_options") or [""]
    choice, at = _CHOICES.get(chosen[0]), event.get("responded_at")
    answer = Answer(choice or "reject", by, login, at=at.isoformat() if isinstance(at, datetime) else "", **where)
    if not by:
        return answer, "nobody had signed in who answered; answer again"
    try:
        signed_in(by)
    except ValueError as error:  # an order by it is refused as well: the ledger must not take it for an account
        return answer, f"by the login that answered nobody can tell who it is: {error}; answer by another one"
    try:
        answer = replace(answer, reason=stated(str(given.get(REASON) or "")))
    except ValueError as error:
        return answer, f"{by} gave no reason: {error}; answer again"
    why = ""
    if choice is None or len(chosen) > 1:
        why = f"{by} chose neither {APPROVE} nor {REJECT}; answer again"
    elif given.get(PROPOSAL) != proposal:
        why = f"{by} answered to another proposal than {proposal}; answer again, and name that"
    return answer, why
