"""The Nightshift database (Postgres): connections, and locks that processes on any machine share."""

from nightshift.database.connections import connect, connect_to
from nightshift.database.locks import Holder, Lock, advisory_lock, holder, lock_key, lock_unless_held, take
from nightshift.database.sessions import refuse_pooler

__all__ = [
    "Holder",
    "Lock",
    "advisory_lock",
    "connect",
    "connect_to",
    "holder",
    "lock_key",
    "lock_unless_held",
    "refuse_pooler",
    "take",
]
