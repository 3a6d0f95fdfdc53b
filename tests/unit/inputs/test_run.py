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
from nightshift.errors import GateFailed, InputMissing, PartitionDamaged, SchemaChanged
from nightshift.gates.partition import Audited, audit_partition
from nightshift.inputs.days import gate_days
from nightshift.inputs.run import gate_inputs, inputs_landed, window_inputs
from nightshift.job import Job
from nightshift.registry.ledger import create_ledger
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline, spec_document
from tests.postgres import WRITER, Database
from tests.unit.inputs.landed import DELIVERIES, DEPOTS, drop, drop_day

DS = date(2024, 2, 10)
LOOKBACK = ("2024-02-07", "2024-02-08", "2024-02-09")


@pytest.fixture
def job(settings: Settings, pipeline: Pipeline, database: Database) -> Job:
    create_ledger(database.owner_url, WRITER)
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

    def opened(uri: str) -> str:
        raise AssertionError(uri)

    monkeypatch.setattr("nightshift.inputs.days._sha256", opened)
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

    monkeypatch.setattr("nightshift.inputs.days.audit_partition", audited)
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
    monkeypatch.setattr("nightshift.inputs.days.parse", None)
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
        (lambda path: path.write_text("parcel_id,depot\na,N\n"), "the columns are not the contract's: missing: weight"),
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
    inputs["orders"]["columns"]["weight"] = {"type": "integer", "nulls": 1.0}
    drop(job.settings, "orders/ds=2024-02-10", "a,N,1")
    with pytest.raises(SchemaChanged, match="raise `generation` in the spec"):
        gate_inputs(again(job, pipeline=make_pipeline(features=features, inputs=inputs)))


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
            "its landing files do not follow the present one: the columns are not the contract's: "
            "missing: hours_of_delay; not in the contract: hours_late",
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
    [path] = Path(job.settings.landing, "parcels/orders/ds=2024-02-10").iterdir()
    before = path.stat()
    path.write_text(path.read_text().replace("a,N,1.5", "a,N,7.5"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert gate_inputs(again(job)).counts["partitions_published"] == 1
    assert of(job, "inputs/orders")[0]["weight"] == 7.5
