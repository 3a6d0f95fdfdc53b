"""What is kept of a run, and the one line that it comes to."""

from typing import Any

import pytest

from nightshift import runs, storage
from nightshift.job import Outcome
from nightshift.settings import Settings

DS, RUN = "2024-02-05", "r"


def said(step: str, status: str = "done", message: str = "ok", **counts: float) -> dict[str, Any]:
    outcome = Outcome(
        step, DS, "done", message, counts, names={"champion": "3"} if (step, status) == ("plan_scoring", "done") else {}
    )
    return {**outcome.document(), "status": status}


NIGHTS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "well": (
        [
            said("gate_inputs", rows_landed=1000, rows_quarantined=3),
            said("gate_features", rows=997, quarantined=1),
            said("plan_scoring", rows=996),
            said("gate_predictions", rows=996),
            said("monitor"),
        ],
        "996 rows scored, champion version 3, 4 quarantined, no gate warning",
    ),
    "on its way": (
        [said("gate_inputs", rows_landed=1000, warnings=2)],
        "so far: 1,000 rows landed, not scored, 0 quarantined, 2 gate warnings",
    ),
    "failed": (
        [said("gate_features", rows=997), said("plan_scoring", "failed", "there is no champion")],
        "failed in plan_scoring, 997 rows of features, not scored, 0 quarantined, no gate warning",
    ),
    "nothing to do": (
        [said("inputs_landed"), said("gate_features", "up_to_date", rows=996), said("monitor", "up_to_date")],
        "996 rows of features, not scored, 0 quarantined, no gate warning, everything was up to date",
    ),
    "a retrain with too few days": (
        [said("training_set", "nothing", "5 days are too few", days=5, rows=50), said("promote", "nothing", "refused")],
        "50 rows of 5 days, refused, 0 quarantined, no gate warning",
    ),
    "a retrain": (
        [said("training_set", days=30, rows=29000), said("gate_training", warnings=1), said("promote", message="new")],
        "29,000 rows of 30 days, new, 0 quarantined, 1 gate warning",
    ),
    "a retrain that failed": (
        [said("training_set", days=30, rows=29000), said("train", "failed")],
        "failed in train, 29,000 rows of 30 days, 0 quarantined, no gate warning",
    ),
}


@pytest.mark.parametrize("case", NIGHTS)
def test_a_run_in_one_line(case: str) -> None:
    steps, line = NIGHTS[case]
    assert runs.summary(steps) == line


class TestShards:
    def keep(self, settings: Settings, shard: int, status: str = "done", message: str = "ok") -> None:
        outcome = Outcome("score", DS, "done", message, {"rows": 10, "shards": 1} if status == "done" else {})
        runs.keep(settings, "parcels", RUN, outcome, status, 1.0 + shard, shard)

    def test_count_together(self, settings: Settings) -> None:
        for shard in range(12):
            self.keep(settings, shard)
        [step] = runs.read_run(settings, "parcels", RUN)
        assert (step["message"], step["seconds"]) == ("120 rows scored in 12 shards", 12.0)

    def test_one_that_failed_is_the_steps_failure(self, settings: Settings) -> None:
        for shard in range(11):
            self.keep(settings, shard, *(("failed", f"no {shard}") if shard in (2, 10) else ()))
        [step] = runs.read_run(settings, "parcels", RUN)
        assert (step["status"], step["message"]) == ("failed", "2 of 11 shards failed, the first: no 2")

    def test_those_of_an_earlier_plan_do_not_count(self, settings: Settings) -> None:
        for shard in range(3):
            self.keep(settings, shard)
        runs.keep(settings, "parcels", RUN, Outcome("plan_scoring", DS, "done", "ok", {"shards": 2}), "done", 1)
        assert runs.read_run(settings, "parcels", RUN)[1]["message"] == "20 rows scored in 2 shards"


def test_what_a_killed_process_left_beside_it_does_not_hide_a_run(settings: Settings) -> None:
    runs.keep(settings, "parcels", RUN, Outcome("monitor", DS, "done", "ok"), "done", 1)
    storage.write_bytes(storage.join(runs.run_folder(settings, "parcels", RUN), ".abc.tmp"), b"")
    assert [step["step"] for step in runs.read_run(settings, "parcels", RUN)] == ["monitor"]
    assert runs.run_ids(settings, "parcels", DS) == [RUN]
