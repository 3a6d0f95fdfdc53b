"""No value of a cell leaves landing and lake: canaries are landed, nights and a retrain run, and all that was written
elsewhere is searched for them."""

import logging
import socket
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from nightshift.job import Job
from nightshift.registry.ledger import Ledger
from nightshift.specs.calendar import training_days
from nightshift.steps import STEPS, run_step
from tests.bad_input.conftest import DS, Night
from tests.bad_input.test_nights import build, champion
from tests.conftest import spec_document
from tests.mlflow_server import MlflowServer
from tests.unit.inputs.landed import DELIVERIES, drop
from tests.unit.training.lake import D, day_of_rows, publish_rows

CANARIES = (
    "canarykey",
    "canarydepot",
    "canaryweight",
    "canaryheader",
    "77007713",
    "77,007,713",
    "7.70077e+07",
    "66006613",
)
WRITTEN_BESIDE_DATA = ("_runs", "_manifests", "_staged")
EVERY_KIND: list[dict[str, dict[str, Any]]] = [
    {"expect_column_max_to_be_between": {"column": "weight", "max_value": 1}},
    {"expect_column_min_to_be_between": {"column": "weight", "min_value": 1e9}},
    {"expect_column_distinct_values_to_be_in_set": {"column": "parcel_id", "value_set": ["x"]}},
    {"expect_column_most_common_value_to_be_in_set": {"column": "depot", "value_set": ["x"]}},
    {"expect_column_values_to_match_regex": {"column": "parcel_id", "regex": "^x"}},
    {"expect_column_values_to_match_regex": {"column": "weight", "regex": "^x"}},
    {"expect_column_value_lengths_to_be_between": {"column": "depot", "max_value": 2}},
    {"expect_column_values_to_be_increasing": {"column": "parcel_id"}},
]
ORDERS = (
    "canarykey-1,N,1", "canarykey-dup,N,1", "canarykey-dup,S,2", "canarykey-2,canarydepot,3", "canarykey-3,S,77007713",
    "canarykey-4,N,canaryweight", "canarykey-5,S,66006613", "g,N,4", "h,S,5", "i,N,6", "j,S,7", "k,N,8",
)  # fmt: skip


class Ears:
    """A StatsD server that keeps every datagram."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)

    def heard(self) -> str:
        """All that came so far."""
        parts = []
        try:
            while True:
                parts.append(self.socket.recv(65_535).decode())
        except TimeoutError:
            return "\n".join(parts)


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ears]:
    found = Ears()
    monkeypatch.setenv("NIGHTSHIFT_STATSD_HOST", "127.0.0.1")
    monkeypatch.setenv("NIGHTSHIFT_STATSD_PORT", str(found.socket.getsockname()[1]))
    yield found
    found.socket.close()


def places(texts: Mapping[str, str | bytes]) -> list[tuple[str, str]]:
    """Where which canary sings."""
    found = []
    for name, text in texts.items():
        content = text if isinstance(text, bytes) else text.encode()
        found += [(name, canary) for canary in CANARIES if canary.encode() in content]
    return found


def written(night: Night) -> dict[str, bytes]:
    """Every file of ``var`` but landing, models and data; of the lake what steps and attempts say of themselves."""
    var = night.settings.var
    files = {}
    for path in (path for path in var.rglob("*") if path.is_file()):
        parts = path.relative_to(var).parts
        beside = parts[0] == "lake" and any(part in WRITTEN_BESIDE_DATA for part in parts)
        if beside or parts[0] not in ("landing", "lake", "models"):
            files[str(path)] = path.read_bytes()
    return files


def run(night: Night, *steps: str) -> str:
    """Runs steps as tasks, whether they succeed or fail; what Airflow was told."""
    told = []
    for step in steps:
        try:
            told.append(night.says(step))
        except Exception as error:
            told += [str(error), repr(error), repr(error.__cause__)]
    return "\n".join(told)


def unforeseen(*arguments: Any) -> None:
    """Raises what nobody foresaw, of a kind that is made of a cell, with a cause and a note that quote some."""
    error = type("canarydepot", (ValueError,), {})("canarykey")
    error.add_note("canaryweight")
    raise error from KeyError("canaryheader")


def test_nights_whose_gates_fail_say_nothing_of_a_cell(
    night: Night,
    ears: Ears,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    told, left = [], ""
    for policy in ({"policy": "block"}, {"policy": "quarantine", "limit": 0.5}, {"policy": "warn"}):
        inputs = spec_document()["inputs"]
        for expect in ([], EVERY_KIND):
            inputs["orders"]["gate"] = {**policy, "expect": expect}
            night.spec(inputs=inputs)
            drop(night.settings, f"orders/ds={DS}", *ORDERS, f"l,N,{len(told)}")
            told.append(run(night, "inputs_landed", "gate_inputs"))
            left += str(night.seen("quarantine/inputs/orders")[2])
    for header, row in (
        ("parcel_id,depot,weight,canaryheader value:1", "a,N,1,2"),
        ("canarykey,canarydepot,7", "a,N,1"),
        ("parcel_id,depot,canaryweight", "a,N,1"),
        ("parcel_id,depot,weight,canaryheader", "a,N,1,2"),
        ("parcel_id,depot,weight,canaryheader,canaryheader", "a,N,1,2,3"),
    ):
        drop(night.settings, f"orders/ds={DS}", row, header=header)
        told.append(run(night, "gate_inputs"))
    named = drop(night.settings, f"orders/ds={DS}", "a,N", name="canarykey-of-a-file.csv")
    told.append(run(night, "inputs_landed", "gate_inputs"))
    named.unlink()
    for row in ('canarykey,"canarydepot"x,1', "canarykey,canarydepot", "canarykey,N,canaryweight,77007713"):
        drop(night.settings, f"orders/ds={DS}", row)
        told.append(run(night, "gate_inputs"))
    with monkeypatch.context() as broken:
        broken.setattr("nightshift.inputs.staging.parse", unforeseen)
        told.append(run(night, "gate_inputs"))
        assert "gate_inputs of 2024-02-05: CanaryError" not in told[-1]
        assert "gate_inputs of 2024-02-05: ValueError from KeyError was raised" in told[-1]
    drop(night.settings, "deliveries/ds=2024-02-04", "canarykey,N,canaryweight", header=DELIVERIES)
    told.append(run(night, "gate_inputs"))
    assert len(places({"quarantine": left})) >= 4, "rows with canaries left"

    features = spec_document()["features"]
    columns = {**features["columns"], "late_3d": {"type": "number", "max": 10}}
    for gate in ({"policy": "block"}, {"policy": "quarantine", "limit": 0.9}):
        night.spec(features={**features, "columns": columns, "gate": {**gate, "expect": EVERY_KIND[:4]}})
        drop(night.settings, f"orders/ds={DS}", "canarykey-1,N,1", f"canarykey-2,S,{len(gate)}")
        told.append(run(night, "gate_inputs"))
        build(night, ["canarykey-1", "canarykey-2"], [1.0, 77007713.0])
        told.append(run(night, "gate_features", "gate_labels"))
    night.spec(features={**features, "columns": {**columns, "late_3d": {"type": "number"}}})
    told.append(run(night, "gate_inputs"))
    build(night, ["canarykey-1", "canarykey-2"], [1.0, 77007713.0])
    champion(night, DS)
    told.append(run(night, "gate_features", "plan_scoring"))
    champion(night, DS.replace(day=1))
    impossible = {"expect_column_max_to_be_between": {"column": "score", "max_value": -1e9}}
    features["columns"] = {**columns, "late_3d": {"type": "number"}}
    night.spec(features=features, scoring={"gate": {"expect": [impossible]}})
    told.append(run(night, "plan_scoring"))
    run_step(night.job, "score", lambda *_: None)
    told.append(run(night, "gate_predictions", "monitor"))
    assert "the gate blocked 2 rows" in told[-1]

    output, texts = capfd.readouterr(), written(night)
    assert len(texts) > 50
    texts |= {"XCom and exceptions": "\n".join(told), "logs": caplog.text, "stdout": output.out, "stderr": output.err}
    texts["metrics"] = ears.heard()
    assert "rows_quarantined" in str(texts["metrics"])
    assert places(texts) == []


def test_a_retrain_says_nothing_of_a_cell(
    night: Night, mlflow_server: MlflowServer, ears: Ears, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    night.spec(training={**spec_document()["training"], "gate": {"policy": "warn", "expect": [
        {"expect_column_max_to_be_between": {"column": "hours", "max_value": -1e9}}]}})  # fmt: skip
    settings = mlflow_server.settings(night.settings, f"t{uuid.uuid4().hex[:10]}")
    settings = replace(settings, database_url=night.settings.database, statsd_host="127.0.0.1",
                       statsd_port=ears.socket.getsockname()[1])  # fmt: skip
    job = Job(settings, night.job.pipeline, D, run_id="retrain")
    for ds in training_days(job.pipeline, D):
        for dataset, rows in zip(("features", "labels"), day_of_rows(job, ds.isoformat(), 60), strict=True):
            content = rows.to_pydict()
            content["parcel_id"] = [f"canarykey-{key}" for key in content["parcel_id"]]
            if dataset == "features":
                content["weight"][0] = 77007713.0
            publish_rows(job, dataset, ds.isoformat(), pa.table(content, schema=rows.schema))
    job.leave("gate_window", {"blocked": [], "missing": []})
    steps = [name for name, step in STEPS.items() if step.dag == "retrain"]
    told = [str(run_step(job, name, lambda *_: None).document()) for name in steps[steps.index("training_set") :]]

    texts: dict[str, str | bytes] = {**written(night), "XCom": "\n".join(told), "logs": caplog.text}
    entries = Ledger.of(settings).entries("parcels")
    assert len(entries) == 1
    texts["ledger"] = str([entry.document() for entry in entries])
    texts["metrics"] = ears.heard()
    server = mlflow_server.login_file.parent
    kept = [path for path in server.rglob("*") if path.is_file() and "model" not in path.parts[len(server.parts) :]]
    assert any(path.name == "training_set.json" for path in kept)
    texts |= {str(path): path.read_bytes() for path in kept}
    assert places(texts) == []
