"""The givers of orders: the account of this process, a login of Airflow, and when two of them are one person."""

import os
import pwd
import re
import unicodedata

_UID = re.compile(r" \(uid \d+\)$")
# What Airflow's login may be called: no white space and no brackets, so that it looks like no account of a system.
_LOGIN = re.compile(r"[^\s()<>]{1,100}")

SERVICE = "airflow"
"""Who orders what no person did, such as a scheduled run."""


def system_account() -> str:
    """Return the account of the operating system that runs this, marked as that: nobody has signed in.

    The kernel's uid is asked; ``$LOGNAME`` and ``$USER`` are what anybody writes into them.
    """
    number = os.getuid()
    try:
        return f"{pwd.getpwuid(number).pw_name} (uid {number})"
    except KeyError:  # a container's user need have no name
        return f"uid {number}"


def signed_in(login: str) -> str:
    """Return the actor that an authenticated login of Airflow is. Raises ValueError for one that nobody can tell."""
    if not _LOGIN.fullmatch(login) or not login.isprintable():
        raise ValueError("a login of Airflow has no white space, no brackets, and at most 100 characters")
    return login


def person(actor: str) -> str:
    """Return the normal form of an actor's name, the same for one person's login and account.

    ``Ada`` in Airflow and ``ada (uid 1000)`` on a machine are one person: letters count alike in upper and lower case.
    An account without a name is known by its uid.
    """
    name = unicodedata.normalize("NFKC", _UID.sub("", actor.strip()))
    return unicodedata.normalize("NFKC", name.casefold()).strip()


def named(actor: str, claimed: str) -> str:
    """Return an actor's name, with whom an order was said to come from where that is another person."""
    return f"{actor}, said to be {claimed}" if person(claimed) not in ("", person(actor)) else actor
