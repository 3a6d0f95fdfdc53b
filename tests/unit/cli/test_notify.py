"""``nightshift notify`` and what ``check`` knows of channels; the receiver is one on loopback."""

from collections.abc import Iterator

import pytest

from nightshift.settings import Settings
from tests.unit.cli.conftest import Cli
from tests.unit.notices.receivers import Hook, served
from tests.unit.specs.home import add_spec

SECRET = "T0PSECRETT0KEN"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with served(Hook()) as server:
        yield server


@pytest.fixture
def channels(home: Settings, hook: Hook) -> Settings:
    home.channels.parent.mkdir(parents=True)
    lines = [f"channels: {{night-shift: 'json://127.0.0.1:{hook.port}/{SECRET}'}}", "notify: {night-shift: [late]}"]
    home.channels.write_text("\n".join(lines))
    return home


def test_a_channel_is_tried(cli: Cli, channels: Settings, hook: Hook) -> None:
    done = cli("notify", "--test", "night-shift")
    assert (done.returncode, done.stdout) == (0, "night-shift accepted the trial; look whether it has arrived\n")
    (path, document) = hook.got[0]
    assert path == f"/{SECRET}"
    assert document["title"] == "[trial] Nightshift reaches night-shift"
    hook.status = 500
    done = cli("notify", "--test", "night-shift")
    assert done.returncode == 1
    assert done.stdout.startswith("channel night-shift: the message was not accepted.")
    done = cli("notify", "--test", "nightshift")
    assert done.returncode == 2
    assert "did you mean night-shift?" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_who_is_told_is_shown_without_addresses(cli: Cli, channels: Settings) -> None:
    add_spec(channels, "parcels", notify={"night-shift": ["FAILED", "blocked"]})
    done = cli("notify")
    assert done.returncode == 0
    rows = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert ["night-shift", "every pipeline  late"] in rows
    assert ["night-shift", "parcels         FAILED, blocked"] in rows
    assert ["no", "fault is open"] in rows
    assert SECRET not in done.stdout


def test_without_channels_nobody_is_told(cli: Cli, home: Settings) -> None:
    done = cli("notify")
    assert (done.returncode, done.stdout) == (1, f"nobody is told: {home.channels} is not there\n")


def test_check_refuses_channels_that_the_file_does_not_have(cli: Cli, channels: Settings) -> None:
    path = add_spec(channels, "parcels", notify={"nightshift": ["FAILED"]})
    line = 1 + path.read_text().splitlines().index("  nightshift:")
    done = cli("check")
    words = "notify: there is no channel nightshift; did you mean night-shift?; allowed: night-shift"
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == f"include/pipelines/parcels.yaml:{line}: {words}"
    channels.channels.write_text(f"channels: {{night-shift: [{SECRET}]}}")
    done = cli("check")
    assert done.returncode == 1
    assert f"{channels.channels}:1: it is not as it must be" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    channels.channels.unlink()
    done = cli("check")
    assert done.returncode == 0
    assert "the channels of parcels are not known here" in done.stderr
