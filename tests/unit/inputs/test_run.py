import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from nightshift import storage, tables
from nightshift.errors import GateFailed, InputMissing, PartitionDamaged, PlatformError, SchemaChanged
from nightshift.gates.partition import Audited, audit_partition
from nightshift.inputs.days import gate_days, landing_changes
from nightshift.inputs.run import gate_inputs, gate_nights, inputs_landed, window_inputs
from nightshift.job import Job
from nightshift.lineage import sha256
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.registry.waivers import waiver
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline, spec_document
from tests.postgres import WRITER, Database, admit_people, end_locks
from tests.unit.inputs.landed import DELIVERIES, DEPOTS, ORDERS, drop, drop_day

DS = date(2024, 2, 10)
LOOKBACK = ("2024-02-07", "2024-02-08", "2024-02-09")


@pytest.fixture
def job(settings: Settings, pipeline: Pipeline, database: Database) -> Job:
    create_ledger(database.owner_url, WRITER)
    admit_people(settings, database)
    return Job(replace(settings, database_url=database.writer_url), pipeline, DS)


def of(job: Job, dataset: str, ds: str = "2024-02-10") -> list[dict[str, Any]]:
    state = tables.state(job.table(dataset))
    return tables.read(state.uri, state.files(ds)).to_pylist()


def again(job: Job, **changes: Any) -> Job:
    return Job(job.settings, changes.pop("pipeline", job.pipeline), changes.pop("ds", job.ds), **changes)


def orders(**changes: Any) -> Pipeline:
    document = spec_document()
    document["inputs"]["orders"] |= changes
    return make_pipeline(inputs=document["inputs"])


def test_a_night_publishes_every_source_and_the_second_time_nothing(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    first = gate_inputs(job)
    assert first.status == "done"
    assert first.counts["partitions_published"] == 5
    assert first.counts["rows_landed"] == 3 + 3 * 2 + 2
    assert of(job, "inputs/orders") == [
        {"parcel_id": "a", "depot": "N", "weight": 1.5},
        {"parcel_id": "b", "depot": "S", "weight": 2.0},
        {"parcel_id": "c", "depot": "N", "weight": None},
    ]
    versions = [tables.state(job.table(f"inputs/{name}")).version for name in job.pipeline.inputs]

    second = gate_inputs(again(job))
    assert second.status == "up_to_date"
    assert second.counts["partitions_up_to_date"] == 5
    assert versions == [tables.state(job.table(f"inputs/{name}")).version for name in job.pipeline.inputs]


def test_unchanged_files_are_not_opened(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)

    def opened(file: storage.StoredFile) -> Any:
        raise AssertionError(file.uri)

    monkeypatch.setattr("nightshift.inputs.landed_days._read", opened)
    assert gate_inputs(again(job)).status == "up_to_date"


def test_a_touched_file_with_the_same_content_is_up_to_date_and_a_corrected_one_is_not(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    before = tables.state(job.table("inputs/orders")).fingerprint("2024-02-10")
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1.5", "b,S,2", "c,N,")
    assert gate_inputs(again(job)).status == "up_to_date"
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1.5", "b,S,2", "c,N,9")
    assert gate_inputs(again(job)).counts["partitions_published"] == 1
    assert tables.state(job.table("inputs/orders")).fingerprint("2024-02-10") != before
    assert of(job, "inputs/orders")[2]["weight"] == 9


def test_a_correction_that_is_taken_back_is_published_again_with_its_own_manifest(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    fingerprints = []
    for weight in ("1", "2", "1"):
        drop(job.settings, "orders/ds=2024-02-10", f"a,N,{weight}")
        assert gate_inputs(again(job, run_id=f"with-{weight}")).counts["partitions_published"] >= 1
        assert of(job, "inputs/orders")[0]["weight"] == float(weight)
        fingerprints.append(tables.state(job.table("inputs/orders")).fingerprint("2024-02-10"))
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]
    kept = storage.list_files(storage.join(job.table("inputs/orders"), "_manifests/ds=2024-02-10"))
    assert len(kept) == 3


def test_who_has_lost_its_locks_publishes_nothing(
    job: Job, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1", "c,N,1", "d,N,1", "b,S,2", "b,S,3")  # two go to quarantine

    def audited(*arguments: Any, **options: Any) -> Audited:
        found = audit_partition(*arguments, **options)
        end_locks(database)
        return found

    with monkeypatch.context() as patch:
        patch.setattr("nightshift.inputs.staging.audit_partition", audited)
        with pytest.raises(PlatformError, match=r"^the lock parcels/inputs/orders/2024-02-10 was lost"):
            gate_days(job, "orders", [DS])
    for dataset in ("inputs/orders", "quarantine/inputs/orders"):
        assert not tables.state(job.table(dataset)).partitions
    assert gate_days(again(job), "orders", [DS]).published == ["2024-02-10"]


def test_a_correction_that_is_taken_back_while_it_is_gated_is_not_published(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    drop(job.settings, "orders/ds=2024-02-10", "a,N,7")

    def audited(*arguments: Any, **named: Any) -> Audited:
        found = audit_partition(*arguments, **named)
        drop_day(job.settings, "2024-02-10", ())
        return found

    monkeypatch.setattr("nightshift.inputs.staging.audit_partition", audited)
    outcome = gate_inputs(again(job))
    assert "the landing files of 2024-02-10 changed while they were gated" in outcome.message
    assert [row["weight"] for row in of(job, "inputs/orders")] == [1.5, 2.0, None]


def test_a_day_that_another_program_changed_is_published_again_from_landing(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    rows = of(job, "inputs/orders")
    ghost = pa.table({"parcel_id": ["ghost"], "ds": ["2024-02-10"]})
    write_deltalake(job.table("inputs/orders"), ghost, mode="append", schema_mode="merge")
    outcome = gate_inputs(again(job))
    assert "another program changed the table (1 of its 2 files are not Nightshift's)" in outcome.message
    assert outcome.counts["partitions_published"] == 1
    assert of(job, "inputs/orders") == rows


def test_a_day_that_another_program_changed_and_whose_landing_files_are_gone_is_refused(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    rows = of(job, "inputs/orders")
    ghost = pa.table({"parcel_id": ["ghost"], "ds": ["2024-02-10"]})
    write_deltalake(job.table("inputs/orders"), ghost, mode="append", schema_mode="merge")
    for file in storage.list_files(storage.join(job.settings.landing, "parcels/orders/ds=2024-02-10")):
        storage.delete(file.uri)
    with pytest.raises(PartitionDamaged, match="whose landing files are gone"):
        gate_inputs(again(job))
    assert [item.error for item in tables.repair(job.table("inputs/orders"))] == [""]
    assert gate_inputs(again(job)).status == "up_to_date"
    assert of(job, "inputs/orders") == rows


def test_a_partition_that_its_gate_blocked_is_not_parsed_again(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", "a,X,1", "b,Y,1")
    with pytest.raises(GateFailed):
        gate_inputs(job)
    monkeypatch.setattr("nightshift.inputs.staging.parse", None)
    columns = spec_document()["inputs"]["orders"]["columns"]
    corrected = orders(columns={**columns, "depot": {"type": "string", "allowed": ["N", "S", "X", "Y"]}})
    assert gate_inputs(again(job, pipeline=corrected)).counts["partitions_published"] == 1
    assert [row["depot"] for row in of(job, "inputs/orders")] == ["X", "Y"]


def test_another_contract_reads_the_same_files_again(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    columns = spec_document()["inputs"]["orders"]["columns"]
    looser = orders(columns={**columns, "weight": {**columns["weight"], "max": 500}})
    assert gate_inputs(again(job, pipeline=looser)).status == "up_to_date", "a gate is no part of the recipe"
    retyped = orders(columns={**columns, "depot": {"type": "category"}})
    assert gate_inputs(again(job, pipeline=retyped)).counts["partitions_published"] == 1


def test_the_manifest_names_the_landing_files_and_the_gate(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    state = tables.state(job.table("inputs/orders"))
    manifest = state.manifest("2024-02-10")
    assert manifest is not None
    path = Path(job.settings.landing, "parcels/orders/ds=2024-02-10/part-0.csv")
    [landed] = manifest.landing
    changed = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
    assert (landed.uri, landed.size, landed.mtime_ns) == (str(path), path.stat().st_size, changed)
    assert manifest.gate is not None
    assert manifest.gate.status == "passed"
    report = storage.read_json(manifest.gate.report)
    assert (report["rows"], report["removed"], report["status"]) == (3, 0, "passed")
    assert manifest.counts == {"landed": 3, "rejected": 0, "rows": 3, "quarantined": 0}


def test_bad_rows_go_to_quarantine_and_counts_reconcile(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    rows = ["a,N,1", "dup,N,1", "dup,S,2", "e,X,3", "f,S,1_000", "g,S,4", "h,N,5", "i,N,6", "j,N,7", "k,N,8"]
    drop(job.settings, "orders/ds=2024-02-10", *rows)
    outcome = gate_inputs(job)
    assert outcome.counts["rows_quarantined"] == 4
    assert [row["parcel_id"] for row in of(job, "inputs/orders")] == ["a", "g", "h", "i", "j", "k"]
    left = {(row["key"], row["expectation"]): json.loads(row["row"]) for row in of(job, "quarantine/inputs/orders")}
    assert left == {
        ('["f"]', "weight parses as number"): {"parcel_id": "f", "depot": "S", "weight": "1_000"},
        ('["e"]', "expect_column_values_to_be_in_set(depot)"): {"parcel_id": "e", "depot": "X", "weight": 3.0},
        ('["dup"]', "expect_column_values_to_be_unique(parcel_id)"): {"parcel_id": "dup", "depot": "S", "weight": 2.0},
    }
    assert len(of(job, "quarantine/inputs/orders")) == 4, "of duplicates all leave"
    active = tables.state(job.table("inputs/orders")).fingerprint("2024-02-10")
    assert tables.state(job.table("quarantine/inputs/orders")).fingerprint("2024-02-10") == active
    assert "-" in active
    assert gate_inputs(again(job)).status == "up_to_date"


def test_a_corrected_file_takes_the_rows_out_of_quarantine(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1", "b,X,1")
    gate_inputs(job)
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1", "b,S,1")
    gate_inputs(again(job))
    assert len(of(job, "inputs/orders")) == 2
    active = tables.state(job.table("inputs/orders")).fingerprint("2024-02-10")
    orphan = tables.state(job.table("quarantine/inputs/orders")).fingerprint("2024-02-10")
    assert orphan != active, "readers join on the active fingerprint"


def test_above_the_limit_the_gate_blocks_and_says_what_to_do(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1", "b,X,1", "c,Y,1")
    with pytest.raises(GateFailed) as caught:
        gate_inputs(job)
    message = str(caught.value)
    assert message.startswith(
        "parcels/inputs/orders of 2024-02-10: the gate blocked 3 rows: 1 of 6 expectations failed. What to do: "
    )
    assert "At most 50 % of the rows may leave for quarantine." in message
    assert message.splitlines()[-1].split() == (
        ["expect_column_values_to_be_in_set", "depot", "one", "of", "N,", "S", "2", "of", "3", "(66.67", "%)"]
    )
    assert tables.state(job.table("inputs/orders")).version == -1
    assert tables.state(job.table("inputs/deliveries")).fingerprint("2024-02-09"), "other sources are published"


def test_a_correction_that_fails_its_gate_leaves_what_is_published_and_warns(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    before = of(job, "inputs/orders")
    drop(job.settings, "orders/ds=2024-02-10", "a,X,1", "b,Y,1")
    outcome = gate_inputs(again(job))
    assert outcome.status == "up_to_date"
    assert "1 warnings, the first: orders of 2024-02-10: parcels/inputs/orders of 2024-02-10" in outcome.message
    assert of(job, "inputs/orders") == before
    drop(job.settings, "orders/ds=2024-02-10", "1,2,3", header="x,y,z")
    assert gate_inputs(again(job)).status == "up_to_date"
    assert of(job, "inputs/orders") == before
    assert len(job.left("gate_inputs")["warnings"]) == 1


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_text("depot,weight\nN,1\n"), "the columns are not the contract's: missing: parcel_id"),
        (lambda path: path.write_text("parcel_id,depot,weight\na,N,1\nb,N\n"), "row 3: a row has 2 cells instead of 3"),
        (lambda path: path.write_bytes("parcel_id,depot,weight\nß,N,1\n".encode("latin-1")), "the text is not UTF-8"),
        (lambda path: path.write_bytes(b""), "the file names none of the contract's columns"),
    ],
)
def test_a_file_that_cannot_be_read_fails_the_night(job: Job, damage: Callable[[Path], None], message: str) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    damage(drop(job.settings, "orders/ds=2024-02-10"))
    with pytest.raises(GateFailed, match=message):
        gate_inputs(job)


def test_a_header_alone_is_an_empty_partition_which_the_gate_judges(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10")
    assert gate_inputs(job).status == "done"
    assert of(job, "inputs/orders") == []
    assert tables.state(job.table("inputs/orders")).fingerprint("2024-02-10")
    picky = orders(gate={"expect": [{"expect_table_row_count_to_be_between": {"min_value": 1}}]})
    drop_day(job.settings, "2024-02-11", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-11")
    with pytest.raises(GateFailed, match="1 of 7 expectations failed"):
        gate_inputs(again(job, pipeline=picky, ds=date(2024, 2, 11)))


def test_rows_keep_the_order_of_files_and_lines(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", "z,N,1", "y,N,1", name="part-0.csv")
    drop(job.settings, "orders/ds=2024-02-10", "b,N,1", "a,N,1", name="part-1.csv")
    drop(job.settings, "orders/ds=2024-02-10", "no,N,1", name="_temporary.csv")
    drop(job.settings, "orders/ds=2024-02-10", "no,N,1", name=".hidden.csv")
    drop(job.settings, "orders/ds=2024-02-10", "no,N,1", name="part-2.csv.tmp")
    gate_inputs(job)
    assert [row["parcel_id"] for row in of(job, "inputs/orders")] == ["z", "y", "b", "a"]


def test_what_is_absent_is_named_and_days_up_to_the_allowance_are_fine(job: Job) -> None:
    with pytest.raises(InputMissing) as caught:
        inputs_landed(job)
    assert str(caught.value) == (
        "parcels: source orders lacks 1 of the 1 days that 2024-02-10 reads: 2024-02-10. Allowed: 0 absent. "
        f"What to do: land {job.settings.landing}/parcels/orders/ds=2024-02-10/*.csv."
    )
    drop_day(job.settings, "2024-02-10", LOOKBACK[1:])
    assert inputs_landed(job).message == "4 days of 3 sources are there"
    assert gate_inputs(job).counts["partitions_absent"] == 1
    for day in LOOKBACK:
        for file in Path(job.settings.landing, f"parcels/deliveries/ds={day}").glob("*"):
            file.unlink()
    assert inputs_landed(job).counts["days"] == 4, "what was published before need not stay in landing"
    fresh = again(job, ds=date(2024, 2, 20))
    drop_day(job.settings, "2024-02-20", ("2024-02-18",))
    with pytest.raises(InputMissing, match="source deliveries lacks 2 of the 3 days that 2024-02-20 reads"):
        inputs_landed(fresh)


def test_a_snapshot_must_be_there_and_the_newest_one_not_after_ds_is_read(job: Job) -> None:
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1")
    for day in LOOKBACK:
        drop(job.settings, f"deliveries/ds={day}", header=DELIVERIES)
    drop(job.settings, "depots/as_of=2024-02-11", "N,9", header=DEPOTS)
    with pytest.raises(InputMissing, match="source depots has no snapshot with as_of <= 2024-02-10"):
        inputs_landed(job)
    with pytest.raises(InputMissing, match="source depots has no snapshot with as_of <= 2024-02-10"):
        gate_inputs(job)
    drop(job.settings, "depots/as_of=2024-01-01", "N,1", header=DEPOTS)
    drop(job.settings, "depots/as_of=2024-02-01", "N,2", header=DEPOTS)
    gate_inputs(again(job))
    assert list(tables.state(job.table("inputs/depots")).partitions) == ["2024-02-01"]


def test_sources_of_labels_alone_never_fail_the_inputs(job: Job) -> None:
    features = {**spec_document()["features"], "inputs": ["orders", "depots"]}
    job = replace(job, pipeline=make_pipeline(features=features))
    drop_day(job.settings, "2024-02-10", ())
    drop(job.settings, "deliveries/ds=2024-02-09", "x,N,late", header=DELIVERIES)
    assert inputs_landed(job).status == "done"
    assert gate_inputs(job).status == "done"
    problems = job.left("gate_inputs")["label_problems"]
    assert problems == [
        "source deliveries of 2024-02-09: the gate blocked 1 rows: 1 of 4 expectations failed",
    ]
    later = again(job, ds=date(2024, 2, 12))
    drop_day(job.settings, "2024-02-12", ())
    gate_inputs(later)
    assert later.left("gate_inputs")["label_problems"] == ["source deliveries has not landed for 2024-02-11"]
    assert not later.left("gate_inputs")["label_unknown"]


def test_a_retyped_source_of_labels_alone_is_the_labels_problem(job: Job) -> None:
    features = {**spec_document()["features"], "inputs": ["orders", "depots"]}
    drop_day(job.settings, "2024-02-10", ())
    drop(job.settings, "deliveries/ds=2024-02-09", "x,N,1", header=DELIVERIES)
    gate_inputs(again(job, pipeline=make_pipeline(features=features)))
    inputs = spec_document()["inputs"]
    inputs["deliveries"]["columns"]["hours_late"] = {"type": "integer"}
    retyped = again(job, pipeline=make_pipeline(features=features, inputs=inputs))
    assert gate_inputs(retyped).status == "up_to_date"
    [problem] = retyped.left("gate_inputs")["label_problems"]
    assert problem.startswith(
        "source deliveries of 2024-02-09: the columns differ from the table's (retyped: hours_late"
    )
    assert retyped.left("gate_inputs")["label_unknown"] == ["deliveries"], "nobody has looked at its deliveries"
    inputs["orders"]["columns"]["weight"] = {"type": "integer", "nulls": 1.0}
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1")
    with pytest.raises(SchemaChanged, match="raise `generation` in the spec"):
        gate_inputs(again(job, pipeline=make_pipeline(features=features, inputs=inputs)))


def test_what_of_the_labels_sources_cannot_be_looked_at_fails_no_inputs(job: Job) -> None:
    """A table that another program made anew, and a snapshot's folder that is a file."""
    inputs = spec_document()["inputs"]
    inputs["deliveries"]["lag"] = 0
    columns = {"rate": {"type": "string"}}
    inputs["rates"] = {"path": "rates/as_of={ds}/*.csv", "snapshot": True, "key": ["rate"], "columns": columns}
    features = {**spec_document()["features"], "inputs": ["orders", "depots"]}
    label = {**spec_document()["label"], "inputs": ["deliveries", "rates"]}
    job = replace(job, pipeline=make_pipeline(inputs=inputs, features=features, label=label))
    drop_day(job.settings, "2024-02-10", ())
    drop(job.settings, "deliveries/ds=2024-02-09", "x,N,1", header=DELIVERIES)
    Path(job.settings.landing, "rates").write_text("")
    rows = pa.table({"key": ["x"], "n": [1]})
    write_deltalake(job.table("inputs/deliveries"), rows, partition_by=["key"])
    assert inputs_landed(job).status == "done"
    assert gate_inputs(job).status == "done"
    left = job.left("gate_inputs")
    assert left["label_unknown"] == ["deliveries", "rates"]
    assert "another program made the table anew" in left["label_problems"][0]
    assert left["label_problems"][-1].startswith("source rates: the snapshots cannot be listed")


def test_after_the_end_only_labels_need_inputs(job: Job) -> None:
    late = again(job, ds=date(2024, 4, 1))
    drop(job.settings, "deliveries/ds=2024-03-31", "x,N,1", header=DELIVERIES)
    assert inputs_landed(late).message == "2024-04-01 is outside the spec's range: nothing to wait for"
    assert gate_inputs(late).counts["partitions_published"] == 1


def test_many_days_share_commits_and_absent_days_are_only_noted(job: Job) -> None:
    days = [f"2024-02-{day:02d}" for day in range(1, 21)]
    for day in days:
        drop_day(job.settings, day, (day,))
    window = again(job, ds=date(2024, 2, 21))
    outcome = window_inputs(window)
    assert outcome.counts["partitions_published"] == 20 + 20 + 1
    assert tables.state(job.table("inputs/orders")).version == 3, "a commit for each 8 days"
    left = window.left("window_inputs")
    assert left["left_out"]["deliveries"] == ["2024-01-29", "2024-01-30", "2024-01-31"]
    assert left["warnings"] == ["deliveries: 3 days are not there, the first is 2024-01-29"]
    assert window_inputs(again(window)).status == "up_to_date"


def test_two_runs_at_once_publish_each_day_once(job: Job) -> None:
    days = [date(2024, 2, day) for day in range(1, 11)]
    for day in days:
        drop(job.settings, f"orders/ds={day}", "a,N,1")
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: gate_days(again(job), "orders", days), range(3)))
    assert sorted(day for item in found for day in item.published) == [str(day) for day in days]
    assert tables.state(job.table("inputs/orders")).version == 2


RENAMED = {
    "parcel_id": {"type": "string"},
    "depot": {"type": "string"},
    "hours_of_delay": {"type": "number", "nulls": 0.9},
}


def deliveries(columns: dict[str, Any]) -> Pipeline:
    document = spec_document()
    document["inputs"]["deliveries"]["columns"] = columns
    return make_pipeline(inputs=document["inputs"])


@pytest.mark.parametrize(
    ("landed", "why"),
    [
        (
            True,
            "its landing files do not follow the present one: the gate blocked 2 rows: 1 of 4 expectations failed",
        ),
        (False, "its landing files are gone"),
    ],
)
def test_a_day_of_an_earlier_contract_is_never_read_as_nulls(job: Job, landed: bool, why: str) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    if not landed:
        for day in LOOKBACK:
            Path(job.settings.landing, f"parcels/deliveries/ds={day}/part-0.csv").unlink()
    before = tables.state(job.table("inputs/deliveries"))

    for use_case in (gate_inputs, window_inputs):
        with pytest.raises(SchemaChanged) as caught:
            use_case(again(job, pipeline=deliveries(RENAMED)))
        assert str(caught.value).startswith(
            f"{job.table('inputs/deliveries')}: source deliveries of 2024-02-07 was published under an earlier "
            f"contract, without hours_of_delay; {why}. Allowed: a new column that may be null throughout (nulls: 1.0)."
        )
    assert tables.state(job.table("inputs/deliveries")) == before


def test_a_new_column_that_may_be_null_leaves_days_whose_files_are_gone(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    for day in LOOKBACK:
        Path(job.settings.landing, f"parcels/deliveries/ds={day}/part-0.csv").unlink()
    columns = spec_document()["inputs"]["deliveries"]["columns"]
    later = deliveries({**columns, "van": {"type": "string", "nulls": 1.0}})
    assert gate_inputs(again(job, pipeline=later)).status == "up_to_date"


def test_files_without_a_nullable_column_and_with_another_one_are_read_and_that_is_said_once(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    columns = spec_document()["inputs"]["deliveries"]["columns"]
    wider = deliveries({**columns, "van": {"type": "string", "nulls": 1.0}})
    drop_day(job.settings, "2024-02-11", ("2024-02-10",))
    drop(job.settings, "orders/ds=2024-02-11", "a,N,1,x", header="parcel_id,depot,weight,colour")
    lacks = "deliveries lacks columns that may be null, and are null: van (2024-02-08)"
    has = "orders has columns that its spec does not name, which are ignored: column 4 (2024-02-11)"
    night = again(job, pipeline=wider, ds=date(2024, 2, 11))
    assert gate_inputs(night).counts["partitions_published"] == 4
    assert night.left("gate_inputs")["warnings"] == [has, lacks]
    assert [row["van"] for row in of(job, "inputs/deliveries", "2024-02-09")] == [None, None]
    assert of(job, "inputs/orders", "2024-02-11") == [{"parcel_id": "a", "depot": "N", "weight": 1.0}]

    drop(job.settings, "orders/ds=2024-02-12", "a,N,1,x,1", header="parcel_id,depot,weight,colour,size")
    drop(job.settings, "deliveries/ds=2024-02-11", "x,N,1,v", header=f"{DELIVERIES},van")
    night = again(job, pipeline=wider, ds=date(2024, 2, 12))
    gate_inputs(night)
    assert night.left("gate_inputs")["warnings"] == [has.replace("column 4", "column 5").replace("11", "12")]
    assert [row["van"] for row in of(job, "inputs/deliveries", "2024-02-11")] == ["v"]

    strict = spec_document()["inputs"]
    strict["orders"]["columns_policy"] = "strict"
    drop(job.settings, "orders/ds=2024-02-12", "a,N,1,x,2", header="parcel_id,depot,weight,colour,size")
    outcome = gate_inputs(again(job, pipeline=make_pipeline(inputs=strict), ds=date(2024, 2, 12)))
    assert "not in the contract: column 4, column 5" in outcome.message


def test_a_column_that_is_in_the_files_may_be_named_taken_out_and_named_again(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1,red", header="parcel_id,depot,weight,colour")
    columns = spec_document()["inputs"]["orders"]["columns"]
    wider = orders(columns={**columns, "colour": {"type": "string"}})
    gate_inputs(again(job, pipeline=wider))
    first = tables.state(job.table("inputs/orders")).fingerprint("2024-02-10")
    assert gate_inputs(again(job)).counts["partitions_published"] == 1
    assert of(job, "inputs/orders") == [{"parcel_id": "a", "depot": "N", "weight": 1.0}]
    assert gate_inputs(again(job, pipeline=wider)).counts["partitions_published"] == 1
    assert of(job, "inputs/orders")[0]["colour"] == "red"
    assert tables.state(job.table("inputs/orders")).fingerprint("2024-02-10") == first


def test_a_column_renamed_by_its_case_alone_needs_a_new_generation_and_reads_the_old_files_there(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    document = spec_document()["inputs"]
    columns = document["orders"]["columns"]
    document["orders"]["columns"] = {"Weight" if name == "weight" else name: value for name, value in columns.items()}
    with pytest.raises(SchemaChanged, match="renamed by case alone: weight to Weight"):
        gate_inputs(again(job, pipeline=make_pipeline(inputs=document)))
    renamed = again(job, pipeline=make_pipeline(inputs=document, generation=2))
    gate_inputs(renamed)
    assert [row["Weight"] for row in of(renamed, "inputs/orders")] == [1.5, 2.0, None]
    words = "orders writes columns otherwise than its spec, as which they are read: weight as Weight (2024-02-10)"
    assert renamed.left("gate_inputs")["warnings"] == [words]


def marked(name: str) -> Pipeline:
    document = spec_document()
    document["inputs"][name]["marker"] = "_SUCCESS"
    return make_pipeline(inputs=document["inputs"])


def test_a_delivery_without_its_marker_has_not_landed_and_that_is_said(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    waits = "its files are there, its marker _SUCCESS is not"
    with pytest.raises(InputMissing) as caught:
        inputs_landed(again(job, pipeline=marked("orders")))
    assert str(caught.value) == (
        "parcels: source orders lacks 1 of the 1 days that 2024-02-10 reads: 2024-02-10; of 2024-02-10, "
        f"{waits}. Allowed: 0 absent. What to do: have "
        f"{job.settings.landing}/parcels/orders/ds=2024-02-10/_SUCCESS written once all of them are there."
    )
    for day in LOOKBACK[1:]:
        drop(job.settings, f"deliveries/ds={day}", name="_SUCCESS")
    night = again(job, pipeline=marked("deliveries"))
    assert gate_inputs(night).counts["partitions_absent"] == 1
    assert night.left("gate_inputs")["warnings"] == [f"without deliveries 2024-02-07: it has not landed, {waits}"]


def test_a_correction_that_is_not_whole_leaves_what_is_published(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    marker = drop(job.settings, "orders/ds=2024-02-10", name="_SUCCESS")
    gate_inputs(again(job, pipeline=marked("orders")))
    rows = of(job, "inputs/orders")
    marker.unlink()
    drop(job.settings, "orders/ds=2024-02-10", "a,N,7")
    night = again(job, pipeline=marked("orders"))
    assert gate_inputs(night).status == "up_to_date"
    assert of(job, "inputs/orders") == rows
    assert len(night.left("gate_inputs")["warnings"]) == 1
    drop(job.settings, "orders/ds=2024-02-10", name="_SUCCESS")
    gate_inputs(again(job, pipeline=marked("orders")))
    assert [row["weight"] for row in of(job, "inputs/orders")] == [7]


@pytest.mark.parametrize(("lookback", "published", "last"), [(1, 2, "2024-02-10"), (3, 3, "2024-02-11")])
def test_a_day_that_changes_after_its_night_is_named_in_the_next_with_the_repair(
    job: Job, lookback: int, published: int, last: str
) -> None:
    pipeline = orders(lookback=lookback, missing={"allow": lookback - 1})
    for day in LOOKBACK:
        drop(job.settings, f"orders/ds={day}", "a,N,1")
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(again(job, pipeline=pipeline))
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1.5", "b,S,2", "c,N,", "d,N,4")
    drop_day(job.settings, "2024-02-12", ("2024-02-10", "2024-02-11"))
    drop(job.settings, "deliveries/ds=2024-02-09", "late,N,1", header=DELIVERIES)
    night = again(job, pipeline=pipeline, ds=date(2024, 2, 12))
    assert inputs_landed(night).status == "done"
    outcome = gate_inputs(night)
    words = f"orders of 2024-02-10 has changed since nights read it: `nightshift backfill parcels 2024-02-10 {last}`"
    without = ["without orders 2024-02-11: it has not landed"] * (lookback == 3)
    assert sorted(night.left("gate_inputs")["warnings"]) == [words, *without]
    assert outcome.counts["warnings"] == 1 + len(without)
    assert len(of(job, "inputs/orders")) == (4 if lookback == 3 else 3)
    assert outcome.counts["partitions_published"] == published + 2
    gate_inputs(again(job, pipeline=pipeline))
    third = again(job, pipeline=pipeline, ds=date(2024, 2, 12))
    gate_inputs(third)
    assert third.left("gate_inputs")["warnings"] == without


def correct_in_place(job: Job) -> None:
    """A correction of the same size that keeps the file's time."""
    [path] = Path(job.settings.landing, "parcels/orders/ds=2024-02-10").iterdir()
    before = path.stat()
    path.write_text(path.read_text().replace("a,N,1.5", "a,N,7.5"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_correction_that_size_and_time_do_not_show_is_found_by_who_verifies_landing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightshift.inputs.landing._with_change", lambda file: file)  # a disk without such a time
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    correct_in_place(job)
    assert landing_changes(again(job), "orders", [DS]) == {}
    assert gate_inputs(again(job)).status == "up_to_date"
    verifying = again(job, verify_landing=True)
    assert landing_changes(verifying, "orders", [DS]) == {"2024-02-10": "corrected"}
    gate_nights(verifying, [DS])
    assert of(job, "inputs/orders")[0]["weight"] == 7.5
    assert landing_changes(again(job, verify_landing=True), "orders", [DS]) == {}


def test_a_file_that_cannot_be_read_any_more_leaves_its_day_as_it_is(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    drop(job.settings, "orders/ds=2024-02-10", "a,N,7")
    drop(job.settings, f"deliveries/ds={LOOKBACK[-1]}", "new,N,1", header=DELIVERIES)
    read = storage.resolve

    def refused(uri: str) -> Any:
        if uri.endswith("orders/ds=2024-02-10/part-0.csv"):
            raise PermissionError(13, "Permission denied")
        return read(uri)

    monkeypatch.setattr(storage, "resolve", refused)
    monkeypatch.setattr("nightshift.inputs.landing.leads_out", lambda *_: False)
    monkeypatch.setattr("nightshift.inputs.landed_days.leads_out", lambda *_: False)
    monkeypatch.setattr("nightshift.inputs.landing._with_change", lambda file: file)
    night = again(job)
    assert gate_inputs(night).counts["partitions_published"] == 1
    assert "the file cannot be read (PermissionError)" in night.left("gate_inputs")["warnings"][0]
    monkeypatch.setattr(storage, "resolve", read)
    assert len(of(job, "inputs/orders")) == 3


def test_rows_that_do_not_parse_and_come_first_are_all_in_quarantine(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightshift.inputs.parse._ALWAYS_KEPT", 1)
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", *(f"bad{n},N,x" for n in range(4)), name="part-0.csv")
    drop(job.settings, "orders/ds=2024-02-10", *(f"good{n},N,1" for n in range(6)), name="part-1.csv")
    assert gate_inputs(job).counts["rows_quarantined"] == 4
    rows = [json.loads(row["row"])["parcel_id"] for row in of(job, "quarantine/inputs/orders")]
    assert rows == ["bad0", "bad1", "bad2", "bad3"]


def test_a_file_is_told_by_its_place_and_digest_not_by_the_name_that_upstream_gave_it(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1", name="ada.csv")
    bad = drop(job.settings, "orders/ds=2024-02-10", "canary,N", name="canary.csv")
    drop(job.settings, "orders/ds=2024-02-10", "b,N,1", name="canary.csv.csv")
    with pytest.raises(GateFailed) as caught:
        gate_inputs(job)
    told = f"{bad.parent}, file 2 of 4 (SHA-256 {sha256(bad.read_bytes())[:12]}), row 2: a row has 2 cells instead of 3"
    assert str(caught.value).startswith(told)
    page = storage.read_bytes(caught.value.links["gate report"]).decode()
    assert "file 2 of 4" in page
    assert "canary" not in f"{caught.value} {caught.value.where} {caplog.text} {page}"


def test_files_above_their_limits_are_not_even_hashed(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    drop(job.settings, "orders/ds=2024-02-10", *(f"p{number},N,1" for number in range(50)))

    def opened(file: storage.StoredFile) -> Any:
        raise AssertionError(file.uri)

    monkeypatch.setattr("nightshift.inputs.landed_days._read", opened)
    night = again(job, pipeline=orders(limits={"bytes": 100}))
    gate_inputs(night)
    assert "the delivery is too large" in night.left("gate_inputs")["warnings"][0]
    assert len(of(job, "inputs/orders")) == 3


def test_a_night_names_what_is_absent_and_links_the_reports_of_days_that_lost_rows_first(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK[1:])
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1.5", "b,X,2")
    found = gate_inputs(job)
    assert found.message.endswith("; absent: deliveries 2024-02-07")
    assert "gate report orders 2024-02-10" in found.links


def test_a_link_out_of_landing_is_refused_and_never_read(job: Job, tmp_path: Path) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    (tmp_path / "secret.csv").write_text("parcel_id,depot,weight\nsecret,N,1\n")
    [landed] = Path(job.settings.landing, "parcels/orders/ds=2024-02-10").iterdir()
    landed.unlink()
    landed.symlink_to(tmp_path / "secret.csv")
    with pytest.raises(GateFailed, match="a symbolic link leads out of landing"):
        gate_inputs(job)
    assert of(job, "inputs/orders") == []
    assert of(job, "inputs/deliveries", LOOKBACK[-1]), "the other sources are published"


def test_a_correction_of_the_same_size_that_keeps_its_time_is_seen(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    gate_inputs(job)
    correct_in_place(job)
    assert gate_inputs(again(job)).counts["partitions_published"] == 1
    assert of(job, "inputs/orders")[0]["weight"] == 7.5


def lenient(**changes: Any) -> Pipeline:
    """The spine's file of the day before may be absent."""
    return orders(lookback=2, missing={"allow": 1}, **changes)


def test_the_spines_own_day_is_waited_for_though_an_older_one_may_be_absent(job: Job) -> None:
    drop_day(job.settings, "2024-02-09", LOOKBACK)
    night = again(job, pipeline=lenient())
    for use_case in (inputs_landed, gate_inputs):
        with pytest.raises(InputMissing) as caught:
            use_case(night)
        assert str(caught.value) == (
            "parcels: source orders lacks 2024-02-10, whose rows are the keys of 2024-02-10: it is the spine. "
            f"What to do: land {job.settings.landing}/parcels/orders/ds=2024-02-10/*.csv."
        )
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    Path(job.settings.landing, "parcels/orders/ds=2024-02-09/part-0.csv").unlink()
    assert inputs_landed(night).status == "done"
    assert gate_inputs(again(night)).status == "done"


def test_the_spines_own_day_that_its_gate_refused_fails_the_night(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    drop_day(job.settings, "2024-02-09", LOOKBACK)
    drop(job.settings, "orders/ds=2024-02-10", "a,X,1", "b,Y,1")
    with pytest.raises(GateFailed, match="parcels/inputs/orders of 2024-02-10: the gate blocked 2 rows"):
        gate_inputs(again(job, pipeline=lenient()))


@pytest.mark.parametrize(
    ("folder", "header", "row"),
    [("orders/ds=2024-02-10", ORDERS, "a,X,1"), ("deliveries/ds={}", DELIVERIES, "x,N,not a number")],
)
def test_in_a_lake_of_ones_own_a_blocked_source_says_so_though_no_ledger_answers(
    settings: Settings, pipeline: Pipeline, folder: str, header: str, row: str
) -> None:
    job = Job(replace(settings, private=True), pipeline, DS)
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    for day in LOOKBACK[1:]:
        drop(job.settings, folder.format(day), row, header=header)
    with pytest.raises(GateFailed, match="the gate blocked 1 rows"):
        gate_inputs(job)


def test_a_waiver_from_before_a_source_was_the_spine_waives_no_key(job: Job) -> None:
    drop_day(job.settings, "2024-02-10", LOOKBACK)
    Path(job.settings.landing, "parcels/orders/ds=2024-02-10/part-0.csv").unlink()
    Ledger.of_people(job.settings).append(waiver("parcels", "orders", DS, "ada", "why"))
    for use_case in (inputs_landed, gate_inputs):
        with pytest.raises(InputMissing, match="source orders lacks 2024-02-10, whose rows are the keys"):
            use_case(job)
