"""Tokens of forms: each is good for one person, one pipeline, one action on one state of its ledger, for ten minutes.

A token holds nothing but the end of its life and a MAC, so that no server keeps it, and any of several takes it. It is
used once because what it allows changes the ledger's head, which it names: the second use finds another head. A use
that was refused changed nothing, and what it allowed may be tried again. Pure.
"""

import hashlib
import hmac
import json
import re
from dataclasses import astuple, dataclass

LIFE = 600  # seconds
_TOKEN = re.compile(r"([0-9]{1,12})-([0-9a-f]{64})", re.ASCII)
_PURPOSE = b"nightshift: the token of an order's form"


@dataclass(frozen=True)
class Allowed:
    """The use that a token allows: ``user`` is Airflow's login, ``head`` the hash of the pipeline's newest entry.

    ``action`` names the form, and for an order that is to be recorded all that its plan says.
    """

    user: str
    dag: str
    action: str
    head: str


def issue(secret: str, allowed: Allowed, now: float) -> str:
    """A token for that, until ten minutes after ``now`` (seconds of the epoch)."""
    until = int(now) + LIFE
    return f"{until}-{_mac(secret, allowed, until)}"


def holds(secret: str, token: str, allowed: Allowed, now: float) -> bool:
    """Return whether a token is for that, and still good."""
    found = _TOKEN.fullmatch(token)
    if not found:
        return False
    until = int(found[1])
    return hmac.compare_digest(found[2], _mac(secret, allowed, until)) and now <= until <= now + LIFE + 1


def _mac(secret: str, allowed: Allowed, until: int) -> str:
    if not secret:
        raise ValueError("a token without a secret is no token")
    # A key of its own: what signs Airflow's own tokens signs nothing else.
    key = hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256)
    text = json.dumps([*astuple(allowed), until])
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
