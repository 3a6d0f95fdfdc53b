"""Grafana's dashboard, made from the table of metrics: ``python include/monitoring/dashboard.py`` writes it anew."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nightshift.metrics import METRICS, Metric

FILE = Path(__file__).parent / "grafana" / "dashboards" / "nightshift.json"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
UNITS = {"seconds": "s", "days": "d"}
WIDTH, HEIGHT, ACROSS = 8, 7, 3
# What the nights' own metrics do not show: title, unit, query, legend.
AIRFLOW = (
    ("Heartbeats of the scheduler, a second", "short", "rate(airflow_scheduler_heartbeat[5m])", "scheduler"),
    ("Files with import errors", "short", "airflow_dag_processing_import_errors", "files"),
    ("Tasks that wait for a slot", "short", "airflow_executor_queued_tasks", "queued"),
    ("Tasks that run", "short", "airflow_executor_running_tasks", "running"),
    ("Open slots of the pools", "short", "airflow_pool_open_slots", "{{pool_name}}"),
    ("Tasks that ended, an hour", "short", "sum by (state) (increase(airflow_ti_finish[1h]))", "{{state}}"),
)


def dashboard() -> dict[str, Any]:
    """The whole document; equal for equal metrics."""
    panels = [
        *map(_of, METRICS.values()),
        *(_panel(title, "", unit, {q: legend}) for title, unit, q, legend in AIRFLOW),
    ]
    pipeline = {
        "name": "pipeline",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(nightshift_step_seconds_count, pipeline)", "refId": "pipeline"},
        "includeAll": True,
        "multi": True,
        "refresh": 2,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "uid": "nightshift",
        "title": "Nightshift",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": [pipeline]},
        "panels": list(_placed(panels)),
    }


def _of(metric: Metric) -> dict[str, Any]:
    name, chosen = f"nightshift_{metric.name}", '{pipeline=~"$pipeline"}'
    by, legend = ", ".join(metric.tags), " ".join(f"{{{{{tag}}}}}" for tag in metric.tags)
    if metric.kind == "gauge":
        queries = {f"max by ({by}) ({name}{chosen})": legend}
    elif metric.kind == "count":
        queries = {f"sum by ({by}) (increase({name}{chosen}[1h]))": legend}
    else:
        rates = f"sum by (le, {by}) (rate({name}_bucket{chosen}[1h]))"
        queries = {f"histogram_quantile({part}, {rates})": f"{legend} p{part[2:]:0<2}" for part in ("0.5", "0.95")}
    hope = {"higher": " Higher is better.", "lower": " Lower is better."}.get(metric.direction, "")
    text = f"{metric.description} Unit: {metric.unit}.{hope} From: {metric.steps}."
    title = metric.name.replace("_", " ").capitalize() + (" an hour" if metric.kind == "count" else "")
    return _panel(title, text, UNITS.get(metric.unit, "short"), queries)


def _panel(title: str, text: str, unit: str, queries: dict[str, str]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query, "legendFormat": legend}
        for number, (query, legend) in enumerate(queries.items())
    ]
    return {
        "type": "timeseries",
        "title": title,
        "description": text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _placed(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, panel in enumerate(panels):
        row, column = divmod(number, ACROSS)
        yield {"id": number + 1, "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT}, **panel}


def text() -> str:
    """The document as the file has it."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
