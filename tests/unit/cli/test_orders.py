"""Orders of people about models as processes, on a real database and real files."""

import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from nightshift import storage, tables
from nightshift.features.recipes import code_of, feature_spec
from nightshift.job import Job
from nightshift.lineage import find_staged, sha256
from nightshift.model_manifest import FeatureColumn, ModelManifest, manifest_uri, model_uri
from nightshift.registry.champions import champion_as_of
from nightshift.registry.effective import next_ds
from nightshift.registry.entry import NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from tests.unit.cli.conftest import Cli

DAY = timedelta(days=1)
FIRST = date(2024, 3, 4)
REASON = ("--reason", "scores doubled, ticket 4711")
AWAY = {"NIGHTSHIFT_MLFLOW": "http://127.0.0.1:9"}


def model(version: str) -> bytes:
    return f"model {version}".encode()


def digest(version: str) -> str:
    return sha256(model(version))


def keep_model(settings: Settings, version: str, as_of: date) -> None:
    """The files of a model of the features as they are built now."""
    spec = load_pipeline(settings, "parcels")
    manifest = ModelManifest(
        pipeline="parcels",
        as_of=as_of.isoformat(),
        objective="regression",
        label="hours",
        sha256=digest(version),
        evaluated_sha256=digest(version),
        columns=tuple(FeatureColumn(name, item.type) for name, item in spec.features.columns.items()),
        categories={},
        rounds=1,
        fingerprint="f" * 16,
        training_set="t" * 16,
        feature_code=code_of(settings.home, spec)["features"],
        feature_spec=feature_spec(spec),
        code_version="test",
    )
    storage.write_bytes(model_uri(settings.models, digest(version)), model(version))
    storage.write_json(manifest_uri(settings.models, digest(version)), manifest.document())


def publish(settings: Settings, day: date, version: str) -> None:
    """Predictions of a day by a version's model."""
    job = Job(settings, load_pipeline(settings, "parcels"), day, run_id="night")
    table, schema = job.table("predictions"), tables.arrow_schema({"parcel_id": "string"})
    files = tables.write_partition(table, job.attempt, job.day, "f1", schema, [])
    manifest = job.manifest("predictions", job.day, "f1", files=files, model_sha256=digest(version))
    tables.publish(table, schema, [manifest])


@pytest.fixture
def promoted(ledger: Ledger, home: Settings) -> Ledger:
    """Version 1 from 2024-03-04 on, version 2 from 2024-03-08 on; version 3 was refused. All have their files."""
    for number, as_of in enumerate((FIRST - DAY, FIRST + 3 * DAY, FIRST + 8 * DAY), start=1):
        keep_model(home, str(number), as_of)
        kind, effective = ("refusal", None) if number == 3 else ("promotion", as_of + DAY)
        new = NewEntry(
            "parcels", kind, "retrain", "by the rule", as_of, effective, str(number), digest(str(number)),
            {"history": False},
        )  # fmt: skip
        ledger.append(new)
    return ledger


@pytest.fixture
def nights(promoted: Ledger, home: Settings) -> Ledger:
    """Six nights: two by version 1, then four by version 2."""
    for number in range(6):
        publish(home, FIRST + (number + 2) * DAY, "1" if number < 2 else "2")
    return promoted


def champion(ledger: Ledger, day: date) -> str | None:
    found = champion_as_of(ledger.entries("parcels"), day)
    return found.version if found else None


def tomorrow(settings: Settings) -> date:
    return next_ds(load_pipeline(settings, "parcels").schedule, datetime.now(UTC))


# ---- rollback


def test_a_rollback_counts_from_the_next_night_on(cli: Cli, promoted: Ledger, home: Settings) -> None:
    done = cli("rollback", "parcels", "--to", "1", *REASON, **AWAY)
    assert done.returncode == 0, done.stderr
    entry = promoted.entries("parcels")[-1]
    assert (entry.kind, entry.version, entry.model_sha256) == ("rollback", "1", digest("1"))
    assert (entry.effective_from, entry.as_of) == (tomorrow(home), FIRST - DAY)
    assert (entry.reason, "(uid " in entry.actor) == ("scores doubled, ticket 4711", True)
    assert champion(promoted, tomorrow(home)) == "1"
    assert champion(promoted, tomorrow(home) - DAY) == "2"
    assert promoted.verify() == 4
    assert f"entry 4, rollback to version 1 from {tomorrow(home)} on by " in done.stdout
    assert "the alias champion was not set" in done.stdout
    assert "MLflow's alias champion was not set, the ledger holds: http://127.0.0.1:9: MLflow does not" in done.stderr

    again = cli("rollback", "parcels", "--to", "1", *REASON, **AWAY)
    assert (again.returncode, again.stdout) == (3, "")
    assert again.stderr.startswith(
        f"OrderRefused: parcels: version 1 is champion from {tomorrow(home)} on already, by entry 4, rollback to "
    )
    assert promoted.verify() == 4


def test_a_dry_run_says_who_scores_when_and_what_repairs_it_and_records_nothing(cli: Cli, nights: Ledger) -> None:
    arguments = ("rollback", "parcels", "--effective-from", "2024-03-09", *REASON, "--dry-run")
    done = cli(*arguments, **AWAY)
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    one, two = f"version 1 ({digest('1')[:16]})", f"version 2 ({digest('2')[:16]})"
    assert lines == [
        "dry run, nothing is recorded: rollback to version 1 from 2024-03-09 on",
        "version 1 can serve: its files are whole, its feature code and spec are those of now",
        "who scores:",
        "from until before after",
        f"2024-03-09 - {two} {one}",
        "published days that a withdrawn or replaced model scored: 2024-03-09 to 2024-03-11 (3 days). "
        "What repairs them:",
        "nightshift backfill parcels 2024-03-09 2024-03-11",
        "published days before 2024-03-09 that a withdrawn model scored stay as they are: 2024-03-08 (1 day). "
        "To have them scored again:",
        "nightshift rollback parcels --to 1 --effective-from 2024-03-08 --reason WHY",
        "whether MLflow has version 1 is not known: MLflow does not answer (MlflowException)",
    ]
    document = json.loads(cli(*arguments, "--json", **AWAY).stdout)
    assert (document["version"], document["effective_from"], document["entry"]) == ("1", "2024-03-09", None)
    assert document["stale"] == [{"from": "2024-03-09", "to": "2024-03-11"}]
    assert document["kept"] == [{"from": "2024-03-08", "to": "2024-03-08"}]
    assert document["repair"] == ["nightshift backfill parcels 2024-03-09 2024-03-11"]
    assert [item["champion"]["version"] for item in (*document["before"], *document["after"])] == ["2", "1"]
    assert nights.verify() == 3


def test_who_cannot_serve_is_refused_with_the_reason(cli: Cli, promoted: Ledger, home: Settings) -> None:
    storage.write_bytes(model_uri(home.models, digest("1")), b"other bytes")
    for more in ((), ("--dry-run",)):
        done = cli("rollback", "parcels", *REASON, *more, **AWAY)
        assert (done.returncode, done.stdout) == (3, "")
        said = "OrderRefused: parcels: version 1 cannot serve: the files of version 1 are gone or altered. What to do: "
        assert done.stderr.startswith(said)
    assert promoted.verify() == 3


@pytest.mark.usefixtures("promoted")
def test_an_order_without_a_reason_is_wrong_usage(cli: Cli) -> None:
    for words in (("rollback",), ("retire", "1"), ("override", "1"), ("freeze",), ("unfreeze",)):
        done = cli(words[0], "parcels", *words[1:])
        assert (done.returncode, "--reason" in done.stderr) == (2, True)


def test_a_version_that_a_shell_left_empty_is_wrong_usage_or_refused(cli: Cli, promoted: Ledger) -> None:
    """Each meant the champion before the present one."""
    empty = cli("rollback", "parcels", "--to", "", *REASON, **AWAY)
    assert (empty.returncode, "--to names no version" in empty.stderr) == (2, True)
    for word, what in (("retire", "a retirement"), ("override", "an override")):
        done = cli(word, "parcels", "", *REASON, **AWAY)
        assert done.returncode == 3
        assert done.stderr.startswith(f"OrderRefused: parcels: {what} names a version.")
    assert promoted.verify() == 3


def test_an_order_that_counts_is_not_told_as_a_failure(cli: Cli, nights: Ledger, home: Settings) -> None:
    """The table of predictions cannot be read: what the order makes stale is not known, and that is all."""
    job = Job(home, load_pipeline(home, "parcels"), FIRST)
    log = Path(job.table("predictions"), "_delta_log")
    for commit in log.glob("*.json"):
        commit.write_text("no commit")
    done = cli("rollback", "parcels", "--effective-from", "2024-03-09", *REASON, "--json", **AWAY)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["entry"]["seq"], found["stale"], found["kept"], found["repair"]) == (4, None, None, None)
    assert "the published days were not looked at, the ledger holds: " in done.stderr
    again = cli("rollback", "parcels", "--effective-from", "2024-03-09", *REASON, "--dry-run", **AWAY)
    assert again.returncode != 0
    assert nights.verify() == 4


# ---- retire, override, freeze


def test_a_retired_version_is_followed_and_never_comes_back(cli: Cli, nights: Ledger) -> None:
    done = cli("retire", "parcels", "2", "--effective-from", "2024-03-08", *REASON, "--json", **AWAY)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["entry"]["details"]["follows"]["version"] == "1"
    assert document["repair"] == ["nightshift backfill parcels 2024-03-08 2024-03-11"]
    assert [champion(nights, FIRST + number * DAY) for number in range(3, 6)] == ["1", "1", "1"]
    back = cli("override", "parcels", "2", *REASON, **AWAY)
    assert (back.returncode, "version 2 is retired for good: entry 4, retirement of version 2" in back.stderr) == (
        3,
        True,
    )


def test_a_freeze_is_told_everywhere_and_an_override_goes_by_it(cli: Cli, nights: Ledger, home: Settings) -> None:
    done = cli("freeze", "parcels", "--reason", "audit until Friday")
    assert done.returncode == 0, done.stderr
    by = nights.entries("parcels")[-1].actor
    told = f"entry 4, freeze by {by} (audit until Friday)"
    assert done.stdout == f"{told}\n"
    since = nights.entries("parcels")[-1].recorded_at.strftime("%Y-%m-%d %H:%M")
    line = f"promotions are frozen since {since} UTC: {told}"
    assert cli("freeze", "parcels", "--reason", "twice").stderr.startswith(
        f"OrderRefused: parcels: promotions are frozen already: {told}"
    )
    assert line in cli("champions", "parcels").stdout.splitlines()
    assert line in cli("history", "parcels", "--ds", "2024-03-08").stdout.splitlines()
    assert line in cli("diagnose", "parcels", "--ds", "2024-03-08", "--retrain").stdout
    assert f"parcels: {line}" in cli("status").stdout.splitlines()

    promoted = cli("override", "parcels", "3", *REASON, "--json", **AWAY)
    assert promoted.returncode == 0, promoted.stderr
    assert json.loads(promoted.stdout)["frozen"]["seq"] == 4
    assert champion(nights, tomorrow(home)) == "3"
    found = json.loads(cli("champions", "parcels", "--json").stdout)
    assert [entry["kind"] for entry in found["orders"]] == ["override"]
    assert found["frozen"]["reason"] == "audit until Friday"

    assert cli("unfreeze", "parcels", "--reason", "over").returncode == 0
    assert "frozen" not in cli("champions", "parcels").stdout
    assert cli("unfreeze", "parcels", "--reason", "over").stderr.startswith(
        "OrderRefused: parcels: promotions are not frozen"
    )
    assert nights.verify() == 6


def test_a_day_that_a_withdrawn_model_scored_says_so(cli: Cli, nights: Ledger) -> None:
    assert cli("rollback", "parcels", "--effective-from", "2024-03-09", *REASON, **AWAY).returncode == 0
    by = nights.entries()[-1].actor
    told = f"entry 4, rollback to version 1 from 2024-03-09 on by {by} (scores doubled, ticket 4711)"
    said = f"model {digest('2')[:16]}, which scored 2024-03-09, was withdrawn: {told}"
    again = "`nightshift backfill parcels 2024-03-09 2024-03-09` scores it again"
    assert f"{said}; {again}" in cli("history", "parcels", "--ds", "2024-03-09").stdout.splitlines()
    assert said in cli("diagnose", "parcels", "--ds", "2024-03-09").stdout
    assert told in cli("champions", "parcels").stdout.splitlines()
    assert told in cli("champions", "parcels", "--as-of", "2024-03-20").stdout.splitlines()


def test_a_prune_after_orders_leaves_what_they_are_about(cli: Cli, nights: Ledger, home: Settings) -> None:
    """Days that a retired model scored stay readable, and so do all models; what it left unpublished goes."""
    job = Job(home, load_pipeline(home, "parcels"), FIRST + 9 * DAY, run_id="night")
    table, schema = job.table("predictions"), tables.arrow_schema({"parcel_id": "string"})
    files = tables.write_partition(table, job.attempt, job.day, "f2", schema, [])
    tables.leave_staged(table, job.manifest("predictions", job.day, "f2", files=files, model_sha256=digest("2")))
    for order in (("retire", "parcels", "2"), ("override", "parcels", "3"), ("freeze", "parcels")):
        done = cli(*order, *REASON, **AWAY)
        assert done.returncode == 0, done.stderr
    before, models = nights.entries(), sorted(Path(home.models).rglob("*"))
    published = tables.state(table).partitions
    past = time.time() - 40 * 86_400
    for path in (*Path(table).rglob("*"), *models):
        os.utime(path, (past, past))

    found = json.loads(cli("prune", "parcels", "--json").stdout)
    assert [len(item["expired"]) for item in found["tables"]] == [1]
    assert find_staged(table, job.day, "f2") is None
    assert (nights.entries(), nights.verify()) == (before, len(before))
    assert sorted(Path(home.models).rglob("*")) == models
    assert tables.state(table).partitions == published
    for day in published:
        assert tables.state(table).files(day) == published[day].files
