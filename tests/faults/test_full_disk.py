"""A disk that is full while a partition is staged: nothing is published, and the day goes on once there is room."""

from pathlib import Path

import pytest

from tests.disks import full
from tests.faults.faults import fault
from tests.nights import NIGHTS, Nights, Reader
from tests.waiting import until

pytestmark = [pytest.mark.platform, pytest.mark.spark]


@fault(
    "the disk is full while inputs are staged, and stays so through all retries",
    seen="`gate_inputs` is red and its log says that no space is left",
    recovery="the operator makes room and clears the task",
)
def test_a_full_disk_while_inputs_are_staged(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[13]
    with full(Path(nights.settings.lake)):
        nights.backfill([ds])
        [run] = nights.over([ds])
    assert run.state == "failed"
    assert nights.failed(run) == ["gate_inputs"]
    assert "No space left on device" in nights.log(run, "gate_inputs")
    nights.clear(run)
    assert {run.state for run in nights.over([ds])} == {"success"}
    nights.assert_undisturbed([ds])


@fault(
    "the disk is full while Spark writes features",
    seen="`build_features` is red and its log says that no space is left",
    recovery="the operator makes room and clears the task",
)
def test_a_full_disk_while_features_are_built(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[14]
    nights.backfill([ds])
    until(lambda: nights.published("inputs/readings", ds))
    until(lambda: nights.states(ds, "gate_inputs") == {"success"}, pause=0.1)
    with full(Path(nights.settings.lake)):
        [run] = nights.over([ds])
    assert run.state == "failed"
    assert nights.failed(run) == ["build_features"]
    assert "No space left on device" in nights.log(run, "build_features")
    nights.clear(run)
    assert {run.state for run in nights.over([ds])} == {"success"}
    nights.assert_undisturbed([ds])
