"""Nothing of a platform stays behind in /tmp."""

import shutil
from collections.abc import Iterator

import pytest

from nightshift.platform.layout import Layout
from nightshift.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Iterator[Settings]:
    """The settings of every test; pytest's folders are deep, so that the sockets' folder lies elsewhere."""
    yield settings
    shutil.rmtree(Layout(settings.var).run, ignore_errors=True)
