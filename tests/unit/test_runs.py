"""What is kept of a run, and the one line that it comes to."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift import runs, storage
from nightshift.errors import NightshiftError
from nightshift.job import Job, Outcome, run_name
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline

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
        "996 rows scored, champion version 3, 4 quarantined, no warning",
    ),
    "on its way": (
        [said("gate_inputs", rows_landed=1000, warnings=2)],
        "so far: 1,000 rows landed, not scored, 0 quarantined, 2 warnings",
    ),
    "failed": (
        [said("gate_features", rows=997), said("plan_scoring", "failed", "there is no champion")],
        "failed in plan_scoring, 997 rows of features, not scored, 0 quarantined, no warning",
    ),
    "nothing to do": (
        [said("inputs_landed"), said("gate_features", "up_to_date", rows=996), said("monitor", "up_to_date")],
        "996 rows of features, not scored, 0 quarantined, no warning, everything was up to date",
    ),
    "a retrain with too few days": (
        [said("training_set", "nothing", "5 days are too few", days=5, rows=50), said("promote", "nothing", "refused")],
        "50 rows of 5 days, refused, 0 quarantined, no warning",
    ),
    "a retrain": (
        [said("training_set", days=30, rows=29000), said("gate_training", warnings=1), said("promote", message="new")],
        "29,000 rows of 30 days, new, 0 quarantined, 1 warning",
    ),
    "a retrain that failed": (
        [said("training_set", days=30, rows=29000), said("train", "failed")],
        "failed in train, 29,000 rows of 30 days, 0 quarantined, no warning",
    ),
}


@pytest.mark.parametrize("case", NIGHTS)
def test_a_run_in_one_line(case: str) -> None:
    steps, line = NIGHTS[case]
    assert runs.summary(steps) == line


def test_of_very_many_links_the_first_are_shown_and_the_others_counted() -> None:
    links = {f"gate report orders {number}": f"/r/{number}" for number in range(761)}
    found = list(runs.link_lines(links, "http://page"))
    assert found[:2] == ["gate report orders 0: /r/0", "gate report orders 1: /r/1"]
    assert (len(found), found[-1]) == (11, "and 751 more: http://page")
    assert list(runs.link_lines({"scoring plan": "/p"}, "")) == ["scoring plan: /p"]


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


def monitor(settings: Settings, run_id: str, message: str, **more: str) -> None:
    runs.keep(settings, "parcels", run_id, Outcome("monitor", DS, "done", message), "done", 1, **more)


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_two_run_ids_never_share_a_folder(one: str, other: str) -> None:
    for first, second in ((one, other), (one, run_name(one)), (one, one.replace(":", "_")), (one, one.lower())):
        assert (run_name(first) == run_name(second)) == (first == second)
        assert "/" not in run_name(first)
        assert len(run_name(first)) < 250
        assert not run_name(first).startswith(".")


def test_runs_whose_ids_look_alike_have_pages_of_their_own(settings: Settings) -> None:
    ids = ("manual__2024-02-05T07:00", "manual__2024-02-05T07_00", run_name("manual__2024-02-05T07:00"), "..", "__")
    for run_id in ids:
        monitor(settings, run_id, f"of {run_id}")
    for run_id in ids:
        assert [step["message"] for step in runs.read_run(settings, "parcels", run_id)] == [f"of {run_id}"]
    assert sorted(runs.run_ids(settings, "parcels", DS)) == sorted(ids)


def test_every_try_keeps_its_own_file_and_the_last_one_counts(settings: Settings) -> None:
    for number in range(3):
        monitor(settings, RUN, f"try {number}", attempt=f"a{number}")
    folder = runs.run_folder(settings, "parcels", RUN)
    files = [storage.name_of(file.uri) for file in storage.list_files(folder)]
    assert files == ["monitor-a0.json", "monitor-a1.json", "monitor-a2.json"]
    assert [step["message"] for step in runs.read_run(settings, "parcels", RUN)] == ["try 2"]
    monitor(settings, RUN, "another word", attempt="a0")
    assert storage.read_json(f"{folder}/monitor-a0.json")["message"] == "try 0"


@pytest.mark.parametrize("harm", ["message", "digest", "no digest", "cut", "no JSON", "of another run"])
def test_a_file_that_is_not_as_it_was_written_is_counted_and_not_shown(settings: Settings, harm: str) -> None:
    monitor(settings, RUN, "as it was", attempt="a1")
    uri = f"{runs.run_folder(settings, 'parcels', RUN)}/monitor-a2.json"
    monitor(settings, RUN, "forged", attempt="a2")
    document = storage.read_json(uri)
    if harm == "of another run":
        monitor(settings, "another", "forged", attempt="a2")
        storage.write_bytes(uri, storage.read_bytes(uri.replace(run_name(RUN), run_name("another"))))
    elif harm in ("cut", "no JSON"):
        storage.write_bytes(uri, storage.read_bytes(uri)[:-9] if harm == "cut" else b"[1]")
    else:
        changes = {"message": {"message": "x"}, "digest": {"digest": "0" * 64}, "no digest": {"digest": None}}[harm]
        changed = {**document, **changes}
        storage.write_json(uri, {name: value for name, value in changed.items() if value is not None})
    page = runs.read_page(settings, "parcels", RUN)
    assert ([step["message"] for step in page.steps], page.altered) == (["as it was"], 1)


def test_a_run_of_an_earlier_version_is_still_shown_and_marked(settings: Settings) -> None:
    folder = f"{settings.reports}/parcels/_runs/parcels/manual__a_b"
    said_then = {**Outcome("monitor", DS, "done", "then").document(), "seconds": 1.0, "part": None}
    storage.write_json(f"{folder}/monitor.json", said_then)
    page = runs.read_page(settings, "parcels", "manual__a:b")
    assert ([step["message"] for step in page.steps], page.earlier) == (["then"], True)
    assert runs.run_ids(settings, "parcels", DS) == ["manual__a_b"]
    monitor(settings, "manual__a:b", "now")
    page = runs.read_page(settings, "parcels", "manual__a:b")
    assert ([step["message"] for step in page.steps], page.earlier) == (["now"], False)


def test_what_a_run_left_is_found_by_itself_alone(settings: Settings, pipeline: Pipeline) -> None:
    run = "manual__2024-02-05T07:00"
    job = Job(settings, pipeline, date(2024, 2, 5), run_id=run)
    job.leave("plan_scoring", {"plan": "of the night"})
    for other in (run.replace(":", "_"), run_name(run), f"{run}-{run_name(run)[-24:]}", run.upper()):
        with pytest.raises(NightshiftError, match=r"step plan_scoring of run .* has left nothing for 2024-02-05"):
            replace(job, run_id=other).left("plan_scoring")
    assert job.left("plan_scoring") == {"plan": "of the night"}


def test_a_run_that_an_earlier_version_began_goes_on(settings: Settings, pipeline: Pipeline) -> None:
    job = Job(settings, pipeline, date(2024, 2, 5), run_id="manual__a:b")
    then = f"{job.table('_runs')}/ds=2024-02-05/manual__a_b/build_features.json"
    storage.write_json(then, {"built": 1})
    assert job.left("build_features") == {"built": 1}
    job.leave("build_features", {"built": 2})
    assert job.left("build_features") == {"built": 2}
