"""The orders that a person may give with a run: the keys of its conf, which the form and the REST API of Airflow take.

Whoever may trigger a DAG may give one. So a conf never says what is read, written, scored or promoted; a key that is
not known is refused, since its giver thinks that it does something.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightshift.errors import ConfRefused
from nightshift.specs.spelling import nearest

ALLOWED = {"reason": "why the run was asked for, one line of at most 200 characters"}
_LONGEST = 200


@dataclass(frozen=True)
class Order:
    """The person who asked for a run, by Airflow's login, and why; ``reason`` is empty where none was given."""

    by: str = ""
    reason: str = ""


def order_of(run: Any) -> Order:
    """The order that a DAG run carries. Raises ConfRefused, which shows no value of its conf."""
    conf = getattr(run, "conf", None) or {}
    by = getattr(run, "triggering_user_name", None) or "airflow"
    if not isinstance(conf, Mapping):
        raise _refusal(run, "its conf is no object")
    if unknown := sorted(str(key) for key in conf if key not in ALLOWED):
        known = [key for key in unknown if key.isidentifier() and len(key) <= _LONGEST]
        named = f": {', '.join(f'{key!r}{nearest(key, ALLOWED)}' for key in known[:5])}" if known else ""
        raise _refusal(run, f"its conf has {len(unknown)} unknown {'key' if len(unknown) == 1 else 'keys'}{named}")
    reason = conf.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _LONGEST or not reason.isprintable():
        raise _refusal(run, "the reason in its conf is not one line of text, or is too long")
    return Order(by, reason.strip())


def _refusal(run: Any, what: str) -> ConfRefused:
    allowed = "; ".join(f"{name}: {means}" for name, means in ALLOWED.items())
    return ConfRefused(
        what,
        where=f"run {run.run_id}",
        allowed=allowed,
        do="trigger the run again; its logical date says which business date it is for",
    )
