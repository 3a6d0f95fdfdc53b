"""What a person may order with a run by hand, and which day it then is for."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from nightshift import runs
from nightshift.errors import ConfRefused
from nightshift.features import rebuilds
from nightshift.job import Job, Outcome
from nightshift.orchestration.asked_day import ds_of
from nightshift.orchestration.context import job_of
from nightshift.orchestration.orders import Order, keys_of, order_of
from nightshift.plan import make_plan, run_days
from nightshift.settings import Settings
from nightshift.specs.calendar import cutoff
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline, spec_document
from tests.dags.conftest import DS, context, execute

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
MIDDAY = datetime(2024, 2, 20, 15, 4, 5, tzinfo=UTC)


def asked(conf: Any = None, **more: Any) -> Any:
    """A run by hand, as the form makes one: its logical date is the moment of the click."""
    known = {"dag_id": "parcels", "run_id": "manual__1", "run_type": "manual", "logical_date": MIDDAY, "run_after": NOW}
    return SimpleNamespace(**{**known, "conf": conf, "triggering_user_name": "ada", **more})


def day_of(run: Any, pipeline: Pipeline | None = None, now: datetime = NOW) -> date:
    return ds_of(run, pipeline or make_pipeline(), order_of(run), now)


def open_ended(**schedule: Any) -> Pipeline:
    known = {name: value for name, value in spec_document()["schedule"].items() if name != "end"}
    return make_pipeline(schedule={**known, **schedule})


class TestBusinessDate:
    def test_what_was_typed_is_scored_whatever_the_logical_date(self) -> None:
        assert day_of(asked({"business_date": "2024-02-05"})) == DS
        assert day_of(asked({"business_date": "2024-02-05"}, logical_date=None)) == DS
        assert day_of(asked({"business_date": "2024-02-05"}, logical_date=datetime(2024, 2, 5, tzinfo=UTC))) == DS

    def test_a_logical_date_alone_is_its_day(self) -> None:
        assert day_of(asked(logical_date=datetime(2024, 2, 5, tzinfo=UTC))) == DS
        assert day_of(asked({"business_date": None, "rebuild": False, "reason": ""})) == MIDDAY.date()

    def test_without_either_it_is_the_newest_day_that_is_over(self) -> None:
        before = datetime(2024, 2, 6, 6, 59, tzinfo=UTC)  # one minute before the cutoff in New York
        assert day_of(asked(logical_date=None, run_after=before)) == DS
        weekly = open_ended(retrain="weekly")
        thursday = datetime(2024, 2, 8, 12, tzinfo=UTC)
        assert day_of(asked(logical_date=None, run_after=thursday, dag_id="parcels__retrain"), weekly) == DS

    @pytest.mark.parametrize(
        ("day", "dag", "why"),
        [
            ("2023-12-31", "parcels", "2023-12-31 is before the pipeline's first business date"),
            ("2030-01-01", "parcels", "2030-01-01 is not over: its cutoff comes at 2030-01-01T07:00Z"),
            ("2024-03-02", "parcels", "2024-03-02 is not over"),
            (
                "2024-02-07",
                "parcels__retrain",
                "is no scheduled day; the nearest: 2024-02-05 and 2024-02-12",
            ),
        ],
    )
    def test_days_that_have_no_run_are_refused(self, day: str, dag: str, why: str) -> None:
        pipeline = open_ended(start="2024-01-01", retrain="weekly")
        with pytest.raises(ConfRefused, match=why) as caught:
            day_of(asked({"business_date": day}, dag_id=dag), pipeline)
        assert "Allowed: business dates from 2024-01-01 to 2024-03-01" in str(caught.value)
        assert not caught.value.retryable

    def test_a_day_after_the_specs_end_is_refused_and_one_for_labels_alone_is_not(self) -> None:
        pipeline = make_pipeline()
        last = make_plan(pipeline).daily.schedule.last
        assert last is not None
        later = datetime(2040, 1, 1, tzinfo=UTC)
        assert day_of(asked({"business_date": last.isoformat()}), now=later) == last
        with pytest.raises(ConfRefused, match="is after the pipeline's last business date"):
            day_of(asked({"business_date": (last + timedelta(days=1)).isoformat()}), now=later)
        with pytest.raises(ConfRefused, match="is after the pipeline's last business date"):
            day_of(asked(logical_date=None, run_after=later), now=later)

    def test_two_days_at_once_are_refused(self) -> None:
        with pytest.raises(ConfRefused, match="is 2024-02-05, and its logical date is the beginning of 2024-02-06"):
            day_of(asked({"business_date": "2024-02-05"}, logical_date=datetime(2024, 2, 6, tzinfo=UTC)))

    @pytest.mark.parametrize("day", ["20240205", "2024-2-5", "2024-02-30", "today", 20240205, ["2024-02-05"], "４"])
    def test_what_is_no_date_is_refused_and_not_shown(self, day: Any) -> None:
        with pytest.raises(ConfRefused, match="no date like 2013-03-04") as caught:
            order_of(asked({"business_date": day}))
        assert str(day) not in str(caught.value)

    @pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
    @pytest.mark.parametrize("conf", [{"business_date": "2024-02-05"}, {"rebuild": True}])
    def test_runs_that_were_made_for_a_day_take_no_other(self, run_type: str, conf: dict[str, Any]) -> None:
        with pytest.raises(ConfRefused, match=f"a {run_type} run takes neither"):
            order_of(asked(conf, run_type=run_type))
        ended = datetime(2031, 5, 6, tzinfo=UTC)
        assert day_of(asked({"reason": "x"}, run_type=run_type, logical_date=ended)) == ended.date()

    @given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
    def test_a_day_is_taken_exactly_if_it_has_a_run_and_its_cutoff_is_over(self, day: date, moment: datetime) -> None:
        pipeline, now = open_ended(retrain="weekly"), moment.replace(tzinfo=UTC)
        for dag, plan in (("parcels", make_plan(pipeline).daily), ("parcels__retrain", make_plan(pipeline).retrain)):
            fits = bool(run_days(plan.schedule, day, day)) and cutoff(pipeline.schedule, day) <= now
            try:
                assert day_of(asked({"business_date": day.isoformat()}, dag_id=dag), pipeline, now) == day
                assert fits
            except ConfRefused:
                assert not fits


class TestOrder:
    def test_says_who_what_and_why(self) -> None:
        conf = {"business_date": "2024-02-05", "rebuild": True, "reason": " ticket 4711 "}
        assert order_of(asked(conf)) == Order("ada", "ticket 4711", DS, True)
        assert order_of(asked({name: key.default for name, key in keys_of("parcels").items()})) == Order("ada")

    def test_a_retrain_has_no_rebuild(self) -> None:
        with pytest.raises(ConfRefused, match="unknown key: 'rebuild'"):
            order_of(asked({"rebuild": True}, dag_id="parcels__retrain"))

    def test_a_rebuild_is_true_or_false(self) -> None:
        with pytest.raises(ConfRefused, match="rebuild in its conf is neither true nor false"):
            order_of(asked({"rebuild": "yes"}))


@pytest.mark.usefixtures("home")
class TestRebuild:
    def test_is_ordered_once_by_the_first_task_and_kept_with_who_asked(self, task: Any, use_case: Any) -> None:
        seen: list[Job] = []

        def step(job: Job) -> Outcome:
            seen.append(job)
            return Outcome("gate_inputs", job.day, "done", "done")

        use_case("gate_inputs", step)
        conf = {"business_date": "2024-02-05", "rebuild": True, "reason": "ticket 4711"}
        given = context(run_type="manual", run_id="manual__1", logical_date=MIDDAY, conf=conf)
        execute(task("gate_inputs"), given)
        execute(task("gate_inputs"), given)
        settings = Settings.from_env()
        [order] = rebuilds.ordered(settings, make_pipeline())
        assert (order.first, order.last, order.actor, order.reason) == (
            "2024-02-05",
            "2024-02-05",
            "ada",
            "ticket 4711",
        )
        assert [job.ds for job in seen] == [DS, DS]
        [said] = runs.read_run(settings, "parcels", "manual__1")
        assert (said["ds"], said["by"], said["reason"], said["rebuild"]) == ("2024-02-05", "ada", "ticket 4711", "yes")
        execute(task("gate_inputs"), context(run_type="manual", run_id="manual__2", logical_date=MIDDAY, conf=conf))
        assert len(rebuilds.ordered(settings, make_pipeline())) == 2

    def test_nothing_is_ordered_for_a_day_that_is_refused(self, task: Any, use_case: Any) -> None:
        use_case("inputs_landed", lambda job: pytest.fail("it ran"))
        conf = {"business_date": "1999-01-01", "rebuild": True}
        given = context(run_type="manual", logical_date=MIDDAY, conf=conf)
        with pytest.raises(AirflowFailException, match="1999-01-01 is before the pipeline's first business date"):
            execute(task("inputs_landed"), given)
        assert rebuilds.ordered(Settings.from_env(), make_pipeline()) == ()
        assert not job_of(context(), "parcels").rebuild
