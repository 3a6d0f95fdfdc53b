"""A second pipeline on other data that no line of the library knows, beside those of the platform's other tests.

Regression, hourly rows, a key of two columns, Parquet, a lag of two days, Berlin time.
"""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from nightshift import tables
from nightshift.platform.airflow_client import Run
from nightshift.settings import Settings
from nightshift.specs.calendar import days
from tests.e2e.published import job, manifest_of, published
from tests.e2e.turbines import landing as turbines

pytestmark = [pytest.mark.platform, pytest.mark.spark, pytest.mark.xdist_group("platform")]

MONDAY = date(2024, 3, 25)


def test_a_pipeline_on_other_data_needs_no_line_of_the_library(
    live: Settings, repair: Callable[..., list[Run]]
) -> None:
    home, given = live.home, Path(__file__).parent / "turbines"
    shutil.copy(given / "feature_module.py", home / "spark_jobs" / "features" / "turbines.py")
    shutil.copy(given / "turbines.yaml", home / "include" / "pipelines" / "turbines.yaml")
    turbines.land_sites(Path(live.landing), date(2024, 1, 1))
    turbines.land(Path(live.landing), date(2024, 3, 1), date(2024, 3, 28))
    repair("turbines__retrain", MONDAY, MONDAY)
    nights = days(date(2024, 3, 26), date(2024, 3, 27))
    repair("turbines", nights[0], nights[-1])
    for ds in nights:
        partition = published(live, "turbines", "predictions", ds)
        assert partition.rows == 96
        assert len(partition.files) == 4
        rows = tables.read(job(live, "turbines", ds).table("predictions"), partition.files)
        assert rows.column_names == ["site", "hour", "score", "model"]
        # 96 rows are more than `scoring.gate.rows`: the gate's own Spark job has answered.
        gate = manifest_of(live, "turbines", "predictions", ds).gate
        assert gate.status == "passed"
        attempt = gate.report.rpartition("/")[2].removesuffix(".json")
        asked = Path(job(live, "turbines", ds).table("_runs")).rglob(f"audit-predictions-{ds}-{attempt}-answer.json")
        assert len(list(asked)) == 1
    assert published(live, "turbines", "labels", date(2024, 3, 25))
