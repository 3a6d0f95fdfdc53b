import json
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from nightshift import storage, tables
from nightshift.errors import NightshiftError
from nightshift.gates.partition import Audited, Rejected, audit_partition, publish_audited
from nightshift.gates.removed import removal_key, with_removed_rows
from nightshift.gates.results import CheckResult
from nightshift.job import Job, new_attempt
from nightshift.lineage import Manifest, sha256, with_removed
from nightshift.settings import Settings
from nightshift.specs.model import Column, Gate, Pipeline

DAY = "2024-02-10"
COLUMNS = {
    "k": Column(type="string"),
    "n": Column(type="integer"),
    "on": Column(type="date", nulls=1.0),
    "weight": Column(type="number", min=0, max=100, nulls=0.5),
}
KEY = ("k", "n")
SCHEMA = tables.arrow_schema({name: column.type for name, column in COLUMNS.items()})
HALF = Gate(policy="quarantine", limit=0.5)


def quarantining(*expect: dict[str, Any]) -> Gate:
    return Gate(policy="quarantine", limit=1.0, expect=expect)


@pytest.fixture
def job(settings: Settings, pipeline: Pipeline) -> Job:
    return Job(settings, pipeline, date(2024, 2, 10))


def row(k: str | None, n: int = 1, weight: float | None = 1.0) -> dict[str, Any]:
    return {"k": k, "n": n, "on": date(2024, 2, 3), "weight": weight}


def stage(job: Job, rows: list[dict[str, Any]], fingerprint: str = "f", rows_per_file: int = 2) -> Manifest:
    table = job.table("features")
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    attempt = new_attempt()
    files = tables.write_partition(table, attempt, DAY, fingerprint, SCHEMA, [batch], rows_per_file)
    replaces = tables.state(table).fingerprint(DAY)
    return Manifest("parcels", "features", DAY, fingerprint, attempt, "run", "now", "v", "s", files, replaces)


def gate(job: Job, staged: Manifest, policy: Gate, **changes: Any) -> Audited:
    job = replace(job, attempt=new_attempt())
    return audit_partition(job, dataset="features", staged=staged, columns=COLUMNS, key=KEY, gate=policy, **changes)


def of(job: Job, dataset: str) -> list[dict[str, Any]]:
    state = tables.state(job.table(dataset))
    return tables.read(state.uri, state.files(DAY)).to_pylist()


GOOD = [row("a"), row("b"), row("c", weight=None), row("d")]
BAD = [*GOOD, row("e", weight=-1.0), row("dup"), row("dup")]


def test_a_good_partition_is_published_as_it_was_staged(job: Job) -> None:
    staged = stage(job, GOOD)
    audited = gate(job, staged, Gate())
    assert audited.report.status == "passed"
    assert audited.quarantine is None
    assert (audited.manifest.files, audited.manifest.fingerprint) == (staged.files, "f")
    assert audited.manifest.counts == {"rows": 4, "quarantined": 0}
    assert publish_audited(job, "features", SCHEMA, [audited]).published == (DAY,)
    assert of(job, "features") == GOOD
    assert tables.state(job.table("quarantine/features")).version == -1


def test_failing_rows_leave_and_the_fingerprint_says_so(job: Job) -> None:
    audited = gate(job, stage(job, BAD), HALF)
    assert audited.report.status == "quarantined"
    assert (audited.report.rows, audited.report.removed, audited.report.published) == (7, 3, 4)
    gone = [["dup", 1], ["dup", 1], ["e", 1]]
    assert audited.manifest.fingerprint == with_removed_rows("f", gone, removal_key(job.settings))
    assert [file.rows for file in audited.manifest.files] == [2, 2], "files stay as small as they were"
    publish_audited(job, "features", SCHEMA, [audited])
    assert of(job, "features") == GOOD
    left = of(job, "quarantine/features")
    assert [(item["key"], item["expectation"]) for item in left] == [
        ('["e",1]', "expect_column_values_to_be_between(weight)"),
        ('["dup",1]', "expect_compound_columns_to_be_unique(k, n)"),
        ('["dup",1]', "expect_compound_columns_to_be_unique(k, n)"),
    ]
    assert json.loads(left[0]["row"]) == {"k": "e", "n": 1, "on": "2024-02-03", "weight": -1.0}
    states = [tables.state(job.table(name)) for name in ("features", "quarantine/features")]
    assert len({state.fingerprint(DAY) for state in states}) == 1
    reconciled = audited.report.results[-1]
    assert reconciled.name == "rows in = published + quarantined"
    assert reconciled.observed == {"rows in": 7, "published": 4, "quarantined": 3}


def test_rows_that_an_earlier_version_removed_keep_the_name_that_readers_have_seen(job: Job) -> None:
    earlier = with_removed("f", [["dup", 1], ["dup", 1], ["e", 1]])
    audited = gate(job, replace(stage(job, BAD), replaces=earlier), HALF)
    assert audited.manifest.fingerprint == earlier


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (Gate(), "blocked"),
        (Gate(policy="warn"), "warned"),
        (Gate(policy="quarantine", limit=3 / 7), "quarantined"),
        (Gate(policy="quarantine", limit=0.42), "blocked"),
        (
            Gate(policy="quarantine", limit=1.0, expect=({"expect_table_row_count_to_be_between": {"min_value": 5}},)),
            "blocked",
        ),
        (
            Gate(policy="quarantine", limit=1.0, expect=({"expect_table_row_count_to_equal": {"value": 4}},)),
            "quarantined",
        ),
        (
            Gate(policy="quarantine", limit=1.0, expect=({"expect_column_values_to_be_null": {"column": "x"}},)),
            "blocked",
        ),
    ],
)
def test_policies(job: Job, policy: Gate, status: str) -> None:
    audited = gate(job, stage(job, BAD), policy)
    assert audited.report.status == status
    published = publish_audited(job, "features", SCHEMA, [audited]).published
    assert published == (() if status == "blocked" else (DAY,))
    expected = {"blocked": [], "warned": BAD, "quarantined": GOOD}[status]
    assert of(job, "features") == expected
    assert audited.report.removed == (3 if status == "quarantined" else 0)
    assert audited.manifest.gate is not None
    assert audited.manifest.gate.warnings == (2 if status == "warned" else 0)


def test_all_rows_may_leave(job: Job) -> None:
    audited = gate(job, stage(job, BAD[-2:]), quarantining())
    publish_audited(job, "features", SCHEMA, [audited])
    assert of(job, "features") == []
    assert len(of(job, "quarantine/features")) == 2


REJECTED = [Rejected('["x",1]', "weight parses as number", '{"k":"x"}'), Rejected('["y",1]', "a; b", '{"k":"y"}')]


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (Gate(), "blocked"),
        (Gate(policy="warn"), "warned"),
        (Gate(policy="quarantine", limit=0.33), "blocked"),
        (Gate(policy="quarantine", limit=0.34), "quarantined"),
    ],
)
def test_unreadable_rows_count_and_never_change_the_fingerprint(job: Job, policy: Gate, status: str) -> None:
    audited = gate(job, stage(job, GOOD), policy, rejected=REJECTED)
    assert audited.report.status == status
    assert audited.report.rows == 6
    assert [item.name for item in audited.report.failed] == ["a", "b", "weight parses as number"]
    assert audited.manifest.fingerprint == "f"
    if status != "blocked":
        publish_audited(job, "features", SCHEMA, [audited])
        assert [item["key"] for item in of(job, "quarantine/features")] == ['["x",1]', '["y",1]']
        assert audited.report.removed == 2


def test_unreadable_and_failing_rows_share_the_limit(job: Job) -> None:
    allowed = Gate(policy="quarantine", limit=5 / 9)
    assert gate(job, stage(job, BAD), allowed, rejected=REJECTED).report.removed == 5
    assert gate(job, stage(job, BAD), HALF, rejected=REJECTED).report.status == "blocked"


def test_rows_that_were_lost_on_the_way_block(job: Job) -> None:
    staged = replace(stage(job, GOOD), counts={"landed": 5})
    audited = gate(job, staged, quarantining())
    assert audited.report.status == "blocked"
    assert [item.name for item in audited.report.failed] == ["rows in = published + quarantined"]


def test_results_of_others_block_too(job: Job) -> None:
    extra = CheckResult("rows equal the keys of orders", None, {}, False, {"rows": 4}, 1, 4)
    assert gate(job, stage(job, GOOD), HALF, extra=[extra]).report.status == "blocked"


def test_the_report_is_kept_and_its_hash_is_in_the_manifest(job: Job) -> None:
    audited = gate(job, stage(job, BAD), HALF)
    summary = audited.manifest.gate
    assert summary is not None
    content = storage.read_bytes(summary.report)
    assert sha256(content) == summary.sha256
    document = json.loads(content)
    assert (document["status"], document["rows"], document["removed"]) == ("quarantined", 7, 3)
    attempt = document["attempt"]
    assert summary.report == f"{job.settings.reports}/parcels/features/ds={DAY}/{attempt}.json"
    assert audited.report_uri_html == summary.report.replace(".json", ".html")
    assert storage.exists(audited.report_uri_html)


def test_a_report_is_never_overwritten(job: Job) -> None:
    staged = stage(job, GOOD)
    arguments: dict[str, Any] = {"dataset": "features", "staged": staged, "columns": COLUMNS, "key": KEY, "gate": HALF}
    audit_partition(job, **arguments)
    with pytest.raises(NightshiftError, match="there is a gate report of this attempt already"):
        audit_partition(job, **arguments)


def test_no_cell_is_in_any_report(job: Job) -> None:
    rows = [row("secret-a", 77_001, 0.123), row("secret-b", 77_002, 444_555.0)]
    audited = gate(job, stage(job, rows), quarantining())
    for file in storage.list_files(job.settings.reports, recursive=True):
        text = storage.read_bytes(file.uri).decode()
        assert not any(cell in text for cell in ("secret", "77001", "77,001", "444555", "444,555")), file.uri
    assert audited.report.removed == 1


def test_too_many_rows_for_pandas_need_spark(job: Job) -> None:
    with pytest.raises(NightshiftError) as caught:
        gate(job, stage(job, GOOD), Gate(rows=3))
    assert str(caught.value) == (
        "features of 2024-02-10: 4 rows are more than gate.rows, and this process has no Spark to audit them with. "
        "What to do: raise gate.rows in the spec, or run the step where Spark can be started."
    )


def test_several_days_are_one_commit_and_blocked_ones_are_left_out(job: Job) -> None:
    days = [f"2024-02-{day}" for day in (10, 11, 12)]
    audits = []
    for day, rows in zip(days, (GOOD, BAD, GOOD), strict=True):
        staged = stage(job, rows)
        files = tables.write_partition(
            job.table("features"), staged.attempt, day, "f", SCHEMA, [pa.RecordBatch.from_pylist(rows, schema=SCHEMA)]
        )
        audits.append(gate(job, replace(staged, ds=day, files=files), Gate()))
    publication = publish_audited(job, "features", SCHEMA, audits)
    assert publication.published == ("2024-02-10", "2024-02-12")
    assert tables.state(job.table("features")).version == 1


def test_an_older_attempt_does_not_take_the_newer_one_s_quarantine(job: Job) -> None:
    older = gate(job, stage(job, BAD, "old"), HALF)
    newer = gate(job, stage(job, [*BAD, row("z", weight=-5.0)], "new"), HALF)
    assert publish_audited(job, "features", SCHEMA, [newer]).published == (DAY,)
    assert publish_audited(job, "features", SCHEMA, [older]).superseded == (DAY,)
    states = [tables.state(job.table(name)) for name in ("features", "quarantine/features")]
    assert [state.fingerprint(DAY) for state in states] == [newer.manifest.fingerprint] * 2


def test_an_orphan_in_quarantine_is_replaced_by_the_attempt_that_gets_through(job: Job) -> None:
    died = gate(job, stage(job, BAD, "f"), HALF)
    lives = gate(job, stage(job, [*BAD, row("z", weight=-5.0)], "g"), HALF)
    assert died.quarantine is not None
    tables.publish(
        job.table("quarantine/features"),
        pa.schema([(n, pa.string()) for n in ("key", "expectation", "row")]),
        [died.quarantine],
    )
    publish_audited(job, "features", SCHEMA, [lives])
    assert tables.state(job.table("quarantine/features")).fingerprint(DAY) == lives.manifest.fingerprint
