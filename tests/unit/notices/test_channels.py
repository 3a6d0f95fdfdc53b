"""Real services of apprise against receivers on loopback; no address is in what is raised or logged."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nightshift.errors import NightshiftError, PlatformError
from nightshift.notices.channels import Channels, read_channels, send
from nightshift.notices.message import Message, trial
from nightshift.settings import Settings
from tests.conftest import make_pipeline
from tests.unit.notices.receivers import Hook, Mail, served

SECRET = "T0PSECRETT0KEN"
TOLD = Message(
    "[FAILED] parcels 2024-03-01: gate_inputs: no",
    "State: FAILED\nNext: nightshift diagnose",
    "failure",
    "of-this-fault",
)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with served(Hook()) as server:
        yield server


@pytest.fixture
def mail() -> Iterator[Mail]:
    with served(Mail()) as server:
        yield server


def _channels(**addresses: str) -> Channels:
    return Channels.model_validate({"channels": addresses})


@pytest.mark.process
def test_a_mail_has_title_and_body(mail: Mail) -> None:
    address = f"mailto://127.0.0.1:{mail.port}?from=nightshift@example.com&to=night@example.com"
    send(_channels(mail=address), "mail", TOLD)
    (got,) = mail.got
    assert "Subject: [FAILED] parcels 2024-03-01: gate_inputs: no" in got
    assert "To: night@example.com" in got
    assert "State: FAILED" in got


@pytest.mark.process
def test_slack_teams_and_pagerduty_get_what_they_are_shaped_for(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    own, asked = requests.sessions.Session.request, []

    def here(self: Any, method: str, url: str, **options: Any) -> Any:
        asked.append(url.split("/")[2])
        return own(self, method, f"http://127.0.0.1:{hook.port}/{url.split('/', 3)[3]}", **options)

    monkeypatch.setattr(requests.sessions.Session, "request", here)  # their hosts are in apprise's code
    channels = _channels(
        slack=f"slack://T1JJ3T3L2/A1BRTD4JD/{SECRET}ABCDEFGHIJ",
        teams=f"workflows://example.com:443/{SECRET}/signature",
        pager=f"pagerduty://{SECRET}@{SECRET}?action=map",
    )
    for name in channels.channels:
        send(channels, name, TOLD)
    send(channels, "pager", replace(TOLD, title="[over] parcels", weight="success"))
    (slack_path, slack), (teams_path, teams), (_, pager), (_, resolved) = hook.got
    assert asked == ["hooks.slack.com", "example.com:443", *["events.pagerduty.com"] * 2]
    assert slack_path == f"/services/T1JJ3T3L2/A1BRTD4JD/{SECRET}ABCDEFGHIJ"
    assert slack["attachments"][0]["title"] == TOLD.title
    assert "Next: nightshift diagnose" in slack["attachments"][0]["text"]
    assert SECRET in teams_path
    assert TOLD.title in str(teams)
    assert pager["event_action"] == "trigger"
    assert pager["payload"]["severity"] == "critical"
    assert TOLD.title in str(pager)
    assert resolved["event_action"] == "resolve"
    assert resolved["dedup_key"] == pager["dedup_key"] == "of-this-fault"


@pytest.mark.process
def test_what_was_not_accepted_is_an_error_without_the_address(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    hook.status = 500
    caplog.set_level(logging.DEBUG)
    channels = _channels(
        here=f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}", away=f"json://127.0.0.1:9/{SECRET}"
    )
    for name in channels.channels:
        with pytest.raises(PlatformError, match=f"channel {name}: the message was not accepted") as error:
            send(channels, name, TOLD)
        assert SECRET not in str(error.value)
    assert hook.got
    assert SECRET not in caplog.text
    assert SECRET not in repr(channels)


def test_an_address_that_is_none_is_named_by_its_channel() -> None:
    with pytest.raises(PlatformError, match="channel here: it has no address that apprise reads") as error:
        send(_channels(here=f"nonsense-{SECRET}"), "here", trial("here"))
    assert SECRET not in str(error.value)


GOOD = """
channels:
  night-shift: json://127.0.0.1:9
  science: json://127.0.0.1:9
  ledger: json://127.0.0.1:9
notify:
  night-shift: [FAILED, late]
owners:
  logistics:
    science: [OK with warnings]
"""


def _read(settings: Settings, tmp_path: Path, text: str) -> Channels | None:
    file = tmp_path / "notify.yaml"
    file.write_text(text)
    return read_channels(replace(settings, notify_file=file))


def test_the_platform_an_owner_and_a_spec_say_who_hears(settings: Settings, tmp_path: Path) -> None:
    found = _read(settings, tmp_path, GOOD)
    assert found
    spec = make_pipeline(notify={"ledger": ["late"], "unknown": ["late"]})
    assert found.hear(("late",), spec) == ("ledger", "night-shift")
    assert found.hear(("FAILED", "blocked"), spec) == ("night-shift",)
    assert found.hear(("OK with warnings",), spec) == ("science",)
    assert found.hear(("OK with warnings",), make_pipeline(owner="somebody")) == ()
    assert found.hear(("ledger trouble",), None) == ()


def test_without_a_file_nobody_is_told(settings: Settings) -> None:
    assert read_channels(settings) is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"channels:\n  night: [json://{SECRET}]\n", 2),
        (f"channels:\n  json://{SECRET}: night\n", 2),
        (f"{SECRET}: 1\n", 1),
        (f"channels: {{}}\nheartbeat:\n  {SECRET}: 1\n", 2),
        (f"channels: {{}}\nchannels: json://{SECRET}\n", 2),
        (f"channels: {{}}\nnotify:\n  night: [{SECRET}]\n", 3),
        (f"channels:\n  night: {SECRET}: {SECRET}\n", 2),
    ],
)
def test_what_is_wrong_with_the_file_is_its_line_and_quotes_nothing(
    settings: Settings, tmp_path: Path, text: str, line: int
) -> None:
    with pytest.raises(NightshiftError, match=rf"notify\.yaml:{line}: it is not as it must be") as error:
        _read(settings, tmp_path, text)
    assert SECRET not in str(error.value)


def test_a_route_to_no_channel_is_refused_with_the_nearest(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NightshiftError, match="there is no channel nightshift; did you mean night-shift"):
        _read(settings, tmp_path, "channels: {night-shift: json://x}\nnotify: {nightshift: [late]}\n")
