"""The configuration of statsd-exporter, Prometheus and Grafana: their checkers, and that all names are known."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from nightshift.metrics import METRICS
from tests.conftest import PROJECT
from tests.needs import needs

FOLDER = PROJECT / "include" / "monitoring"
DASHBOARD = FOLDER / "grafana" / "dashboards" / "nightshift.json"
PROGRAMS = Path.home() / ".cache" / "nightshift-stand-ins"
EXPORTER = shutil.which("statsd_exporter") or shutil.which("statsd_exporter", path=PROGRAMS)
# Prometheus makes these of a histogram.
OF_TIMINGS = ("bucket", "count", "sum")
AIRFLOW = {
    "airflow_scheduler_heartbeat",
    "airflow_dag_processing_import_errors",
    "airflow_executor_queued_tasks",
    "airflow_executor_running_tasks",
    "airflow_pool_open_slots",
    "airflow_ti_finish",
}


def ours() -> set[str]:
    """The names under which Prometheus has the metrics of the table."""
    timings = {f"nightshift_{m.name}_{end}" for m in METRICS.values() if m.kind == "timing" for end in OF_TIMINGS}
    return timings | {f"nightshift_{m.name}" for m in METRICS.values() if m.kind != "timing"}


def queries() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def names(query: str) -> set[str]:
    return set(re.findall(r"\b(?:nightshift|airflow)_\w+", query))


@pytest.mark.process
def test_the_dashboard_is_that_of_the_table_of_metrics() -> None:
    argv = [sys.executable, "-c", "import dashboard, sys; sys.stdout.write(dashboard.text())"]
    made = subprocess.run(argv, cwd=FOLDER, capture_output=True, text=True, check=True).stdout
    assert made == DASHBOARD.read_text(), "run `python include/monitoring/dashboard.py`"


def test_panels_and_alerts_ask_for_metrics_that_exist() -> None:
    asked = set().union(*map(names, [*queries(), *(rule["expr"] for rule in rules())]))
    assert asked - ours() == AIRFLOW


def test_every_metric_has_a_panel() -> None:
    asked = set().union(*map(names, queries()))
    assert [name for name in METRICS if not any(found.startswith(f"nightshift_{name}") for found in asked)] == []


@pytest.mark.parametrize("query", queries())
def test_a_panel_groups_by_labels_that_its_metric_has(query: str) -> None:
    [name] = names(query)
    found = re.search(r"by \(([^)]*)\)", query)
    if name in AIRFLOW or found is None:
        return
    metric = METRICS[re.sub(r"_bucket$", "", name.removeprefix("nightshift_"))]
    assert set(found.group(1).split(", ")) - {"le"} <= set(metric.tags)


def test_an_alert_says_what_to_do() -> None:
    assert [rule["alert"] for rule in rules() if set(rule["annotations"]) != {"summary", "do"}] == []


@pytest.mark.process
@needs(
    shutil.which("promtool"), "no promtool (Debian's prometheus)", "Prometheus takes its configuration, and alerts fire"
)
@pytest.mark.parametrize(
    "argv", ["check config prometheus.yaml", "check rules alerts.yaml", "test rules alerts_test.yaml"]
)
def test_prometheus_takes_its_configuration(argv: str, tmp_path: Path) -> None:
    for file in [*FOLDER.glob("*.yaml"), Path(__file__).parent / "alerts_test.yaml"]:
        shutil.copy(file, tmp_path)
    done = subprocess.run(["promtool", *argv.split()], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.process
@needs(
    EXPORTER, "no statsd_exporter (go install github.com/prometheus/statsd_exporter@v0.31.0)", "it takes its mapping"
)
def test_the_exporter_takes_its_configuration() -> None:
    argv = [str(EXPORTER), "--check-config", f"--statsd.mapping-config={FOLDER / 'statsd.yaml'}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
