import hashlib
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from nightshift import storage
from nightshift.errors import GateFailed
from nightshift.job import Job
from nightshift.model_manifest import encode, model_uri, read_manifest
from nightshift.tables import state
from nightshift.training import challenger as made
from nightshift.training import fit
from nightshift.training import training_set as sets
from nightshift.training.run import gate_training, train, training_set
from nightshift.training.split import split
from nightshift.training.training_set import TrainingSet
from tests.conftest import PROJECT, spec_document
from tests.unit.training.conftest import window
from tests.unit.training.lake import day_of_rows, publish, publish_rows, with_spec

ALONE = """
import json, sys
from datetime import date
from pathlib import Path
from nightshift.errors import GateFailed
from nightshift.job import Job
from nightshift.settings import Settings
from nightshift.training.run import train
from tests.conftest import make_pipeline
settings = Settings.from_env(dict(item.split("=", 1) for item in sys.argv[1:]))
job = Job(settings, make_pipeline(), date(2024, 2, 21), run_id="retrain")
print(train(job).status, job.left("train")["sha256"])
"""

PARAMS = {"objective": "reg:squarederror", "eval_metric": "rmse", "tree_method": "hist", "nthread": 1, "seed": 1}


@pytest.fixture
def pinned(job: Job) -> Job:
    """A job whose training set is pinned."""
    publish(job, window(job))
    training_set(job)
    job.leave("gate_training", {"refused": ""})
    return job


def rows_of(job: Job) -> TrainingSet:
    return TrainingSet.read(job.left("training_set")["training_set"])


@pytest.mark.process
def test_same_rows_give_the_same_bytes_in_two_processes(pinned: Job) -> None:
    settings = pinned.settings
    found = []
    for models in ("first", "second"):
        where = {
            "NIGHTSHIFT_HOME": settings.home,
            "NIGHTSHIFT_VAR": settings.var,
            "NIGHTSHIFT_MODELS": settings.var / models,
        }
        argv = [sys.executable, "-c", ALONE, *(f"{name}={value}" for name, value in where.items())]
        run = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=PROJECT)
        found.append(run.stdout.split())
    train(pinned)
    assert found[0] == found[1] == ["done", pinned.left("train")["sha256"]]


def test_files_are_named_by_their_content(pinned: Job) -> None:
    outcome = train(pinned)

    manifest = read_manifest(pinned.settings.models, pinned.left("train")["sha256"])
    for digest in (manifest.sha256, manifest.evaluated_sha256):
        content = storage.read_bytes(model_uri(pinned.settings.models, digest))
        assert hashlib.sha256(content).hexdigest() == digest
        found = booster(pinned, digest)
        assert found.feature_names == [column.name for column in manifest.columns]
        assert found.num_boosted_rounds() == manifest.rounds
        assert found.attr("nightshift_fingerprint") == manifest.fingerprint
    assert manifest.sha256 != manifest.evaluated_sha256
    assert manifest.holdout == ("2024-02-19", "2024-02-20")
    assert manifest.categories == {"depot": ("N", "S", "W")}
    assert manifest.training_set == rows_of(pinned).fingerprint
    assert outcome.message == (
        f"model {manifest.sha256[:16]} with recipe {manifest.fingerprint} trained, {manifest.rounds} rounds"
    )


def test_known_recipe_is_not_trained_again(pinned: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    train(pinned)
    sha = pinned.left("train")["sha256"]
    monkeypatch.setattr(fit, "fit", lambda *_: pytest.fail("it was trained again"))

    outcome = train(replace(pinned, attempt="another"))

    assert outcome.status == "up_to_date"
    assert pinned.left("train") == {
        "sha256": sha,
        "fingerprint": made.model_recipe(pinned, rows_of(pinned)),
        "known": True,
    }
    assert "was trained before" in outcome.message


def test_another_xgboost_trains_anew_and_is_named_as_the_cause(pinned: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older model stays known: two versions of Python on one lake do not take turns."""
    train(pinned)
    first = pinned.left("train")["fingerprint"]
    here = made.libraries()
    name = next(name for name in here if name.startswith("xgboost"))
    with monkeypatch.context() as patched:
        patched.setattr(made, "_xgboost_version", lambda: "9.9")
        patched.setattr(made, "libraries", lambda: {**here, name: "9.9", "numpy": "9.9"})
        outcome = train(replace(pinned, attempt="another"))
        assert outcome.status == "done"
        assert f"anew since its libraries changed: {name} 9.9 (then {here[name]})" in outcome.message
        assert train(replace(pinned, attempt="a third")).status == "up_to_date"
    monkeypatch.setattr(made, "libraries", lambda: {**here, "numpy": "9.9"})
    assert train(replace(pinned, attempt="a fourth")).status == "up_to_date"
    assert pinned.left("train")["fingerprint"] == first


def test_lost_file_is_made_again(pinned: Job) -> None:
    train(pinned)
    sha = pinned.left("train")["sha256"]
    storage.local_path(model_uri(pinned.settings.models, sha)).unlink()
    assert train(pinned).status == "done"
    assert pinned.left("train")["sha256"] == sha
    assert storage.exists(model_uri(pinned.settings.models, sha))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"seed": 2}, False),
        ({"params": {"max_depth": 2}}, False),
        ({"rounds": 29}, False),
        ({"holdout": 3}, False),
        ({"max_blocked": 1}, True),
        ({"min_days": 7}, True),
        ({"window": 30}, True),
    ],
)
def test_what_a_recipe_depends_on(pinned: Job, change: dict[str, Any], same: bool) -> None:
    before = made.model_recipe(pinned, rows_of(pinned))
    changed = with_spec(pinned, training={**spec_document()["training"], **change})
    assert (made.model_recipe(changed, rows_of(pinned)) == before) is same


def test_promotion_rule_is_not_in_the_recipe(pinned: Job) -> None:
    changed = with_spec(pinned, promotion={"metric": "mae", "skill": 0.5})
    assert made.model_recipe(changed, rows_of(pinned)) == made.model_recipe(pinned, rows_of(pinned))


def test_same_trees_of_another_recipe_are_another_file(pinned: Job) -> None:
    """A refactored feature module gives the same rows: its model must not share the manifest of the old code."""
    train(pinned)
    first = pinned.left("train")["sha256"]
    publish(pinned, window(pinned), fingerprint="f1")
    training_set(pinned)
    train(pinned)
    second = pinned.left("train")["sha256"]

    assert second != first
    assert dump(pinned, first) == dump(pinned, second)


def test_evaluated_never_sees_the_holdout(pinned: Job) -> None:
    """Other labels on the holdout change the model, and leave the evaluated booster's trees as they are."""
    train(pinned)
    before = read_manifest(pinned.settings.models, pinned.left("train")["sha256"])
    publish(pinned, list(before.holdout), signal=-3.0, fingerprint="f1")
    training_set(pinned)
    train(pinned)
    after = read_manifest(pinned.settings.models, pinned.left("train")["sha256"])

    assert dump(pinned, after.evaluated_sha256) == dump(pinned, before.evaluated_sha256)
    assert dump(pinned, after.sha256) != dump(pinned, before.sha256)


def test_model_learns(pinned: Job) -> None:
    train(pinned)
    manifest = read_manifest(pinned.settings.models, pinned.left("train")["sha256"])
    rows = rows_of(pinned)
    day = next(day for day in rows.days if day.ds == manifest.holdout[0])
    table = sets.labelled(pinned.pipeline, rows, day, [column.name for column in manifest.columns])
    found = booster(pinned, manifest.evaluated_sha256).inplace_predict(
        encode(table, manifest.columns, manifest.categories)
    )
    assert np.corrcoef(found, table["hours"].to_numpy())[0, 1] > 0.8


def test_unseen_category_is_null(pinned: Job) -> None:
    train(pinned)
    manifest = read_manifest(pinned.settings.models, pinned.left("train")["sha256"])
    values = {"weight": [1.0] * 2, "doors": [1] * 2, "late_3d": [1.0] * 2}
    rows = pa.table({"depot": pa.array(["nowhere", None], pa.string()), **values})
    matrix = encode(rows, manifest.columns, manifest.categories)
    assert np.isnan(matrix[:, 0]).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_days_one_by_one_are_as_good_as_all_at_once(threads: int) -> None:
    """The trees of a matrix built day by day; an empty day does no harm. One bin a value: no sketch differs."""
    random = np.random.default_rng(1)
    days = {
        f"2024-01-{n:02d}": random.integers(0, 50, (0 if n == 3 else 40, 3)).astype(np.float32) for n in range(1, 9)
    }

    def read(ds: str) -> tuple[fit.Matrix, fit.Matrix]:
        return days[ds], days[ds][:, 0] * 2 + days[ds][:, 1]

    params = {
        "objective": "reg:squarederror",
        "eval_metric": "rmse",
        "tree_method": "hist",
        "nthread": threads,
        "seed": 1,
    }
    parts = split(list(days), 2)
    fitted = fit.fit(parts, read, fit.Recipe("f", ["a", "b", "c"], params, 15, 3))

    whole = np.concatenate(list(days.values()))
    labels = whole[:, 0] * 2 + whole[:, 1]
    expected = xgb.train(params, xgb.QuantileDMatrix(whole, labels, nthread=threads), fitted.rounds)
    found = xgb.Booster(model_file=bytearray(fitted.model))
    np.testing.assert_array_equal(found.inplace_predict(whole), expected.inplace_predict(whole))


def test_early_stopping_ends_boosting_on_noise() -> None:
    random = np.random.default_rng(1)
    days = {f"2024-01-{n:02d}": random.normal(size=(200, 3)).astype(np.float32) for n in range(1, 9)}
    noise = {ds: random.normal(size=200).astype(np.float32) for ds in days}
    recipe = fit.Recipe("f", ["a", "b", "c"], PARAMS, 400, 5)
    fitted = fit.fit(split(list(days), 2), lambda ds: (days[ds], noise[ds]), recipe)
    assert fitted.rounds < 20


def test_error_while_reading_a_day_is_the_reader_s_own() -> None:
    def read(ds: str) -> tuple[fit.Matrix, fit.Matrix]:
        raise OSError(f"{ds} is gone")

    with pytest.raises(OSError, match="2024-01-01 is gone"):
        fit.fit(
            split(["2024-01-01", "2024-01-02", "2024-01-03"], 1),
            read,
            fit.Recipe("f", ["a"], {"nthread": 1}, 5, 2),
        )


def dump(job: Job, digest: str) -> list[str]:
    return list(booster(job, digest).get_dump())


def booster(job: Job, digest: str) -> xgb.Booster:
    return xgb.Booster(model_file=bytearray(storage.read_bytes(model_uri(job.settings.models, digest))))


def spoilt(job: Job, ds: str, dataset: str, column: str, value: float) -> None:
    """Publish the day again as it was before gates asked for 32-bit floats, with one cell changed."""
    tables_of = dict(zip(("features", "labels"), day_of_rows(job, ds, 120), strict=True))
    table = tables_of[dataset]
    cells = table[column].to_pylist()
    place = table.schema.get_field_index(column)
    table = table.set_column(place, table.schema.field(place), pa.array([value, *cells[1:]], pa.float64()))
    publish_rows(job, dataset, ds, table, fingerprint="f1")


@pytest.mark.parametrize(
    ("dataset", "column", "value"),
    [("features", "late_3d", np.inf), ("features", "weight", 1e39), ("labels", "hours", -np.inf)],
)
def test_a_published_day_that_no_booster_can_learn_from_is_left_out_and_named(
    job: Job, dataset: str, column: str, value: float
) -> None:
    days = window(job)
    publish(job, days)
    spoilt(job, days[3], dataset, column, value)

    training_set(job)

    rows = rows_of(job)
    assert days[3] not in [day.ds for day in rows.days]
    assert rows.left_out == {days[3]: f"column {column} has a value beyond 32-bit floats"}
    assert job.left("training_set")["refused"] == ""


def test_more_such_days_than_may_be_blocked_are_a_recorded_refusal(job: Job) -> None:
    days = window(job)
    publish(job, days)
    for day in days[:4]:
        spoilt(job, day, "features", "weight", np.inf)

    outcome = training_set(job)

    assert outcome.status == "nothing"
    assert "gates blocked 4 days of the window" in job.left("training_set")["refused"]


def test_the_matrix_never_has_an_infinite_number(pinned: Job) -> None:
    rows = rows_of(pinned)
    spoilt(pinned, rows.days[1].ds, "features", "weight", 1e39)
    files = state(pinned.table("features")).files(rows.days[1].ds)
    days = (rows.days[0], replace(rows.days[1], feature_files=files), *rows.days[2:])
    with pytest.raises(GateFailed, match=f"day {days[1].ds}: column weight has a value that is infinite"):
        made.trained(pinned, replace(rows, days=days))


def test_values_that_fall_together_over_the_window_alone_are_a_warning(job: Job) -> None:
    days = window(job)
    publish(job, days)
    for number, day in enumerate(days):
        features, _ = day_of_rows(job, day, 120)
        same = pa.array([2**24 + number % 2] * 120, pa.int64())
        place = features.schema.get_field_index("doors")
        publish_rows(job, "features", day, features.set_column(place, features.schema.field(place), same), "f1")
    training_set(job)

    outcome = gate_training(job)

    assert outcome.counts["warnings"] == 1
    assert "gate warned" in outcome.message


def test_the_order_of_columns_in_a_spec_trains_nothing_anew(pinned: Job) -> None:
    train(pinned)
    features = spec_document()["features"]
    turned = {**features, "columns": dict(reversed(features["columns"].items()))}
    outcome = train(replace(with_spec(pinned, features=turned), attempt="another"))
    assert outcome.status == "up_to_date"
