"""What Airflow gets from Nightshift: the timetable, the order of tasks, their buttons, notes of runs, and pages.

Every process of Airflow loads this file, so the pages' web framework is imported with their first request.
"""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from nightshift.orchestration import notes
from nightshift.orchestration.links import LINKS, RunLink
from nightshift.orchestration.priority import TonightFirst
from nightshift.orchestration.timetable import CutoffTimetable


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application below ``/nightshift``."""
    from nightshift.orchestration.pages import application

    await application()(scope, receive, send)


class NightshiftPlugin(AirflowPlugin):
    """Found by Airflow in the plugins folder."""

    name = "nightshift"
    timetables: ClassVar[list[Any]] = [CutoffTimetable]
    priority_weight_strategies: ClassVar[list[Any]] = [TonightFirst]
    operator_extra_links: ClassVar[list[Any]] = list(LINKS)
    global_operator_extra_links: ClassVar[list[Any]] = [RunLink()]
    listeners: ClassVar[list[Any]] = [notes]
    fastapi_apps: ClassVar[list[Any]] = [{"app": pages, "url_prefix": "/nightshift", "name": "Nightshift"}]
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Tonight",
            "href": "/nightshift/tonight",
            "destination": "nav",
            "url_route": "tonight",
            "nav_top_level": True,
        },
        {
            "name": "Pipeline",
            "href": "/nightshift/pipelines/{DAG_ID}",
            "destination": "dag",
            "url_route": "nightshift-pipeline",
        },
        {
            "name": "What it did",
            "href": "/nightshift/runs/{DAG_ID}/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "nightshift-run",
        },
    ]
