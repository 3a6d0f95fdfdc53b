"""The garbage collector is as it was after a block that it was kept from, and has less to look at."""

import gc
from collections.abc import Iterator

import pytest

from nightshift.collector import uncollected


@pytest.fixture(autouse=True)
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("enabled", [True, False])
def test_it_is_off_in_the_block_and_then_as_it_was(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled() is enabled
    with pytest.raises(KeyError), uncollected():
        raise KeyError
    assert gc.isenabled() is enabled


def test_what_the_block_made_is_looked_at_no_more() -> None:
    before = gc.get_freeze_count()
    with uncollected():
        kept = [[number] for number in range(1000)]
    assert gc.get_freeze_count() >= before + len(kept)
