"""What is said of runs that have ended: nothing of those that are plainly well."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightshift.notices.ended import EndedRun, trouble_of
from nightshift.run_facts import RunFacts
from nightshift.run_state import RunState
from nightshift.steps import STEPS
from tests.conftest import make_pipeline

PIPELINE = make_pipeline()
STEP = st.fixed_dictionaries(
    {
        "step": st.sampled_from(list(STEPS)),
        "status": st.sampled_from(["done", "up_to_date", "nothing", "failed"]),
        "message": st.text(max_size=20),
        "warnings": st.lists(st.text(max_size=10), max_size=1),
        "counts": st.dictionaries(st.sampled_from(["warnings", "promote"]), st.floats(0, 2), max_size=1),
    }
)


def step(name: str, status: str = "done", message: str = "well", **more: Any) -> dict[str, Any]:
    return {"step": name, "status": status, "message": message, "warnings": [], "counts": {}, **more}


def run(*said: dict[str, Any], dag: str = "parcels", airflow: str = "success", **more: Any) -> EndedRun:
    return EndedRun(dag, "2024-03-01", airflow, True, said, **more)


@given(st.lists(STEP, max_size=5, unique_by=lambda item: item["step"]), st.sampled_from(["success", "failed"]))
def test_a_run_that_is_not_plainly_well_is_told_of(said: list[dict[str, Any]], airflow: str) -> None:
    found = trouble_of(PIPELINE, run(*said, airflow=airflow))
    state = RunFacts.of(said, airflow=airflow).state
    if state in (RunState.FAILED, RunState.OK_WITH_WARNINGS):
        assert found
        assert found.state == state
        assert str(state) in found.events
    elif found:
        assert found.events == ("refused retrain",)
    if found:
        assert found.cause
        assert found.cause.isprintable()


@pytest.mark.parametrize(
    ("ended", "events", "cause"),
    [
        (run(step("score"), step("monitor"), published=True), None, ""),
        (
            run(step("gate_inputs", "failed", "3 rows\n\n| a | table |"), airflow="failed", tasks=["gate_inputs"]),
            ("FAILED", "blocked"),
            "gate_inputs: 3 rows",
        ),
        (run(airflow="failed", tasks=["score"]), ("FAILED",), "score: it ended without a word; its log has more"),
        (run(step("monitor"), published=False), ("FAILED",), "the run has ended, and no predictions are published"),
        (
            run(
                step("gate_inputs", warnings=["empty", "kept"], names={"refused": "orders 2024-03-01"}), published=True
            ),
            ("OK with warnings", "blocked"),
            "gate_inputs: a gate refused orders 2024-03-01",
        ),
        (
            run(step("gate_inputs", warnings=["a column refused by nobody is blocked out"]), published=True),
            ("OK with warnings",),
            "gate_inputs: a column refused by nobody is blocked out",
        ),
        (
            run(
                step("decide", counts={"promote": 0.0}),
                step("promote", message="entry 3: refused"),
                dag="parcels__retrain",
            ),
            ("refused retrain",),
            "promote: entry 3: refused",
        ),
        (run(step("decide", counts={"promote": 1.0}), step("promote"), dag="parcels__retrain"), None, ""),
        (
            run(step("training_set", "nothing", "too few days"), step("promote", "nothing"), dag="parcels__retrain"),
            ("refused retrain", "OK with warnings"),
            "promote: well",
        ),
    ],
)
def test_runs_by_example(ended: EndedRun, events: tuple[str, ...] | None, cause: str) -> None:
    found = trouble_of(PIPELINE, ended)
    assert (found and found.events) == events
    assert (found.cause if found else "") == cause
