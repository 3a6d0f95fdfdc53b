"""The backfill command on a live platform: a failed day, Ctrl-C, --watch, --retrain, and tonight in its middle."""

import json
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from nightshift import tables
from nightshift.platform.airflow_client import Run
from nightshift.specs.calendar import days
from tests.faults.faults import fault
from tests.nights import NAME, NIGHTS, Nights, Reader, commits_of
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


@fault(
    "what is published is doubted, though nothing in its recipe has changed",
    seen="`nightshift backfill … --dry-run` calls every day up to date",
    recovery="`nightshift backfill … --rebuild --reason …`: built and published again, under a name of its own",
)
def test_a_rebuild_publishes_the_same_rows_again(nights: Nights, reader: Reader) -> None:
    ds, table = NIGHTS[15].isoformat(), nights.job(NIGHTS[15]).table
    command = ("nightshift", "backfill", NAME, ds, ds)
    nights.live.run(*command, timeout=500)
    before = {name: tables.state(table(name)) for name in ("features", "predictions")}
    assert nights.live.run(*command, "--dry-run").stdout.splitlines()[-1] == "every day is up to date"

    done = nights.live.run(*command, "--rebuild", "--reason", "a faulty library", "--json", timeout=500)
    assert json.loads(done.stdout)["failed"] == {}
    for name, then in before.items():
        now = tables.state(table(name))
        assert now.fingerprint(ds) != then.fingerprint(ds), name
        assert tables.read(now.uri, now.files(ds)).equals(tables.read(then.uri, then.files(ds))), name
        assert commits_of(now.uri, ds) == 2, name
    assert nights.live.run(*command, "--dry-run").stdout.splitlines()[-1] == "every day is up to date"


def test_ctrl_c_leaves_the_backfill_running(nights: Nights, reader: Reader) -> None:
    ds = NIGHTS[18].isoformat()
    argv = [str(Path(sys.executable).parent / "nightshift"), "backfill", NAME, ds, ds]
    with subprocess.Popen(argv, env=nights.live.environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if f"{NAME}: 0 of 1 days done" in line:  # not of the backfill before this one, which it waits for
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
