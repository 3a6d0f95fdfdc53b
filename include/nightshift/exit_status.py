"""The exit status of a process, as operators say it."""

import signal

# A shell's status of a child that a signal ended; subprocess gives the negative number.
_SHELL = 128


def signal_text(status: int) -> str:
    """``signal 9 (SIGKILL), often because memory ran out``; empty where no signal ended the process."""
    number = -status if status < 0 else status - _SHELL
    if number not in {item.value for item in signal.Signals}:
        return ""
    name = signal.Signals(number).name
    return f"signal {number} ({name})" + (", often because memory ran out" if number == signal.SIGKILL else "")
