"""A platform to break, on a small disk, and a reader."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import small_disk
from tests.live import Live
from tests.nights import Nights, Reader, champion_and_nights, reading


@pytest.fixture(scope="session")
def nights(live_platform: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """The platform with the pipeline, its champion and its nights."""
    aside = tmp_path_factory.mktemp("undisturbed")
    with small_disk(Path(live_platform.settings.lake)), champion_and_nights(live_platform, aside) as found:
        yield found


@pytest.fixture
def reader(nights: Nights) -> Iterator[Reader]:
    """Reads until the test is over, which fails if it ever saw a part of a day."""
    with reading(nights) as found:
        yield found
