"""Fixtures for every test: settings below a temporary folder, and a small pipeline that is not the demo's."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from nightshift.lineage import code_version
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline

pytest_plugins = ["tests.live", "tests.mlflow_server", "tests.needs", "tests.postgres", "tests.purity"]
# What they assert is told as a test's own assertions are.
pytest.register_assert_rewrite("tests.nights", "tests.waiting")

# A busy machine is slow now and then: how long an example took says nothing.
hypothesis.settings.register_profile("nightshift", deadline=None)
hypothesis.settings.load_profile("nightshift")

PROJECT = Path(__file__).resolve().parents[1]
# A process of pytest-xdist has a main module without a file. pyspark.sql.connect takes such a process for a doctest
# and ends it, without a word, with status 0.
sys.modules["__main__"].__dict__.setdefault("__file__", __file__)
# A shell that starts the tests in the background makes them, and all that they start, deaf to Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Fixtures that are slow to make, and made once for each process of a session of tests.
SLOW = ("live_platform", "half_up", "spark", "landed", "mlflow_server", "year")
# Groups of tests in the order of their length: what takes longest begins first.
ORDER = ("nights", "spark", "platform", "mlflow_server", "half_up", "year")


def pytest_sessionstart() -> None:
    """Asks git for the commit, which a process does once: whichever test came first would start it."""
    code_version(PROJECT)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share something slow run in one process, one by one; the nights have a platform of their own.

    Property tests are left out of coverage.
    """
    for item in items:
        if hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")  # the same lines a hundred times: to count them takes half as long again
        if item.get_closest_marker("xdist_group"):
            continue
        used = next((name for name in SLOW if name in getattr(item, "fixturenames", ())), None)
        if used is not None:
            nights = "nights" if item.path.parent.name == "e2e" else "platform"
            group = {"live_platform": nights, "landed": "spark"}.get(used, used)
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[int, bool]:
    """Its group's turn; in a group, what looks at a platform as it was started comes before what works on it."""
    mark = item.get_closest_marker("xdist_group")
    return (ORDER.index(mark.args[0]) if mark else len(ORDER), item.path.parent.name == "e2e")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose ``var`` is the test's own folder."""
    return replace(Settings.from_env({"NIGHTSHIFT_VAR": str(tmp_path / "var")}), home=PROJECT)


def spec_document(**changes: Any) -> dict[str, Any]:
    """The spec ``parcels`` as plain data: hours late of parcels, with a lagged source and a snapshot."""
    document: dict[str, Any] = {
        "pipeline": "parcels",
        "owner": "logistics",
        "description": "How many hours late will a parcel be?",
        "schedule": {"cutoff": "02:00", "timezone": "America/New_York", "start": "2024-02-01", "end": "2024-03-31"},
        "inputs": {
            "orders": {
                "path": "parcels/orders/ds={ds}/*.csv",
                "key": ["parcel_id"],
                "gate": {"policy": "quarantine", "limit": 0.5},
                "columns": {
                    "parcel_id": {"type": "string"},
                    "depot": {"type": "string", "allowed": ["N", "S"], "public": True},
                    "weight": {"type": "number", "min": 0, "max": 100, "nulls": 0.5},
                },
            },
            "deliveries": {
                "path": "parcels/deliveries/ds={ds}/*.csv",
                "lag": 1,
                "lookback": 3,
                "missing": {"allow": 1},
                "key": ["parcel_id"],
                "columns": {
                    "parcel_id": {"type": "string"},
                    "depot": {"type": "string"},
                    "hours_late": {"type": "number", "nulls": 1.0},
                },
            },
            "depots": {
                "path": "parcels/depots/as_of={ds}/*.csv",
                "snapshot": True,
                "key": ["depot"],
                "columns": {"depot": {"type": "string"}, "doors": {"type": "integer", "min": 1}},
            },
        },
        "features": {
            "spine": "orders",
            "key": ["parcel_id"],
            "columns": {
                "depot": {"type": "category"},
                "weight": {"type": "number", "nulls": 1.0},
                "doors": {"type": "integer", "nulls": 1.0},
                "late_3d": {"type": "number", "nulls": 1.0},
            },
        },
        "label": {"column": "hours", "objective": "regression", "lag": 1, "inputs": ["deliveries"]},
        "training": {"window": 20, "min_days": 6, "holdout": 2, "rounds": 30, "early_stopping": 5, "seed": 1},
        "promotion": {"metric": "rmse", "baseline": ["depot"]},
    }
    return {**document, **changes}


def make_pipeline(**changes: Any) -> Pipeline:
    """The pipeline ``parcels``, with some of its top-level keys changed."""
    import json

    return Pipeline.model_validate_json(json.dumps(spec_document(**changes)))


@pytest.fixture
def pipeline() -> Pipeline:
    """The pipeline ``parcels``."""
    return make_pipeline()
