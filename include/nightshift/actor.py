"""Who gives an order on the command line."""

import os
import pwd


def system_account() -> str:
    """Return the account of the operating system that runs this, marked as that: nobody has signed in.

    The kernel's uid is asked; ``$LOGNAME`` and ``$USER`` are what anybody writes into them.
    """
    number = os.getuid()
    try:
        return f"{pwd.getpwuid(number).pw_name} (uid {number})"
    except KeyError:  # a container's user need have no name
        return f"uid {number}"
