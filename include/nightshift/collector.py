"""Python's garbage collector, kept from where it finds nothing."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps the collector from what the block makes, in the block and after it: imports, and what stays to the end.

    It would go through all of it again and again, and once more at the exit: a quarter of the time of an import of
    Great Expectations.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
