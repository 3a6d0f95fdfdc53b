"""What must hold of every pipeline, from its spec alone: a stranger's as well as those that ship.

Days come from the demo's landing, from this machine's, or are made from the spec's contracts.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nightshift.demo import LANDERS
from nightshift.errors import NightshiftError
from nightshift.settings import Settings
from nightshift.specs.load import load
from nightshift.specs.model import Pipeline
from tests.conftest import PROJECT
from tests.needs import skip
from tests.spark.future_blind import changed_columns, days_to_try, differences, rows_of
from tests.spark.typed import build_plan

pytestmark = pytest.mark.spark

TURBINES = PROJECT / "tests" / "e2e" / "turbines"
SPECS = [*sorted((PROJECT / "include" / "pipelines").glob("*.yaml")), TURBINES / "turbines.yaml"]

READS_TODAY = """
    today = inputs["readings"].where(F.col("ds").isin(list(days)))
    total = today.groupBy("ds", "site").agg(F.max("energy").alias("today"))
    rows = rows.join(total, ["ds", "site"], "left").withColumn("wind_cubed", F.coalesce("today", "wind_cubed"))
    return rows.drop("today")
"""

Landing = Callable[[Pipeline], Settings]


@pytest.fixture(params=SPECS, ids=lambda path: path.stem)
def pipeline(request: pytest.FixtureRequest, feature_module: Any) -> Pipeline:
    if request.param.parent == TURBINES:
        feature_module("turbines", (TURBINES / "feature_module.py").read_text())
    return load(request.param)


def tried(pipeline: Pipeline, landing_of: Landing) -> tuple[Settings, list[date]]:
    settings = landing_of(pipeline)
    days = days_to_try(settings, pipeline, 3)
    assert days
    return settings, days


@contextmanager
def suited(settings: Settings, pipeline: Pipeline) -> Iterator[None]:
    """Skips a module that takes more for granted than its contracts say, where rows had to be made from these."""
    try:
        yield
    except NightshiftError as error:
        if settings.landing == Settings.from_env().landing or pipeline.name in (*LANDERS, "turbines"):
            raise
        skip(
            f"rows made from its contracts do not suit it; land some days. {error}",
            f"{pipeline.name} is honest in time",
        )


def built(spark: Any, settings: Settings, pipeline: Pipeline, days: Sequence[date]) -> dict[str, pa.Table]:
    plan = build_plan(settings, pipeline, days, days)
    return {target.dataset: rows_of(spark, plan, target) for target in plan.targets}


def test_features_are_blind_to_the_future(spark: Any, pipeline: Pipeline, landing_of: Landing) -> None:
    settings, days = tried(pipeline, landing_of)

    with suited(settings, pipeline):
        assert {ds: changed_columns(spark, settings, pipeline, ds) for ds in days} == {ds: [] for ds in days}


@pytest.mark.parametrize(
    "pipeline",
    [path for path in SPECS if path.stem != "flights"],  # test_ranges.py compares its files, byte by byte
    ids=lambda path: path.stem,
    indirect=True,
)
def test_rows_of_a_day_do_not_depend_on_the_range(spark: Any, pipeline: Pipeline, landing_of: Landing) -> None:
    settings, days = tried(pipeline, landing_of)
    with suited(settings, pipeline):
        together = built(spark, settings, pipeline, days)
        alone = {ds: built(spark, settings, pipeline, [ds]) for ds in days}
    for dataset, rows in together.items():
        assert rows.num_rows > 0
        for ds in days:
            same_day = rows.filter(pc.equal(rows["ds"], ds.isoformat()))
            assert differences(same_day, alone[ds][dataset], pipeline.features.key) == [], (dataset, ds)


def test_on_days_made_from_the_spec_a_cheat_is_found(spark: Any, landing_of: Landing, feature_module: Any) -> None:
    honest = (TURBINES / "feature_module.py").read_text()
    cheat = honest.replace("def build(", "def honest_build(")
    feature_module(
        "turbines", f"{cheat}\n\ndef build(inputs, days):\n    rows = honest_build(inputs, days)\n{READS_TODAY}"
    )
    pipeline = load(TURBINES / "turbines.yaml")
    settings, days = tried(pipeline, landing_of)

    assert changed_columns(spark, settings, pipeline, days[0]) == ["wind_cubed"]
