"""What Prometheus' rules say, where there is an Alertmanager: it groups and silences, the watcher tells."""

from collections.abc import Mapping
from typing import Any

from nightshift.errors import PlatformError
from nightshift.notices.trouble import Trouble, first_line
from nightshift.run_state import RunState
from nightshift.settings import Settings

# Its receiver of what the watcher does not see for itself: include/monitoring/alertmanager.yaml.
_ASKED = {"receiver": "watcher", "active": "true", "silenced": "false", "inhibited": "false"}


def firing(settings: Settings) -> list[Trouble]:
    """The alerts that fire and that nobody silenced. Raises PlatformError where Alertmanager does not answer."""
    import httpx

    if not settings.alertmanager:
        return []
    try:
        answer = httpx.get(f"{settings.alertmanager}/api/v2/alerts", params=_ASKED, timeout=10)
        return [_trouble(alert) for alert in answer.raise_for_status().json()]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise PlatformError(
            f"Alertmanager does not answer as it should ({type(error).__name__})",
            where=settings.alertmanager,
            do="look whether it runs, or correct NIGHTSHIFT_ALERTMANAGER",
        ) from None


def _trouble(alert: Mapping[str, Any]) -> Trouble:
    labels, words = alert["labels"], alert["annotations"]
    name, pipeline = str(labels["alertname"]), str(labels.get("pipeline", ""))
    return Trouble(
        events=("alert",),
        state=RunState.FAILED if labels.get("severity") == "page" else RunState.OK_WITH_WARNINGS,
        pipeline=pipeline,
        dag=" ".join(filter(None, (name, pipeline))),
        ds="",
        cause=first_line(str(words.get("summary", name))),
        next=first_line(str(words.get("do", "nightshift status"))),
        alike=f"alert {name}",
    )
