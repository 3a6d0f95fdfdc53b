"""``backfill --dry-run``, ``waive``, ``audit`` and ``prune`` as processes: their output and their exit codes."""

import json
import os
import time
from datetime import date
from pathlib import Path

import pytest

from nightshift import storage, tables
from nightshift.actor import system_account
from nightshift.cli import backfill
from nightshift.features.rebuilds import new_rebuild, ordered
from nightshift.registry.decisions import Verdict, record_decision
from nightshift.registry.entry import NewEntry
from nightshift.registry.heads import MARK
from nightshift.registry.ledger import Ledger
from nightshift.registry.promotion import Decision
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from tests.unit.cli.conftest import Cli
from tests.unit.tables.test_publish import SCHEMA, staged


@pytest.mark.usefixtures("ledger")
def test_a_dry_run_says_of_every_day_what_it_waits_for(cli: Cli) -> None:
    done = cli("backfill", "parcels", "2024-03-04", "2024-03-05", "--dry-run", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    nights = json.loads(done.stdout)["nights"]
    assert [night["ds"] for night in nights] == ["2024-03-04", "2024-03-05"]
    assert {night["features"]["state"] for night in nights} == {"waits"}
    assert nights[0]["predictions"]["changes"] == ["no champion as of this day"]
    done = cli("backfill", "parcels", "2024-03-04", "2024-03-05", "--dry-run", "--retrain")
    assert done.stdout.splitlines()[1].split() == ["2024-03-04", "not", "decided", "-", "-", "-", "-"]
    assert "parcels: retrains as of 2024-03-04, 2024-03-05" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("backfill", "parcels", "2024-03-05", "2024-03-04"), 2, "2024-03-05 is after 2024-03-04"),
        (("backfill", "parcels", "2030-01-01", "2030-01-02"), 3, "no day from 2030-01-01 to 2030-01-02 has a run"),
        (
            ("backfill", "parcels", "2024-03-04", "2024-03-05", "--rebuild", "--retrain"),
            2,
            "--rebuild goes with neither --retrain nor --watch",
        ),
        (
            ("backfill", "parcels", "2024-03-04", "2024-03-05", "--watch", "--verify-landing"),
            2,
            "--verify-landing goes with what looks at landing",
        ),
        (("backfill", "parcels", "2024-03-04", "2024-03-05", "--reason", "why"), 2, "--reason is one for --rebuild"),
        (("audit", "parcels", "2024-03-05", "2024-03-04"), 2, "2024-03-05 is after 2024-03-04"),
        (("prune", "--older-than", "soon"), 2, "'soon' is not a duration; write it as 30d or 12h"),
        (("restore", "nowhere"), 3, "holds no whole backup"),
    ],
)
def test_what_cannot_be_asked(cli: Cli, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_a_waiver_is_an_entry(cli: Cli, ledger: Ledger) -> None:
    forged = {"LOGNAME": "mallory", "USER": "mallory"}
    command = ("waive", "parcels", "deliveries", "--ds", "2024-03-03", "--reason", "the depot burnt down", "--json")
    done = cli(*command, **forged)
    assert done.returncode == 0, done.stderr
    [entry] = ledger.entries("parcels")
    waiver = json.loads(done.stdout)["waiver"]
    assert waiver["details"] == {"source": "deliveries", "ds": "2024-03-03", **MARK}
    assert waiver["actor"].endswith(f"(uid {os.getuid()})")
    assert "mallory" not in done.stdout
    assert entry.reason == "the depot burnt down"
    done = cli("waive", "parcels", "orders", "--ds", "2024-03-03", "--reason", "x")
    assert (done.returncode, done.stdout) == (3, "")
    assert "source orders is the spine" in done.stderr


def test_a_table_of_retrains_shows_what_a_freeze_refused_until_it_is_decided_again(
    cli: Cli, home: Settings, ledger: Ledger
) -> None:
    """As ``backfill --retrain`` ends in it, too. A date of history may be decided again once the freeze is over."""
    spec, ds = load_pipeline(home, "parcels"), date(2024, 3, 4)
    good = Decision(promote=True, reasons=("it is better",))
    ledger.append(NewEntry("parcels", "freeze", "ann", "audit"))
    record_decision(ledger, spec, Verdict(ds, good, "1", "1" * 64, "", "run-1", "retrain"))
    shown = ("backfill", "parcels", "2024-03-04", "2024-03-05", "--dry-run", "--retrain")
    line = " ".join(cli(*shown).stdout.splitlines()[1].split())
    assert line.startswith("2024-03-04 refusal 1 - 2 frozen by ann in entry 1 (audit); the rule would promote it")
    ledger.append(NewEntry("parcels", "unfreeze", "ann", "over"))
    record_decision(ledger, spec, Verdict(ds, good, "1", "1" * 64, "", "run-2", "retrain"))
    found = json.loads(cli(*shown, "--json").stdout)["decisions"]
    assert (found["2024-03-04"]["kind"], found["2024-03-04"]["seq"], found["2024-03-05"]) == ("promotion", 4, None)


def test_where_nothing_is_published_there_is_nothing_to_audit_or_prune(cli: Cli) -> None:
    done = cli("audit", "parcels", "2024-03-04", "2024-03-05")
    assert (done.returncode, done.stdout) == (1, "nothing of parcels is published from 2024-03-04 to 2024-03-05\n")
    done = cli("prune", "parcels", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "nothing in 0 tables is old and unread\n")


def test_who_pruned_what_is_kept_beside_the_lake(cli: Cli, home: Settings) -> None:
    table = f"{home.tables}/parcels/features"
    tables.publish(table, SCHEMA, [staged(table, "2024-03-04", "aa", "1")])
    tables.write_partition(table, "9", "2024-03-04", "zz", SCHEMA, [])
    old = time.time() - 40 * 86_400
    for path in Path(table, "attempt=9").rglob("*"):
        os.utime(path, (old, old))
    assert cli("prune", "parcels", "--dry-run").returncode == 0
    assert storage.list_files(f"{home.lake}/_upkeep") == []
    for _ in range(2):
        assert cli("prune", "parcels", LOGNAME="mallory").returncode == 0
    [file] = storage.list_files(f"{home.lake}/_upkeep")
    record = storage.read_json(file.uri)
    assert (record["what"], record["table"], record["files"]) == ("prune", table, 1)
    assert record["actor"] == system_account()


def test_a_prune_that_leaves_a_pipeline_out_is_1(cli: Cli, home: Settings) -> None:
    (home.pipelines / "broken.yaml").write_text("pipeline: broken\n")
    done = cli("prune", "--dry-run")
    assert done.returncode == 1
    assert "not looked at, the spec is not valid: " in done.stdout
    assert cli("prune", "parcels", "--dry-run").returncode == 0


@pytest.mark.parametrize("made", [False, True])
def test_an_order_to_rebuild_is_withdrawn_where_no_backfill_comes_of_it(home: Settings, made: bool) -> None:
    spec, day = load_pipeline(home, "parcels"), date(2024, 3, 4)
    asked = new_rebuild(day, day, "ada", "why")

    def fails() -> None:
        with backfill._standing(home, spec, asked, lambda: made):
            assert ordered(home, spec) == (asked,)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert ordered(home, spec) == ((asked,) if made else ())


def test_without_an_order_nothing_stands(home: Settings) -> None:
    spec = load_pipeline(home, "parcels")
    with backfill._standing(home, spec, None, lambda: False):
        assert ordered(home, spec) == ()
