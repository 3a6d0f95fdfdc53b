import inspect
import re
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from nightshift import steps
from nightshift.commands import FeaturesCommand, ScoreCommand
from nightshift.errors import ModelMismatch, NightshiftError, said
from nightshift.job import Job, Outcome
from nightshift.plan import make_plan
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from nightshift.steps import STEPS, ScoreProcess, Step, find_step, run_step, shard_commands
from tests.unit.scoring.parcels import make_plan as make_scoring_plan

COMMAND = FeaturesCommand("parcels", date(2024, 2, 5), date(2024, 2, 6), "/plan.json")


@pytest.fixture
def job(settings: Settings, pipeline: Pipeline) -> Job:
    return Job(settings, pipeline, date(2024, 2, 5), run_id="night")


@pytest.fixture
def use_case(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a function in the place of a step's use case, in this module's namespace."""

    def put(name: str, function: Callable[[Job], Any], *, needs_spark: bool = False) -> None:
        monkeypatch.setattr(sys.modules[__name__], "stand_in", function, raising=False)
        step = Step(name, "daily", f"{__name__}:stand_in", "A stand-in.", needs_spark)
        monkeypatch.setattr(steps, "STEPS", {**STEPS, name: step})

    return put


def no_spark(settings: Settings, command: FeaturesCommand) -> None:
    pytest.fail("Spark was started")


def test_the_steps_are_the_tasks_of_the_plan(pipeline: Pipeline) -> None:
    plan = make_plan(pipeline)
    for dag, planned in (("daily", plan.daily), ("retrain", plan.retrain)):
        assert [step.name for step in STEPS.values() if step.dag == dag] == [task.name for task in planned.tasks]
        spark = {step.name for step in STEPS.values() if step.dag == dag and step.needs_spark}
        assert spark == {task.name for task in planned.tasks if task.kind == "spark"}


@pytest.mark.parametrize("step", STEPS.values(), ids=lambda step: step.name)
def test_every_use_case_is_there_and_takes_a_job(step: Step) -> None:
    assert list(inspect.signature(step.function()).parameters) == ["job"]


def test_an_unknown_step_is_told_with_the_nearest_one() -> None:
    with pytest.raises(NightshiftError, match=r"^there is no step 'gate_input'; did you mean gate_inputs\?") as caught:
        find_step("gate_input")
    assert "inputs_landed, gate_inputs" in str(caught.value)


def test_a_plain_step_returns_its_outcome(job: Job, use_case: Callable[..., None]) -> None:
    outcome = Outcome("monitor", job.day, "done", "seen")
    use_case("monitor", lambda given: outcome if given == job else None)
    assert run_step(job, "monitor", no_spark) is outcome


def test_a_spark_step_with_work_runs_spark_and_returns_what_was_planned(
    job: Job, use_case: Callable[..., None]
) -> None:
    ran: list[tuple[Settings, FeaturesCommand]] = []
    outcome = Outcome("build_features", job.day, "done", "2 days to build")
    use_case("build_features", lambda given: (outcome, COMMAND), needs_spark=True)
    assert run_step(job, "build_features", lambda settings, command: ran.append((settings, command))) is outcome
    assert ran == [(job.settings, COMMAND)]


def test_a_spark_step_that_is_up_to_date_starts_no_spark(job: Job, use_case: Callable[..., None]) -> None:
    outcome = Outcome("build_features", job.day, "up_to_date", "nothing to build")
    use_case("build_features", lambda given: (outcome, None), needs_spark=True)
    assert run_step(job, "build_features", no_spark) is outcome


def test_each_shard_has_its_command(job: Job) -> None:
    job.leave("plan_scoring", {"plan": "/lake/plan.json", "shards": 2})
    assert shard_commands(job) == [ScoreCommand("/lake/plan.json", 0), ScoreCommand("/lake/plan.json", 1)]


def test_without_shards_there_is_nothing_to_score(job: Job) -> None:
    job.leave("plan_scoring", {"plan": "", "shards": 0})
    outcome = steps.score(job)
    assert (outcome.status, outcome.message) == ("nothing", "0 rows scored in 0 shards")


@pytest.mark.process
def test_a_shard_that_has_its_result_starts_no_process(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_scoring_plan(tmp_path, [20])
    job.leave("plan_scoring", {"plan": plan.uri, "shards": 1})
    assert steps.score(job).message == "20 rows scored in 1 shard"
    monkeypatch.setattr(sys, "executable", "/no/python")
    assert steps.score(job).message == "20 rows scored in 1 shard"


def test_scoring_before_planning_says_what_to_run(job: Job) -> None:
    with pytest.raises(NightshiftError, match="nightshift run parcels plan_scoring --ds 2024-02-05"):
        steps.score(job)


class TestScoreProcess:
    """With the real module, and where a process must be slow or stubborn, with one of that behaviour."""

    @pytest.mark.process
    def test_an_error_of_the_process_is_the_error_here(self, tmp_path: Path) -> None:
        lines: list[str] = []
        with pytest.raises(NightshiftError, match="there is no scoring plan"):
            ScoreProcess(ScoreCommand(str(tmp_path / "plan.json"), 0).argv(), 60).run(lines.append)
        assert "there is no scoring plan" in lines[-1]

    @pytest.mark.process
    def test_the_deadline_ends_it_and_says_so(self, stubborn: Callable[[str], None]) -> None:
        stubborn("import time\nprint('started', flush=True)\ntime.sleep(60)")
        started = time.monotonic()
        with pytest.raises(
            NightshiftError, match=r"it took longer than its deadline of 0\.5 s.*raise scoring\.deadline"
        ):
            ScoreProcess(["score"], 0.5).run(lambda line: None)
        assert time.monotonic() - started < 20

    @pytest.mark.process
    def test_a_killed_process_is_no_error_of_its_last_line(self, stubborn: Callable[[str], None]) -> None:
        stubborn("import os\nprint('100 rows scored', flush=True)\nos.kill(os.getpid(), 9)")
        with pytest.raises(NightshiftError, match=r"killed by signal 9 \(SIGKILL\), often because memory ran out"):
            ScoreProcess(["score"], 60).run(lambda line: None)

    @pytest.mark.process
    def test_what_does_not_listen_is_killed(self, stubborn: Callable[[str], None]) -> None:
        deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
        stubborn(f"import signal, time\n{deaf}\nprint('deaf', flush=True)\ntime.sleep(60)")
        process = ScoreProcess(["score"], 60)

        def stop(line: str) -> None:
            assert line == "deaf"
            process.stop(grace=0.2)

        with pytest.raises(NightshiftError, match=r"killed by signal 9"):
            process.run(stop)

    @pytest.mark.process
    def test_an_interrupted_task_takes_its_process_along(self, stubborn: Callable[[str], None]) -> None:
        stubborn("import time\nprint('started', flush=True)\ntime.sleep(60)")
        process = ScoreProcess(["score"], 60)

        def interrupted(line: str) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            process.run(interrupted)
        assert process._process is not None
        assert process._process.poll() is not None

    @pytest.fixture
    def stubborn(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        def write(code: str) -> None:
            (tmp_path / "stubborn_scoring.py").write_text(code)
            monkeypatch.setenv("PYTHONPATH", str(tmp_path))
            monkeypatch.setattr(ScoreCommand, "module", "stubborn_scoring")

        return write


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("ModelMismatch: the columns differ", ModelMismatch, "the columns differ."),
        ("KeyError: 'x'", NightshiftError, "KeyError: 'x'."),
        ("Killed", NightshiftError, "Killed."),
        ("", NightshiftError, "it ended without a word."),
    ],
)
def test_an_error_told_in_a_line_keeps_its_kind(line: str, kind: type[NightshiftError], message: str) -> None:
    error = said(line)
    assert type(error) is kind
    assert re.fullmatch(re.escape(message), str(error))
