"""Operators as the task runner calls them, with stand-ins for use cases and for what Airflow knows of other runs."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSensorTimeout,
)

from nightshift import runs, storage
from nightshift.commands import ScoreCommand
from nightshift.errors import GateFailed, InputMissing, NightshiftError, SpecError
from nightshift.job import Job, Outcome
from nightshift.lineage import DataFile
from nightshift.model_manifest import model_uri
from nightshift.orchestration.context import job_of, unfinished_days
from nightshift.orchestration.dag import build_dag
from nightshift.orchestration.links import GateReportLink, MlflowRunLink, RunLink
from nightshift.orchestration.spark import SparkStepOperator
from nightshift.orchestration.tasks import BrokenSpecOperator, PlanShardsOperator, ScoreOperator, say_why
from nightshift.plan import make_plan
from nightshift.scoring.plan import Piece, ScoringPlan, Shard, ShardResult, result_uri, scoring_code
from nightshift.settings import Settings
from tests.conftest import make_pipeline
from tests.dags.conftest import DS, TaskInstance, context, execute
from tests.unit.specs.home import add_spec, make_home

pytestmark = pytest.mark.usefixtures("home")

DAYS = [date(2024, 2, day) for day in range(1, 29)]


def done(job: Job, step: str, **links: str) -> Outcome:
    return Outcome(step, job.day, "done", f"{step} did it", {"rows": 3}, links)


def kept(dag: str = "parcels") -> list[dict[str, Any]]:
    return runs.read_run(Settings.from_env(), dag, "backfill__2024-02-05T07:00:00+00:00")


def of_tasks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What tasks logged; without a database the page Tonight is warned of beside it."""
    return [record.getMessage() for record in caplog.records if record.name == "nightshift.task"]


class TestJob:
    def test_is_what_the_run_says(self) -> None:
        job = job_of(context(), "parcels")
        assert (job.pipeline.name, job.ds, job.backfill, job.actor) == ("parcels", DS, True, "ada")
        assert job.run_id == "backfill__2024-02-05T07:00:00+00:00"
        assert job.also == ()

    def test_of_a_scheduled_run_is_no_backfill_and_airflows(self) -> None:
        job = job_of(context(run_type="scheduled", triggering_user_name=None), "parcels")
        assert (job.backfill, job.actor) == (False, "airflow")

    def test_a_reason_is_an_order_and_is_kept_with_who_gave_it(self, task: Any, use_case: Any) -> None:
        given = context(conf={"reason": "the vendor corrected the file"})
        job = job_of(given, "parcels")
        assert (job.actor, job.reason) == ("ada", "the vendor corrected the file")
        use_case("monitor", lambda job: done(job, "monitor"))
        execute(task("monitor"), given)
        assert [(said["by"], said["reason"]) for said in kept()] == [("ada", "the vendor corrected the file")]

    @pytest.mark.parametrize(
        ("conf", "why"),
        [
            ({"reson": "x"}, r"its conf has 1 unknown key: 'reson'; did you mean reason\?"),
            ({"plan": "/etc", "ds": "2013-01-01"}, "its conf has 2 unknown keys: 'ds', 'plan'"),
            ({"cell 4711": 1}, r"its conf has 1 unknown key\."),
            ({"reason": 4711}, "the reason in its conf is not one line of text"),
            ({"reason": "two\nlines"}, "the reason in its conf is not one line of text"),
            ({"reason": "4711" * 51}, "the reason in its conf is not one line of text, or is too long"),
            (["reason"], "its conf is no object"),
        ],
    )
    def test_what_a_conf_cannot_order_is_refused(self, conf: Any, why: str, task: Any, use_case: Any) -> None:
        use_case("monitor", lambda job: pytest.fail("it ran"))
        with pytest.raises(AirflowFailException, match=why) as caught:
            execute(task("monitor"), context(conf=conf))
        assert "4711" not in str(caught.value)
        assert "; reason: why the run was asked for" in str(caught.value)
        [said] = kept()
        assert (said["status"], said["by"], said["message"]) == ("failed", "ada", str(caught.value))
        assert runs.run_ids(Settings.from_env(), "parcels", DS.isoformat()) == []

    def test_each_try_is_an_attempt_of_its_own(self) -> None:
        assert job_of(context(), "parcels").attempt != job_of(context(), "parcels").attempt

    def test_it_knows_whether_another_try_comes(self) -> None:
        asked = context()
        assert not job_of(asked, "parcels").last_try
        asked["ti"].try_number = 3
        assert job_of(asked, "parcels").last_try

    def test_takes_the_databases_secret_from_an_airflow_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NIGHTSHIFT_DATABASE_CONNECTION", "ledger")
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", "postgres://writer:secret@db:5432/nightshift")
        assert job_of(context(), "parcels").settings.database == "postgres://writer:secret@db:5432/nightshift"

    def test_takes_mlflows_login_from_an_airflow_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NIGHTSHIFT_MLFLOW_CONNECTION", "models")
        monkeypatch.setenv("AIRFLOW_CONN_MODELS", "http://trainer:secret@models:5000")
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            monkeypatch.setenv(name, "")
        job_of(context(), "parcels")
        assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("trainer", "secret")


@pytest.mark.process
def test_a_task_of_a_broken_spec_fails_for_good_with_what_is_wrong() -> None:
    error = SpecError("ower", where="parcels.yaml:2")
    broken = BrokenSpecOperator(task_id="gate_inputs", dag=DAG("parcels"), error=error)
    with pytest.raises(AirflowFailException, match=r"^parcels.yaml:2: ower\.$"):
        execute(broken, context())
    [said] = kept()
    assert (said["step"], said["ds"], said["status"]) == ("gate_inputs", DS.isoformat(), "failed")


class TestUnfinishedDays:
    @pytest.mark.parametrize("active", [(), DAYS, DAYS[5:9], DAYS[::3], DAYS[-1:]])
    def test_finds_exactly_those(self, active: Sequence[date]) -> None:
        assert unfinished_days(context(TaskInstance(active)), DAYS) == list(active)

    def test_asks_once_where_no_other_run_waits(self) -> None:
        ti = TaskInstance()
        unfinished_days(context(ti), DAYS)
        assert ti.calls == 1

    def test_the_days_of_a_backfill_cost_few_calls(self) -> None:
        ti = TaskInstance(DAYS[:9])
        unfinished_days(context(ti), DAYS)
        assert ti.calls <= 2 * 6


class TestStepOperator:
    def test_returns_the_outcome_and_keeps_it_for_the_runs_page(self, task: Any, use_case: Any) -> None:
        use_case("monitor", lambda job: done(job, "monitor"))
        document = execute(task("monitor"), context())
        assert document["message"] == "monitor did it"
        assert json.loads(json.dumps(document)) == document
        [said] = kept()
        assert (said["step"], said["status"], said["counts"]) == ("monitor", "done", {"rows": 3})

    def test_only_what_is_mapped_over_and_the_runs_headline_become_xcoms(self, task: Any) -> None:
        names = ("inputs_landed", "gate_inputs", "build_features", "plan_scoring", "monitor", "decide", "promote")
        assert [name for name in names if task(name).do_xcom_push] == ["plan_scoring", "monitor", "promote"]

    def test_a_button_that_shows_nothing_is_none(self, task: Any, use_case: Any) -> None:
        report = f"{Settings.from_env().reports}/parcels/features/ds=2024-02-05/a.html"
        use_case("gate_features", lambda job: done(job, "gate_features", report=report))
        operator = task("gate_features")
        execute(operator, context())
        assert [link.name for link in operator.operator_extra_links] == ["Gate report"]
        assert len(task("gate_features").operator_extra_links) == 2  # those of the DAG stay

    def test_the_runs_button_is_one_of_pipelines_alone(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("NIGHTSHIFT_HOME", str(make_home(tmp_path).home))
        add_spec(Settings.from_env(), "parcels")
        leads = [RunLink().get_link(None, ti_key=SimpleNamespace(dag_id=name, run_id="a:b")) for name in (
            "parcels", "parcels__retrain", "others", "nightshift_maintenance",
        )]  # fmt: skip
        root = f"{Settings.from_env().airflow_address}/nightshift/runs"
        assert leads == [f"{root}/parcels/a%3Ab", f"{root}/parcels__retrain/a%3Ab", "", ""]

    def test_logs_what_it_did_and_where_to_look(
        self, task: Any, use_case: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        report = f"{Settings.from_env().reports}/parcels/features/ds=2024-02-05/a.html"
        use_case("gate_features", lambda job: done(job, "gate_features", report=report))
        with caplog.at_level(logging.INFO, "nightshift"):
            execute(task("gate_features"), context())
        assert caplog.messages == [
            "report: http://127.0.0.1:8080/nightshift/reports/parcels/features/ds=2024-02-05/a.html",
            "gate_features did it",
        ]

    def test_its_links_are_its_own(self, task: Any, use_case: Any) -> None:
        first, other = task("gate_features"), task("gate_features")
        use_case("gate_features", lambda job: done(job, "gate_features", report="/reports/a.html"))
        execute(first, context())
        assert (first.links, other.links) == ({"report": "/reports/a.html"}, {})

    def test_the_last_step_of_a_run_sums_it_up(
        self, task: Any, use_case: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        use_case("monitor", lambda job: Outcome("monitor", job.day, "up_to_date", "seen"))
        with caplog.at_level(logging.INFO, "nightshift"):
            returned = execute(task("monitor"), context())
        assert returned["run"].startswith("FAILED: not scored")  # nothing is published
        assert of_tasks(caplog) == [
            "seen",
            "this run: FAILED: not scored, 0 quarantined, no warning, everything was up to date",
        ]

    def test_what_can_go_well_another_time_is_retried(self, task: Any, use_case: Any) -> None:
        use_case("monitor", failing(NightshiftError("MLflow is away", do="start it")))
        with pytest.raises(AirflowException, match=r"^MLflow is away\. What to do: start it\.$") as caught:
            execute(task("monitor"), context())
        assert not isinstance(caught.value, AirflowFailException)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_what_can_never_go_well_is_not_retried(self, task: Any, use_case: Any) -> None:
        use_case("gate_features", failing(GateFailed("the gate blocked 7 rows", where="parcels/features")))
        with pytest.raises(AirflowFailException, match=r"^parcels/features: the gate blocked 7 rows\.$"):
            execute(task("gate_features"), context())

    def test_what_nobody_foresaw_is_told_without_a_word_of_its_own(
        self, task: Any, use_case: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(job: Job) -> Outcome:
            raise ValueError("cell 4711") from KeyError("cell 4711")

        use_case("monitor", broken)
        with pytest.raises(AirflowException, match="ValueError from KeyError was raised") as caught:
            execute(task("monitor"), context())
        assert not isinstance(caught.value, AirflowFailException)
        assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)
        [said] = kept()
        assert said["status"] == "failed"
        assert said["message"].startswith("parcels monitor of 2024-02-05: ValueError from KeyError was raised (at ")
        assert "4711" not in f"{caught.value} {said} {caplog.text}"

    def test_a_failure_is_told_where_nothing_can_be_kept_of_it(
        self, task: Any, use_case: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("NIGHTSHIFT_REPORTS", str(tmp_path / "file" / "reports"))
        use_case("gate_features", failing(GateFailed("the gate blocked 7 rows", where="parcels/features")))
        with pytest.raises(AirflowFailException, match=r"^parcels/features: the gate blocked 7 rows\.$"):
            execute(task("gate_features"), context())

    def test_a_failed_gate_still_links_its_report(self, task: Any, use_case: Any) -> None:
        error = GateFailed("the gate blocked 7 rows")
        error.links["gate report"] = f"{Settings.from_env().reports}/parcels/features/ds=2024-02-05/a.html"
        use_case("gate_features", failing(error))
        operator = task("gate_features")
        with pytest.raises(AirflowFailException):
            execute(operator, context())
        ti_key = SimpleNamespace(dag_id="parcels", run_id="r")
        assert GateReportLink().get_link(operator, ti_key=ti_key).endswith("/features/ds=2024-02-05/a.html")
        [said] = kept()
        assert (said["status"], said["message"]) == ("failed", "the gate blocked 7 rows.")

    def test_a_spec_that_went_bad_meanwhile_fails_the_task_plainly(self, task: Any, home: Path) -> None:
        path = home / "include" / "pipelines" / "parcels.yaml"
        path.write_text(path.read_text().replace("owner:", "ower:"))
        with pytest.raises(AirflowFailException, match="did you mean owner"):
            execute(task("monitor"), context())

    @pytest.mark.process
    def test_sends_the_seconds_of_the_step(
        self, task: Any, use_case: Any, monkeypatch: pytest.MonkeyPatch, statsd: "Listener"
    ) -> None:
        monkeypatch.setenv("NIGHTSHIFT_STATSD_HOST", "127.0.0.1")
        monkeypatch.setenv("NIGHTSHIFT_STATSD_PORT", str(statsd.port))
        use_case("monitor", lambda job: done(job, "monitor"))
        execute(task("monitor"), context())
        assert statsd.next().startswith("nightshift.step_seconds,pipeline=parcels,step=monitor,status=done:")
        use_case("monitor", failing(NightshiftError("no")))
        with pytest.raises(AirflowException):
            execute(task("monitor"), context())
        assert statsd.next().startswith("nightshift.step_seconds,pipeline=parcels,step=monitor,status=failed:")

    def test_the_last_line_of_a_failed_tasks_log_says_why(self, caplog: pytest.LogCaptureFixture) -> None:
        say_why({"exception": AirflowFailException("parcels/features: the gate blocked 7 rows.")})  # type: ignore[typeddict-item]
        say_why({})  # type: ignore[typeddict-item]
        assert caplog.messages == ["parcels/features: the gate blocked 7 rows.", "the task was stopped from outside"]


class TestWaitOperator:
    def test_is_done_once_nothing_is_missing(self, task: Any, use_case: Any) -> None:
        use_case("inputs_landed", lambda job: done(job, "inputs_landed"))
        assert execute(task("inputs_landed"), context())["message"] == "inputs_landed did it"

    def test_looks_again_later_without_holding_a_slot(
        self, task: Any, use_case: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        use_case("inputs_landed", failing(InputMissing("no file of orders", where="landing/orders/ds=2024-02-05")))
        with caplog.at_level(logging.INFO, "nightshift"), pytest.raises(AirflowRescheduleException) as caught:
            execute(task("inputs_landed"), context())
        assert timedelta(seconds=50) < caught.value.reschedule_date - datetime.now(UTC) <= timedelta(seconds=60)
        assert of_tasks(caplog) == ["waiting: landing/orders/ds=2024-02-05: no file of orders."]
        assert kept() == []

    def test_says_what_is_missing_when_the_time_is_up_and_does_not_retry(self, task: Any, use_case: Any) -> None:
        use_case("inputs_landed", failing(InputMissing("no file of orders", where="landing/orders/ds=2024-02-05")))
        late = TaskInstance(first_poke=timedelta(hours=6, minutes=1))
        with pytest.raises(AirflowFailException) as caught:
            execute(task("inputs_landed"), context(late))
        assert not isinstance(caught.value, AirflowSensorTimeout)
        assert str(caught.value) == "Waited for 6:00:00. landing/orders/ds=2024-02-05: no file of orders."
        [said] = kept()
        assert (said["step"], said["status"], said["message"]) == ("inputs_landed", "failed", str(caught.value))

    def test_other_errors_do_not_wait(self, task: Any, use_case: Any) -> None:
        use_case("inputs_landed", failing(NightshiftError("the landing folder cannot be read")))
        with pytest.raises(AirflowException, match="cannot be read"):
            execute(task("inputs_landed"), context())
        assert [said["status"] for said in kept()] == ["failed"]

    def test_how_often_it_looks_is_a_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NIGHTSHIFT_POKE_SECONDS", "5")
        dag = build_dag(make_plan(make_pipeline()).daily, Settings.from_env())
        assert dag.get_task("inputs_landed").poke_interval == 5


class TestTurnOperator:
    def test_waits_for_earlier_dates_of_a_backfill(
        self, task: Any, use_case: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        use_case("decide", lambda job: pytest.fail("it decided before its turn"))
        ti = TaskInstance([date(2024, 2, 3), date(2024, 2, 4), date(2024, 2, 9)])
        with caplog.at_level(logging.INFO, "nightshift"), pytest.raises(AirflowRescheduleException):
            execute(task("decide"), context(ti))
        assert of_tasks(caplog) == [
            "waiting: parcels__retrain 2024-02-05: 2 earlier dates are still queued or running, the first is "
            "2024-02-03. What to do: let them finish, or mark their runs failed; a backfill of this DAG must not run "
            "backwards."
        ]

    def test_decides_when_only_later_dates_are_left(self, task: Any, use_case: Any) -> None:
        use_case("decide", lambda job: done(job, "decide"))
        ti = TaskInstance([DS, date(2024, 2, 9)])
        assert execute(task("decide"), context(ti))["message"] == "decide did it"

    def test_decides_at_once_outside_of_backfills(self, task: Any, use_case: Any) -> None:
        use_case("decide", lambda job: done(job, "decide"))
        ti = TaskInstance([date(2024, 2, 3)])
        assert execute(task("decide"), context(ti, run_type="scheduled"))["message"] == "decide did it"
        assert ti.calls == 0

    def test_gives_up_after_a_day_and_says_for_whom_it_waited(self, task: Any, use_case: Any) -> None:
        ti = TaskInstance([date(2024, 2, 3)], first_poke=timedelta(hours=25))
        with pytest.raises(AirflowFailException, match=r"^Waited for 1 day, 0:00:00\. .*the first is 2024-02-03"):
            execute(task("decide"), context(ti))


class TestPlanShardsOperator:
    def test_returns_the_numbers_of_the_shards_alone(self, task: Any, use_case: Any) -> None:
        def plan(job: Job) -> Outcome:
            job.leave("plan_scoring", {"plan": "/lake/plan.json", "shards": 2})
            return done(job, "plan_scoring")

        use_case("plan_scoring", plan)
        operator = task("plan_scoring")
        assert isinstance(operator, PlanShardsOperator)
        assert execute(operator, context()) == [0, 1]
        assert [said["message"] for said in kept()] == ["plan_scoring did it"]


class TestScoreOperator:
    @pytest.mark.process
    def test_what_the_process_says_is_the_tasks_log_and_its_error_the_tasks(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        planned()
        with pytest.raises(AirflowException, match="the file of model 0000000000000000 is gone"):
            execute(scoring(), shard(0))
        assert "the file of model 0000000000000000 is gone" in capsys.readouterr().out
        [said] = kept()
        assert (said["step"], said["status"]) == ("score", "failed")
        assert "the file of model 0000000000000000 is gone" in said["message"]

    @pytest.mark.parametrize(
        "edited", [["score", "--plan", "/etc/forged", "--shard", "0"], 7, "../../plan.json", None, {"shard": 1}]
    )
    def test_what_an_xcom_says_decides_nothing(self, edited: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        plan, ran = planned(), []
        operator = scoring(shard=edited)
        monkeypatch.setattr(operator, "run_shard", lambda context, job, command: ran.append(command))
        execute(operator, shard(1))
        assert ran == [ScoreCommand(plan.uri, 1)]

    @pytest.mark.parametrize("number", [2, -1, None])
    def test_more_tasks_than_the_plan_has_shards_score_nothing(self, number: int | None) -> None:
        planned()
        with pytest.raises(AirflowException, match="has no shard"):
            execute(scoring(), shard(number))

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"pipeline": "letters"}, "its pipeline is not the job's"),
            ({"ds": "2024-02-06"}, "its day is not the job's"),
            ({"table": "/elsewhere/predictions"}, "2 of its files are not of the features beside its table"),
            ({"model": f"/elsewhere/{'0' * 64}.ubj"}, "its model is not the job's"),
            ({"day": "2024-02-04"}, "it has files of another day or table"),
        ],
    )
    def test_a_plan_that_is_another_jobs_is_refused(self, changes: dict[str, str], why: str, tmp_path: Path) -> None:
        if "table" in changes:
            changes = {"table": f"{tmp_path}{changes['table']}"}
        planned(**changes)
        with pytest.raises(AirflowFailException, match="the scoring plan is refused: .*" + why):
            execute(scoring(), shard(0))

    @pytest.mark.process
    def test_shards_are_one_line_of_the_runs_page(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(ScoreCommand, "module", "quick_scoring")
        plan = planned().uri
        written = Path(result_uri(plan, 0)).parent
        (tmp_path / "quick_scoring.py").write_text(
            f"import shutil, sys\nshutil.copytree({str(tmp_path)!r} + '/ready' + sys.argv[-1], {str(written)!r}, "
            "dirs_exist_ok=True)\n"
        )
        for number, rows in enumerate((600, 377)):
            result = ShardResult(number, DataFile("a.parquet", 1, rows), "0" * 64, "s", 0.1)
            name = Path(result_uri(plan, number)).name
            storage.write_json(str(tmp_path / f"ready{number}" / name), result.document())
            execute(scoring(), shard(number))
        [said] = kept()
        assert (said["step"], said["status"], said["message"]) == ("score", "done", "977 rows scored in 2 shards")

    @pytest.mark.process
    def test_ends_the_process_when_the_task_is_killed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "slow_scoring.py").write_text("import time\nprint('started', flush=True)\ntime.sleep(60)\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setattr(ScoreCommand, "module", "slow_scoring")
        planned()
        operator = scoring()
        operator.on_kill()  # before it has begun there is nothing to end
        monkeypatch.setattr(operator.log, "info", lambda line: operator.on_kill())
        started = time.monotonic()
        with pytest.raises(AirflowException):
            execute(operator, shard(0))
        assert time.monotonic() - started < 20

    def test_shards_are_mapped_over_what_plan_scoring_returns(self) -> None:
        dag = build_dag(make_plan(make_pipeline(scoring={"deadline": "3m"})).daily, Settings.from_env())
        score = dag.get_task("score")
        assert score.partial_kwargs["deadline"] == 180
        assert score.execution_timeout == timedelta(minutes=4)
        assert [upstream.task_id for upstream in score.upstream_list] == ["plan_scoring"]


class TestSparkStepOperator:
    def test_of_a_scheduled_run_does_its_own_day_alone(self, task: Any, use_case: Any) -> None:
        seen = planning(use_case)
        ti = TaskInstance(DAYS)
        execute(task("build_features"), context(ti, run_type="scheduled"))
        assert [job.also for job in seen] == [()]
        assert ti.calls == 0

    def test_up_to_date_imports_no_spark(self, task: Any, use_case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "airflow.providers.apache.spark.operators.spark_submit", raising=False)
        planning(use_case)
        operator = task("build_features")
        assert isinstance(operator, SparkStepOperator)
        execute(operator, context(run_type="scheduled"))
        assert "airflow.providers.apache.spark.operators.spark_submit" not in sys.modules
        operator.on_kill()


class TestLinks:
    @pytest.fixture
    def ti_key(self) -> SimpleNamespace:
        return SimpleNamespace(dag_id="parcels__retrain", run_id="manual__2024-02-05T07:00:00+00:00")

    def operator(self, **links: str) -> Any:
        return SimpleNamespace(links=links)

    def test_one_report_is_opened_directly_many_by_the_runs_page(self, ti_key: Any) -> None:
        root = f"{Settings.from_env().reports}/parcels"
        one, two = f"{root}/training_set/ds=2024-02-05/a.html", f"{root}/labels/ds=2024-02-05/b.html"
        base = "http://127.0.0.1:8080/nightshift"
        link = GateReportLink()
        assert link.get_link(self.operator(), ti_key=ti_key) == ""
        assert link.get_link(self.operator(a=one), ti_key=ti_key) == (
            f"{base}/reports/parcels__retrain/training_set/ds=2024-02-05/a.html"
        )
        assert link.get_link(self.operator(a=one, b=two), ti_key=ti_key) == (
            f"{base}/runs/parcels__retrain/manual__2024-02-05T07%3A00%3A00%2B00%3A00"
        )

    def test_the_mlflow_run_is_what_lies_in_mlflow(self, ti_key: Any) -> None:
        operator = self.operator(table="/lake/features", run="http://127.0.0.1:5000/#/experiments/1/runs/2")
        assert MlflowRunLink().get_link(operator, ti_key=ti_key) == "http://127.0.0.1:5000/#/experiments/1/runs/2"
        assert MlflowRunLink().get_link(self.operator(), ti_key=ti_key) == ""


def failing(error: NightshiftError) -> Callable[[Job], Any]:
    def use_case(job: Job) -> Any:
        raise error

    return use_case


def scoring(shard: Any = 0) -> ScoreOperator:
    """The task of a shard of parcels; ``shard`` is what it was mapped over."""
    return ScoreOperator(task_id="score", dag=DAG("parcels", schedule=None), shard=shard, deadline=60)


def shard(number: int | None) -> Any:
    """The context of the task that has this place among its like."""
    ti = TaskInstance()
    ti.map_index = number
    return context(ti)


def planned(day: str = DS.isoformat(), **changes: Any) -> ScoringPlan:
    """A plan of two shards, left by plan_scoring of the run; ``day`` is that of its files."""
    job = job_of(context(), "parcels")
    file = f"{job.table('features')}/attempt=a/ds={day}/fingerprint=f/0.parquet"
    given: dict[str, Any] = {
        "pipeline": "parcels", "ds": job.day, "table": job.table("predictions"), "fingerprint": "f", "features": "f",
        "model": model_uri(job.settings.models, "0" * 64), "model_sha256": "0" * 64, "objective": "regression",
        "columns": (), "categories": {}, "feature_code": "c", "scoring_code": scoring_code(), "key": {}, "threads": 1,
        "shards": tuple(Shard(number, (Piece(file, number, 1),)) for number in range(2)),
    }  # fmt: skip
    plan = ScoringPlan(**{**given, **changes})
    storage.write_json(plan.uri, plan.document())
    job.leave("plan_scoring", {"plan": plan.uri, "shards": 2, "status": "done"})
    return plan


def planning(use_case: Any) -> list[Job]:
    """Makes build_features up to date, and collects the jobs that it is given."""
    seen: list[Job] = []

    def plan(job: Job) -> tuple[Outcome, None]:
        seen.append(job)
        return Outcome("build_features", job.day, "up_to_date", "nothing to build"), None

    use_case("build_features", plan, needs_spark=True)
    return seen


class Listener:
    """A StatsD server that remembers."""

    def __init__(self) -> None:
        import socket

        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5)
        self.port: int = self._socket.getsockname()[1]

    def next(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def statsd() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()
