"""Everything else that a night may be given and should not be: modules, models, labels, days, names."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from nightshift import storage, tables
from nightshift.database import connect_to
from nightshift.errors import PlatformError
from nightshift.features.build import plan_features
from nightshift.features.build_plan import read_plan
from nightshift.features.recipes import code_of, feature_spec
from nightshift.job import Job
from nightshift.model_manifest import manifest_uri, read_manifest
from nightshift.registry.ledger import Ledger, NewEntry
from nightshift.runs import run_folder
from nightshift.specs.calendar import label_day, training_days
from nightshift.training.challenger import fingerprint_uri, known
from tests.bad_input.conftest import DS, Night
from tests.conftest import make_pipeline, spec_document
from tests.dags.conftest import TaskInstance, execute
from tests.unit.inputs.landed import drop
from tests.unit.scoring.parcels import register, train

COLUMNS = {"parcel_id": "string", "depot": "category", "weight": "number", "doors": "integer", "late_3d": "number"}


def build(night: Night, keys: list[str], late: list[float] | None = None) -> None:
    """Do what the Spark job does, for features with these keys."""
    _, command = plan_features(night.job)
    assert command is not None
    plan = read_plan(command.plan)
    schema = tables.arrow_schema(COLUMNS)
    rows = pa.record_batch(
        [keys, ["N"] * len(keys), [1.0] * len(keys), [3] * len(keys), late or [0.0] * len(keys)], schema=schema
    )
    for manifest in plan.manifests:
        if manifest.dataset == "features":
            table = night.job.table("features")
            files = tables.write_partition(table, plan.attempt, manifest.ds, manifest.fingerprint, schema, [rows])
            tables.leave_staged(table, replace(manifest, files=files))


def champion(night: Night, as_of: date) -> str:
    """A model of the night's code and spec that is champion from the day after; the first digits of its SHA-256."""
    job = night.job
    code = code_of(job.settings.home, job.pipeline)["features"]
    manifest = register(job.settings.models, train(), feature_code=code, feature_spec=feature_spec(job.pipeline))
    entry = NewEntry("parcels", "promotion", "test", "test", as_of, as_of + timedelta(days=1), "1", manifest.sha256)
    Ledger.of(job.settings).append(entry)
    return manifest.sha256


def test_a_file_that_has_not_landed_is_waited_for_then_named(night: Night) -> None:
    for path in Path(night.settings.landing, f"parcels/orders/ds={DS}").iterdir():
        path.unlink()
    with pytest.raises(AirflowRescheduleException):
        execute(night.task("inputs_landed"), night.context())
    late = TaskInstance(first_poke=timedelta(hours=6, minutes=1))
    with pytest.raises(AirflowFailException) as caught:
        execute(night.task("inputs_landed"), night.context(late))
    assert str(caught.value) == (
        "Waited for 6:00:00. parcels: source orders lacks 1 of the 1 days that 2024-02-05 reads: 2024-02-05. "
        f"Allowed: 0 absent. What to do: land {night.settings.landing}/parcels/orders/ds=2024-02-05/*.csv."
    )


@pytest.mark.parametrize(
    ("keys", "differences"),
    [
        (["a", "b"], "rows 2, keys of orders 3, lost 1, invented 0, repeated 0"),
        (["a", "b", "B"], "rows 3, keys of orders 3, lost 1, invented 1, repeated 0"),
        (["a", "b", "b"], "rows 3, keys of orders 3, lost 1, invented 0, repeated 1"),
        (["a", "b", "c", "d"], "rows 4, keys of orders 3, lost 0, invented 1, repeated 0"),
    ],
)
def test_a_module_that_loses_or_exchanges_rows_is_blocked(night: Night, keys: list[str], differences: str) -> None:
    night.says("gate_inputs")
    build(night, ["a", "b", "c"])
    night.says("gate_features")
    before = night.seen("features")
    drop(night.settings, f"orders/ds={DS}", "a,N,1", "b,S,2", "c,N,3")  # corrected: the features are stale
    night.says("gate_inputs")
    build(night, keys)
    found = night.fails("gate_features")
    assert not found.retried
    assert found.sentence.startswith(f"parcels/features of 2024-02-05: the gate blocked {len(keys)} rows: ")
    assert differences in found.message
    assert night.seen("features") == before


def test_without_a_champion_the_features_are_published_and_the_first_day_with_one_is_named(night: Night) -> None:
    night.says("gate_inputs")
    build(night, ["a", "b", "c"])
    night.says("gate_features")
    champion(night, as_of=date(2024, 2, 10))
    found = night.fails("plan_scoring")
    assert (found.retried, found.message) == (
        True,
        "parcels: there is no champion as of 2024-02-05. Allowed: the first ds with a champion is 2024-02-11. What to "
        "do: retrain as of an earlier day (`nightshift retrain parcels --as-of DAY`; it takes effect on the day "
        "after), or leave this day out.",
    )
    assert len(night.seen("features")[2]["2024-02-05"]) == 3
    assert night.seen("predictions")[0] == -1


CHANGES: dict[str, tuple[bytes, bytes]] = {
    "a category": (b'"S"', b'"T"'),
    "a number": (b'"rounds": 20', b'"rounds": 21'),
    "a key": (b'"label"', b'"labem"'),
    "its hash": (b'"digest": "', b'"digest": "0'),
    "a bracket": (b"{", b"["),
    "its encoding": (b"parcels", b"parcel\xff"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_manifest_of_a_model_altered_by_one_byte_is_refused(night: Night, change: str) -> None:
    night.says("gate_inputs")
    build(night, ["a", "b", "c"])
    night.says("gate_features")
    sha256 = champion(night, as_of=date(2024, 2, 1))
    path = Path(manifest_uri(night.settings.models, sha256))
    whole = path.read_bytes()
    altered = whole.replace(*CHANGES[change], 1)
    assert altered != whole
    path.write_bytes(altered)
    found = night.fails("plan_scoring")
    assert (found.retried, found.message) == (
        False,
        f"{path}: the manifest of model {sha256[:16]} was altered. What to do: restore the file from the MLflow run.",
    )
    # A retrain does not take such a model for one that it has trained before.
    storage.write_bytes(fingerprint_uri(night.settings.models, "f1"), altered)
    assert known(night.settings.models, "f1") is None
    path.write_bytes(whole)
    assert read_manifest(night.settings.models, sha256).sha256 == sha256
    assert night.says("plan_scoring").startswith("3 rows in 1 shards with version 1 ")


def test_labels_whose_file_has_not_come_fail_alone_until_their_wait_is_over(night: Night) -> None:
    night.spec(label={**spec_document()["label"], "wait": 3660})
    for path in Path(night.settings.landing, "parcels/deliveries/ds=2024-02-04").iterdir():
        path.unlink()
    assert night.says("inputs_landed") == "4 days of 3 sources are there"
    night.says("gate_inputs")
    build(night, ["a", "b", "c"])
    assert night.says("gate_features").startswith("features of 2024-02-05: 3 rows published")
    found = night.fails("gate_labels")
    assert (found.retried, found.message) == (
        True,
        "labels of 2024-02-04 cannot be built: source deliveries has not landed for 2024-02-04; parcels: labels of "
        "2024-02-04 need 1 days of source deliveries, and 1 are not published: 2024-02-04. Allowed: 0 absent. What to "
        "do: land the files at parcels/deliveries/ds={ds}/*.csv, then clear gate_inputs.",
    )
    assert night.seen("labels")[0] == -1
    night.spec()
    assert night.says("gate_labels").startswith("there are no labels of 2024-02-04, and they were waited for 7 days")
    assert night.seen("labels")[0] == -1


@pytest.mark.parametrize("ds", [date.min, date(2024, 1, 1), date(2024, 6, 1), date.max])
def test_a_day_outside_of_the_specs_range_has_nothing_to_do(night: Night, ds: date) -> None:
    outside = night.on(ds)
    assert outside.says("inputs_landed") == f"{ds} is outside the spec's range: nothing to wait for"
    assert outside.says("gate_inputs") == "0 partitions published (0 rows, 0 quarantined), 0 up to date"
    assert plan_features(outside.job)[0].message == "there is nothing to build"
    assert (
        outside.says("gate_labels") == f"labels of {label_day(outside.job.pipeline, ds)} are outside the spec's range"
    )
    assert {name: night.seen(name)[0] for name in ("features", "labels", "predictions")} == dict.fromkeys(
        ("features", "labels", "predictions"), -1
    )


def test_no_day_leaves_the_calendar() -> None:
    pipeline = make_pipeline()
    for ds in (date.min, date.max):
        assert training_days(pipeline, ds)[40:] == []
        assert label_day(pipeline, ds) in (date.min, date.max - timedelta(days=1))


@pytest.mark.parametrize("run_id", ["..", ".", "../../../x", "a/../../b"])
def test_a_run_is_never_a_path(night: Night, run_id: str) -> None:
    job = Job(night.settings, make_pipeline(), DS, run_id=run_id)
    job.leave("monitor", {})
    runs = Path(job.table("_runs"), f"ds={DS}")
    assert [path.parent.parent for path in runs.rglob("monitor.json")] == [runs]
    assert Path(run_folder(night.settings, "parcels", run_id)).resolve().parent == Path(
        night.settings.reports, "parcels", "_runs", "parcels"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://writer:hunter/2@db/nightshift",
        "postgresql://writer:hunter@2@db/nightshift",
        "postgresql://writer:1/hunter2@db/nightshift",
        "postgresql://writer:5432/hunter2@db",
        "postgresql://hunter2:hunter2",
    ],
)
def test_a_password_that_is_not_escaped_is_never_shown_in_part(url: str) -> None:
    with pytest.raises(PlatformError) as caught:
        connect_to(url)
    assert "hunter" not in str(caught.value)
    assert str(caught.value).startswith("the URL of the Nightshift database is not one that libpq reads. Allowed: ")
