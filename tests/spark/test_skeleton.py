"""What ``nightshift new`` writes runs in Spark as it is, on rows made from its contracts."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from nightshift.settings import Settings
from nightshift.specs.load import load
from nightshift.specs.skeleton import write_skeleton
from tests.spark import generated
from tests.spark.future_blind import changed_columns, days_to_try, differences, rows_of
from tests.spark.typed import build_plan

pytestmark = pytest.mark.spark


def test_a_skeleton_computes_features_and_labels_and_is_blind_to_the_future(
    spark: Any, tmp_path: Path, feature_module: Any
) -> None:
    settings = Settings.from_env({"NIGHTSHIFT_HOME": str(tmp_path / "home"), "NIGHTSHIFT_VAR": str(tmp_path / "var")})
    spec, module = write_skeleton(settings, "just_begun")
    feature_module("just_begun", module.read_text())
    pipeline = load(spec)
    start = pipeline.schedule.start
    generated.land(settings, pipeline, start - generated.reach(pipeline), start + timedelta(days=3))
    days = days_to_try(settings, pipeline, 2)

    plan = build_plan(settings, pipeline, days, days)
    features, labels = (rows_of(spark, plan, target) for target in plan.targets)

    assert features.num_rows == labels.num_rows == len(days) * generated.ROWS
    assert pc.max(features["kind_items_28d"]).as_py() > pc.max(features["kind_items_7d"]).as_py() > 0
    assert changed_columns(spark, settings, pipeline, days[-1]) == []
    apart = replace(settings, lake=str(tmp_path / "lake"))
    plan = build_plan(apart, pipeline, days[:1])
    alone = rows_of(spark, plan, plan.targets[0])
    assert differences(features.filter(pc.equal(features["ds"], str(days[0]))), alone, ("item_id",)) == []
