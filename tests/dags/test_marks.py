"""What Airflow's audit log says of people who mark runs, by Airflow's own routes and models."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.api_fastapi.core_api.datamodels.event_logs import EventLogResponse
from airflow.api_fastapi.core_api.routes.public.dag_run import dag_run_router
from airflow.api_fastapi.core_api.routes.public.dags import dags_router
from airflow.api_fastapi.core_api.routes.public.task_instances import task_instances_router

from nightshift.platform.airflow_client import MARKS, PAUSES, Mark, mark_of

AT = datetime(2024, 2, 11, 8, 0, tzinfo=UTC)


def entry(event: str, extra: dict[str, Any], task: str | None = None) -> dict[str, Any]:
    """An entry as the API server answers it."""
    names = dict.fromkeys(("map_index", "try_number", "logical_date"))
    found = EventLogResponse(
        event_log_id=1, when=AT, dag_id="flights", run_id="r", task_id=task, event=event, owner="ada",
        extra=json.dumps({**extra, "method": "PATCH"}), **names,
    )  # fmt: skip
    return json.loads(found.model_dump_json(by_alias=True))


def test_the_events_are_endpoints_that_airflow_logs() -> None:
    routes = [*dag_run_router.routes, *task_instances_router.routes, *dags_router.routes]
    logged = {
        route.endpoint.__name__
        for route in routes
        if any("action_logging" in item.dependency.__qualname__ for item in route.dependencies)
    }
    assert logged >= {*MARKS, *PAUSES}


@pytest.mark.parametrize(
    ("event", "extra", "task", "what"),
    [
        ("patch_dag_run", {"state": "failed"}, None, "marked failed"),
        ("patch_task_instance", {"new_state": "success", "include_upstream": False}, "score", "marked success"),
        ("patch_dag", {"is_paused": True}, None, "paused"),
        ("patch_dag", {"is_paused": False}, None, "unpaused"),
    ],
)
def test_a_mark_has_what_who_and_when(event: str, extra: dict[str, Any], task: str | None, what: str) -> None:
    assert mark_of(entry(event, extra, task)) == Mark(what, "ada", "2024-02-11T08:00:00Z", task or "")


def test_a_note_is_no_mark() -> None:
    assert mark_of(entry("patch_dag_run", {"note": "seen"})) is None
