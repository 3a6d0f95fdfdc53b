"""A backup in the place of what is in use, while the platform is up."""

from pathlib import Path

import pytest

from nightshift.platform import local
from nightshift.platform.health import HEALTHY
from nightshift.registry.ledger import Ledger
from nightshift.registry.waivers import waiver
from tests.nights import NAME, NIGHTS, Nights, Reader

pytestmark = [pytest.mark.platform, pytest.mark.spark]


def test_a_backup_takes_the_place_of_what_is_in_use(nights: Nights, reader: Reader, tmp_path: Path) -> None:
    """What was recorded since is gone from what is in use, and kept beside; the next night is an ordinary one."""
    ledger, folder = Ledger.of(nights.settings), str(tmp_path / "backup")
    before = ledger.entries()
    nights.live.run("nightshift", "backup", folder)
    Ledger.of_people(nights.settings).append(waiver(NAME, "readings", NIGHTS[-1], "ops", "to be forgotten"))
    assert len(ledger.entries()) == len(before) + 1

    said = nights.live.run("nightshift", "restore", folder)

    assert "what was in use is kept as nightshift_before_" in said.stdout
    *entries, restored = ledger.entries()
    assert entries == before
    assert (restored.kind, restored.details["before"]["entries"]) == ("restore", len(before) + 1)
    assert len(restored.details["lost"]["heads"]) == 1, "the waiver that is forgotten is explained"
    assert "whole" in nights.live.run("nightshift", "ledger", "verify").stdout
    assert ledger.verify() == len(before) + 1
    assert {component.health for component in local.status(nights.settings)} == {HEALTHY}
    nights.backfill([NIGHTS[24]])
    assert [run.state for run in nights.over([NIGHTS[24]])] == ["success"]
    nights.assert_undisturbed([NIGHTS[24]])
