"""The backfill command on a live platform: a failed day, Ctrl-C, --watch, --retrain, and tonight in its middle."""

import json
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from nightshift.platform.airflow_client import Run
from nightshift.specs.calendar import days
from tests.faults.faults import fault
from tests.nights import NAME, NIGHTS, Nights, Reader
from tests.waiting import until

pytestmark = [pytest.mark.platform, pytest.mark.spark]


@fault(
    "one day of a backfill has a bad delivery",
    seen="`nightshift backfill` ends with 1, names the day and the task, and the command that says more",
    recovery="the delivery is corrected and landed; `nightshift backfill` over that day",
)
def test_a_failed_day_does_not_hold_back_the_others(nights: Nights, reader: Reader) -> None:
    bad, wanted = NIGHTS[16], days(NIGHTS[15], NIGHTS[17])
    [delivery] = Path(nights.settings.landing, "wind", "forecast", bad.isoformat()).glob("*.parquet")
    good = delivery.read_bytes()
    delivery.write_bytes(good[: len(good) // 2])
    command = ("nightshift", "backfill", NAME, wanted[0].isoformat(), wanted[-1].isoformat())
    done = nights.live.run(*command, "--json", check=False, timeout=500)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["failed"] == {bad.isoformat(): "gate_inputs"}
    nights.assert_undisturbed([wanted[0], wanted[2]])
    assert not nights.published("features", bad)

    delivery.write_bytes(good)
    done = nights.live.run(*command, "--watch", check=False)  # looks again at what is over: one day has failed
    assert done.returncode == 1
    assert f"{bad} failed in gate_inputs: `nightshift diagnose {NAME} --ds {bad}`" in done.stdout
    done = nights.live.run("nightshift", "backfill", NAME, bad.isoformat(), bad.isoformat(), timeout=500)
    assert "1 of 1 days done" in done.stderr
    nights.assert_undisturbed(wanted)


def test_ctrl_c_leaves_the_backfill_running(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[18].isoformat()
    argv = [str(Path(sys.executable).parent / "nightshift"), "backfill", NAME, ds, ds]
    with subprocess.Popen(argv, env=nights.live.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "days done" in line:
                process.send_signal(signal.SIGINT)
                break
        said += process.stderr.readlines()
    assert process.returncode == 130, said
    assert f"the backfill goes on; look again with `nightshift backfill {NAME} {ds} {ds} --watch`" in said[-1]
    done = nights.live.run("nightshift", "backfill", NAME, ds, ds, "--watch")
    assert "1 of 1 days done" in done.stderr
    nights.assert_undisturbed([NIGHTS[18]])


def test_tonight_in_the_middle_of_a_backfill_takes_at_most_twice_its_usual_time(nights: Nights) -> None:
    usual = tonight(nights, NIGHTS[19])
    past = days(NIGHTS[21], NIGHTS[25])
    nights.backfill(past)
    until(lambda: any(run.state == "running" for run in nights.client.runs(NAME, past[0], past[-1])))
    in_the_middle = tonight(nights, NIGHTS[20])
    nights.over(past)
    print(f"usual {usual:.1f} s, in the middle {in_the_middle:.1f} s")
    assert in_the_middle <= 2 * usual


def tonight(nights: Nights, ds: date) -> float:
    """Seconds of a run that no backfill made, as a scheduled one is, from its creation to its end."""
    began = time.monotonic()
    nights.live.api(f"/api/v2/dags/{NAME}/dagRuns", "POST", {"logical_date": f"{ds}T00:00:00Z"})

    def over() -> list[Run]:
        return [run for run in nights.client.runs(NAME, ds, ds) if run.state not in ("queued", "running")]

    [run] = until(over, seconds=400)
    assert run.state == "success"
    return time.monotonic() - began
