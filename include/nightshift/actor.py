"""Who gives an order: on the command line, and where nobody does."""

import os
import pwd

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
