"""Waiting for what other processes do."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def until(condition: Callable[[], Any], seconds: float = 120, pause: float = 0.2) -> Any:
    """The value of the condition once it is true. Its failure names the line that waited, for logs that are cut."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() >= end:
            caller = sys._getframe(1)
            raise AssertionError(f"not within {seconds} s at {Path(caller.f_code.co_filename).name}:{caller.f_lineno}")
        time.sleep(pause)
    return found
