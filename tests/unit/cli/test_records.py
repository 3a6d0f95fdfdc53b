"""``champions``, ``ledger`` and ``history`` as processes on a real database and real tables."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from nightshift import tables
from nightshift.database import connect_to
from nightshift.job import Job
from nightshift.lineage import GateSummary, Manifest
from nightshift.registry.entry import NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.tables import folder, write_partition
from tests.conftest import make_pipeline
from tests.postgres import Database
from tests.unit.cli.conftest import Cli
from tests.unit.inputs.landed import drop, drop_day
from tests.unit.registry.entries import append_at, promotion
from tests.unit.specs.home import add_spec

NOTHING = "nothing of parcels is published for"
DAY = date(2024, 3, 4)


@pytest.fixture
def promoted(ledger: Ledger) -> Ledger:
    """Two promotions: version 1 from 2024-03-04 on, version 2 from 2024-03-08 on."""
    for version, as_of in (("1", date(2024, 3, 3)), ("2", date(2024, 3, 7))):
        effective = as_of + timedelta(days=1)
        sha = version * 64
        ledger.append(NewEntry("parcels", "promotion", "tests", "better", as_of, effective, version, sha))
    ledger.append(NewEntry("parcels", "refusal", "tests", "no skill", date(2024, 3, 9), version="3"))
    return ledger


ALIAS = "where MLflow's alias points is not known: MLflow does not answer as it should (ConnectError)"


@pytest.mark.usefixtures("promoted")
def test_the_timeline_of_champions(cli: Cli) -> None:
    done = cli("champions", "parcels")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, alias = done.stdout.splitlines()
    assert alias == ALIAS
    assert [line.split() for line in lines] == [
        ["from", "version", "model", "trained", "as", "of", "entry"],
        ["2024-03-04", "1", "1" * 16, "2024-03-03", "1"],
        ["2024-03-08", "2", "2" * 16, "2024-03-07", "2"],
    ]
    document = json.loads(cli("champions", "parcels", "--json").stdout)
    assert [item["from"] for item in document["champions"]] == ["2024-03-04", "2024-03-08"]
    assert document["champions"][1]["champion"] == {
        "version": "2",
        "sha256": "2" * 64,
        "seq": 2,
        "effective_from": "2024-03-08",
        "as_of": "2024-03-07",
    }


@pytest.mark.usefixtures("promoted")
def test_the_champion_of_a_day(cli: Cli) -> None:
    done = cli("champions", "parcels", "--as-of", "2024-03-07")
    since = "since 2024-03-04, entry 1"
    assert done.stdout == f"parcels as of 2024-03-07: version 1 (model {'1' * 16}, trained as of 2024-03-03; {since})\n"
    nobody = cli("champions", "parcels", "--as-of", "2024-03-03")
    assert (nobody.returncode, nobody.stdout) == (1, "parcels as of 2024-03-03: no champion\n")
    assert json.loads(cli("champions", "parcels", "--as-of", "2024-03-03", "--json").stdout)["champion"] is None


@pytest.mark.usefixtures("promoted")
def test_the_champion_at_a_moment(cli: Cli) -> None:
    """What was recorded later was not known: all of it was recorded just now, long after 2024."""
    assert cli("champions", "parcels", "--at", "2024-03-08T12:00").returncode == 1
    assert cli("champions", "parcels", "--as-of", "2024-03-08", "--at", "2024-03-08T12:00+00:00").returncode == 1
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds")
    found = json.loads(cli("champions", "parcels", "--at", later, "--json").stdout)
    assert (found["champion"]["version"], found["at"].replace(" ", "T")) == ("2", later)
    both = json.loads(cli("champions", "parcels", "--as-of", "2024-03-05", "--at", later, "--json").stdout)
    assert both["champion"]["version"] == "1"


@pytest.mark.usefixtures("ledger")
def test_a_pipeline_without_a_champion_is_1(cli: Cli) -> None:
    done = cli("champions", "parcels")
    assert (done.returncode, done.stdout) == (1, f"parcels has no champion\n{ALIAS}\n")
    assert json.loads(cli("champions", "parcels", "--json").stdout) == {
        **{"pipeline": "parcels", "champions": []},
        **{"orders": [], "frozen": None, "alias": ALIAS},
    }


def test_the_entries_of_a_pipeline(cli: Cli, promoted: Ledger) -> None:
    done = cli("ledger", "parcels")
    header, *lines = done.stdout.splitlines()
    assert header.split()[:2] == ["entry", "recorded"]
    assert [line.split()[3] for line in lines] == ["promotion", "promotion", "refusal"]
    assert cli("ledger", "show", "parcels").stdout == done.stdout
    document = json.loads(cli("ledger", "parcels", "--json").stdout)
    assert document["entries"] == [entry.document() for entry in promoted.entries("parcels")]


@pytest.mark.usefixtures("promoted")
def test_entries_outlive_their_spec(cli: Cli, home: Settings) -> None:
    add_spec(home, "letters")
    (home.pipelines / "parcels.yaml").unlink()
    assert cli("ledger", "parcels").returncode == 0
    assert cli("ledger", "letters").stdout == "the ledger of local has no entry of letters\n"
    unknown = cli("ledger", "leters")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "SpecError: include/pipelines: there is no pipeline 'leters'; did you mean letters? Allowed: letters.\n",
    )


def test_the_chain_is_verified(cli: Cli, promoted: Ledger) -> None:
    head = promoted.head()
    done = cli("ledger", "verify")
    first, covered, away = done.stdout.splitlines()
    assert (done.returncode, first) == (0, f"ledger of local: 3 entries, the chain is whole, head {head[:16]}")
    assert covered == "no entry's head is kept elsewhere yet; the next entry's will be"
    assert away.startswith("not asked: MLflow: MLflow does not answer")
    document = json.loads(cli("ledger", "verify", "--json").stdout)
    expected = {"env": "local", "entries": 3, "head": head, "whole": True, "future": [], "findings": [], "restores": []}
    assert {name: document[name] for name in expected} == expected
    assert document["covered"] == {"from_entry": None, "tables": []}
    assert len(document["not_asked"]) == 1


@pytest.mark.usefixtures("promoted")
def test_a_chain_that_was_changed_is_1_and_the_first_bad_entry_is_named(cli: Cli, database: Database) -> None:
    with connect_to(database.owner_url) as connection:
        connection.execute("ALTER TABLE ledger DISABLE TRIGGER ALL")
        connection.execute("UPDATE ledger SET content = replace(content, 'better', 'bitter') WHERE seq = 2")
    done = cli("ledger", "verify")
    assert (done.returncode, done.stderr) == (1, "")
    whole, bad, *guards = done.stdout.splitlines()
    assert whole.startswith("ledger of local: 1 entries, then the chain is broken")
    assert bad.startswith("entry: ledger of environment local: entry 2 is bad: its hash is not that of its content")
    assert all(line.startswith("guard: table public.ledger: trigger ") for line in guards[:2])


def test_entries_of_the_future_are_named(cli: Cli, promoted: Ledger, database: Database) -> None:
    last = promoted.entries()[-1]
    append_at(database.owner_url, last, "2099-01-01T00:00:00.000000+00:00", effective_from="2099-01-02")
    promoted.append(promotion())
    done = cli("ledger", "verify")
    assert done.returncode == 1
    whole, first, second, clocks, *_ = done.stdout.splitlines()
    assert "5 entries, the chain is whole" in whole
    assert first.startswith(
        "future: ledger of local: entry 4 of parcels is of the future: recorded at 2099-01-01 00:00"
    )
    assert first.endswith("effective from 2099-01-02.")
    assert "entry 5 of parcels is of the future: recorded at 2099-01-01 00:00 UTC" in second
    assert clocks.startswith("A clock was ahead")
    assert json.loads(cli("ledger", "verify", "--json").stdout)["future"] == [4, 5]


@pytest.mark.usefixtures("ledger")
def test_a_restore_by_hand_is_explained(cli: Cli, home: Settings, database: Database) -> None:
    chain = Ledger.of(replace(home, database_url=database.writer_url))
    for _ in range(3):
        last = chain.append(promotion())
    with connect_to(database.owner_url) as connection:
        connection.execute("ALTER TABLE ledger DISABLE TRIGGER ALL")
        connection.execute("DELETE FROM ledger WHERE seq > 1")
        connection.execute(
            "ALTER TABLE ledger ENABLE ALWAYS TRIGGER never_changes, ENABLE ALWAYS TRIGGER continues, "
            "ENABLE ALWAYS TRIGGER of_people"
        )
    done = cli("ledger", "verify")
    assert (done.returncode, done.stdout.splitlines()[1].split(":")[0]) == (1, "tail")
    assert cli("ledger", "restored").returncode == 2
    done = cli("ledger", "restored", "--reason", "dump of monday", "--json")
    entry = json.loads(done.stdout)["entry"]
    assert (entry["kind"], entry["seq"], entry["reason"]) == ("restore", 2, "dump of monday")
    assert last.hash in entry["details"]["lost"]["heads"]
    done = cli("ledger", "verify")
    assert done.returncode == 0, done.stdout
    assert "put a backup in the ledger's place (dump of monday)" in done.stdout


def test_a_database_that_is_away_is_3(cli: Cli) -> None:
    done = cli("ledger", "verify", NIGHTSHIFT_DATABASE="postgresql://nobody:hidden@127.0.0.1:1/none")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (3, "", 1)
    assert done.stderr.startswith("PlatformError: 127.0.0.1:1/none: the Nightshift database cannot be reached")
    assert "hidden" not in done.stderr


def _publish(job: Job, dataset: str, ds: str, rows: int, gate: GateSummary | None = None) -> Manifest:
    uri, schema = job.table(dataset), tables.arrow_schema({"parcel_id": "string"})
    columns = {"parcel_id": [f"p{row}" for row in range(rows)]}
    batches = pa.table(columns, schema=schema).to_batches()
    files = write_partition(uri, job.attempt, ds, "f" * 16, schema, batches, 1000)
    manifest = Manifest(
        pipeline=job.pipeline.name,
        dataset=dataset,
        ds=ds,
        fingerprint="f" * 16,
        attempt=job.attempt,
        run_id="manual",
        created_at="2024-03-04T07:00:01+00:00",
        code_version="abc",
        spec_hash="def",
        files=files,
        counts={"landed": rows},
        gate=gate,
    )
    tables.publish(uri, schema, [manifest])
    return manifest


@pytest.mark.usefixtures("ledger")
def test_what_is_published_of_a_day(cli: Cli, home: Settings) -> None:
    assert folder("a", "d", "f") == "attempt=a/ds=d/fingerprint=f"
    job = Job(home, make_pipeline(), DAY, attempt="a1")
    gate = GateSummary("/reports/a1.json", "0" * 64, "quarantined")
    _publish(job, "inputs/orders", "2024-03-04", 3, gate)
    _publish(job, "quarantine/inputs/orders", "2024-03-04", 2)
    _publish(job, "inputs/depots", "2024-03-01", 1)
    _publish(job, "inputs/depots", "2024-03-06", 1)
    done = cli("history", "parcels", "--ds", "2024-03-04")
    assert (done.returncode, done.stderr) == (0, "")
    state, header, orders, depots, title, report = done.stdout.splitlines()
    assert state == "parcels 2024-03-04: WAITING", "its inputs are there, and no run is"
    assert " ".join(header.split()) == "dataset ds rows quarantined gate model run attempt made at fingerprint"
    assert orders.split() == [
        *("inputs/orders", "2024-03-04", "3", "2", "quarantined", "-", "manual", "a1", "2024-03-04T07:00:01", "f" * 16)
    ]
    assert depots.split()[:5] == ["inputs/depots", "2024-03-01", "1", "0", "-"]
    assert (title, report) == ("gate reports:", "  inputs/orders: /reports/a1.html")
    nothing = cli("history", "parcels", "--ds", "2024-03-05")  # depots of another day are there
    assert (nothing.returncode, nothing.stdout) == (1, f"parcels 2024-03-05: WAITING\n{NOTHING} 2024-03-05\n")
    document = json.loads(cli("history", "parcels", "--ds", "2024-03-04", "--json").stdout)
    first = document["published"][0]
    assert (document["pipeline"], document["ds"], document["state"]) == ("parcels", "2024-03-04", "WAITING")
    assert (first["dataset"], first["version"], first["quarantined"]) == ("inputs/orders", 1, 2)
    assert first["counts"] == {"landed": 3}
    assert first["gate"] == {"report": "/reports/a1.json", "sha256": "0" * 64, "status": "quarantined", "warnings": 0}


@pytest.mark.usefixtures("ledger")
def test_a_correction_that_its_gate_refused_is_named(cli: Cli, home: Settings) -> None:
    day = "2024-03-04"
    drop_day(home, day, ("2024-03-01", "2024-03-02", "2024-03-03"))
    refused = "inputs/orders of 2024-03-04: the landing files ({}) are not published, "
    assert refused.format("new") + "no gate has seen them yet" in cli("history", "parcels", "--ds", day).stdout
    assert cli("run", "parcels", "gate_inputs", "--ds", day).returncode == 0
    assert "not published" not in cli("history", "parcels", "--ds", day).stdout
    drop(home, f"orders/ds={day}", "a,N,1", "a,N,1", "a,N,2")
    assert cli("run", "parcels", "gate_inputs", "--ds", day).returncode == 0
    done = cli("history", "parcels", "--ds", day, "--json")
    [aside] = json.loads(done.stdout)["aside"]
    said, page = aside.rsplit(" ", 1)
    assert said == refused.format("corrected") + "the gate refused the last ones that it saw:"
    assert "Nothing of this attempt is published" in Path(page).read_text()
    drop_day(home, day, ())
    assert "not published" not in cli("history", "parcels", "--ds", day).stdout, "it was taken back"


@pytest.mark.usefixtures("ledger")
def test_the_quarantine_of_another_publication_does_not_count(cli: Cli, home: Settings) -> None:
    job = Job(home, make_pipeline(), DAY, attempt="a1")
    _publish(job, "inputs/orders", "2024-03-04", 3)
    orphan = _publish(replace(job, attempt="a2"), "quarantine/inputs/orders", "2024-03-05", 2)
    assert orphan.rows == 2
    document = json.loads(cli("history", "parcels", "--ds", "2024-03-04", "--json").stdout)
    assert [item["quarantined"] for item in document["published"]] == [0]


@pytest.mark.usefixtures("ledger")
def test_a_day_that_another_program_changed_is_named_and_repaired(cli: Cli, home: Settings) -> None:
    job = Job(home, make_pipeline(), DAY, attempt="a1")
    _publish(job, "predictions", "2024-03-04", 3)
    _publish(job, "predictions", "2024-03-05", 2)
    rows = pa.table({"parcel_id": ["ghost"], "ds": ["2024-03-04"]})
    write_deltalake(job.table("predictions"), rows, mode="append")
    said = "was changed by another program: 1 of its 2 files are not Nightshift's; `nightshift repair parcels`"
    assert f"predictions of 2024-03-04 {said}" in cli("history", "parcels", "--ds", "2024-03-04").stdout
    assert f"parcels predictions of 2024-03-04 {said}" in cli("status").stdout
    assert said not in cli("history", "parcels", "--ds", "2024-03-05").stdout
    asked = cli("diagnose", "parcels", "--ds", "2024-03-04")
    assert asked.returncode == 1
    assert "predictions: refused, another program changed them" in asked.stdout
    assert "nightshift repair parcels" in asked.stdout
    planned = cli("repair", "parcels", "--dry-run", "--json")
    [item] = json.loads(planned.stdout)["repairs"]
    assert (item["dataset"], item["ds"], item["error"]) == ("predictions", "2024-03-04", "")
    done = cli("repair", "parcels")
    assert (done.returncode, "put back as published at 2024-03-04T07:00:01, attempt a1" in done.stdout) == (0, True)
    assert cli("repair", "parcels").stdout == "nothing is damaged\n"
    assert tables.state(job.table("predictions")).partitions["2024-03-04"].rows == 3


@pytest.mark.usefixtures("ledger")
def test_a_day_that_another_program_removed_is_named_with_its_repair(cli: Cli, home: Settings) -> None:
    job = Job(home, make_pipeline(), DAY, attempt="a1")
    _publish(job, "predictions", "2024-03-04", 3)
    DeltaTable(job.table("predictions")).delete("ds = '2024-03-04'")
    said = "was changed by another program: all of its files were removed; `nightshift repair parcels`"
    assert f"predictions of 2024-03-04 {said}" in cli("history", "parcels", "--ds", "2024-03-04").stdout
    asked = cli("diagnose", "parcels", "--ds", "2024-03-04").stdout
    assert "predictions: none, another program changed them: all of its files were removed" in asked
    assert "nightshift repair parcels" in asked
    assert cli("repair", "parcels").returncode == 0
    assert "another program" not in cli("history", "parcels", "--ds", "2024-03-04").stdout


@pytest.mark.usefixtures("ledger")
def test_nothing_published_is_1(cli: Cli) -> None:
    done = cli("history", "parcels", "--ds", "2024-03-04")
    assert (done.returncode, done.stdout) == (1, f"parcels 2024-03-04: WAITING\n{NOTHING} 2024-03-04\n")
