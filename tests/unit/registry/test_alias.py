"""The alias on a real MLflow server follows what a real ledger says."""

import uuid
from dataclasses import replace
from datetime import date

import pytest

from nightshift.errors import NightshiftError
from nightshift.registry import mlflow
from nightshift.registry.alias import decided, follow, foreseen, misplaced
from nightshift.registry.champions import Champion
from nightshift.registry.detection import verify
from nightshift.registry.entry import PEOPLES, Entry, NewEntry
from nightshift.registry.heads import Head
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.settings import Settings
from tests.conftest import make_pipeline
from tests.mlflow_server import MlflowServer
from tests.postgres import WRITER, Database, admit_people
from tests.unit.registry.test_mlflow import client, record

PIPELINE = make_pipeline()


@pytest.fixture
def server(settings: Settings, mlflow_server: MlflowServer, database: Database) -> Settings:
    """Version 1 from 2024-02-02 on, version 2 from 2024-02-05 on; both are registered."""
    create_ledger(database.owner_url, WRITER)
    settings = replace(mlflow_server.settings(settings, f"t{uuid.uuid4().hex[:10]}"), database_url=database.writer_url)
    admit_people(settings, database)
    for version, day in (("1", date(2024, 2, 2)), ("2", date(2024, 2, 5))):
        mlflow.register(settings, "parcels", record(version * 16, sha256=version * 64))
        append(settings, NewEntry("parcels", "promotion", "tests", "", date(2024, 2, 1), day, version, version * 64))
    return settings


def append(settings: Settings, new: NewEntry) -> Entry:
    ledger = Ledger.of_people(settings) if new.kind in PEOPLES else Ledger.of(settings)
    return ledger.append(new)


def test_the_alias_follows_orders(server: Settings) -> None:
    assert follow(server, PIPELINE) == "the alias champion names version 2"
    append(server, NewEntry("parcels", "rollback", "ann", "", None, date(2024, 2, 10), "1", "1" * 64))
    assert follow(server, PIPELINE) == "the alias champion names version 1"
    assert mlflow.champion_version(server, "parcels") == "1"
    nobody = {"follows": None}
    append(server, NewEntry("parcels", "retirement", "ann", "", None, date(2024, 2, 11), "1", "1" * 64, nobody))
    assert follow(server, PIPELINE) == "there is no champion"
    assert mlflow.champion_version(server, "parcels") is None


def test_a_tag_has_the_head_of_the_newest_entry_whatever_it_is(server: Settings) -> None:
    name = mlflow.registered_name(server, "parcels")
    assert mlflow.heads(server)[name] == ""
    newest = append(server, NewEntry("parcels", "freeze", "ann", "audit"))
    follow(server, PIPELINE)
    assert mlflow.heads(server)[name] == f"{server.env} {Head.of(newest)}"
    assert verify(server).findings == ()
    append(server, NewEntry("parcels", "unfreeze", "ann", "over"))
    [finding] = verify(server).findings
    assert (finding.kind, "MLflow was away" in finding.what) == ("mlflow", True)
    mlflow.set_head(server, "a pipeline without a model", str(Head.of(newest)))


def test_a_plan_says_whether_mlflow_has_the_version(server: Settings) -> None:
    day = date(2024, 2, 2)
    assert foreseen(server, "parcels", Champion("1", "1" * 64, 1, day, None)) == "MLflow has it as version 1"
    assert foreseen(server, "parcels", Champion("9", "9" * 64, 1, day, None)).startswith(
        "version 9 was deleted in MLflow"
    )
    away = replace(server, mlflow_uri="http://127.0.0.1:9")
    said = foreseen(away, "parcels", Champion("1", "1" * 64, 1, day, None))
    assert said.startswith("whether MLflow has version 1 is not known: MLflow does not answer")


def tags(settings: Settings, version: str) -> dict[str, str]:
    with client(settings) as talking:
        found = talking.get_model_version(f"{settings.env}.parcels", version).tags
    return {name: value for name, value in found.items() if name.split(".")[1] in ("decision", "reason", "entry")}


def test_versions_say_what_was_decided_of_them(server: Settings) -> None:
    append(server, NewEntry("parcels", "rollback", "ann", "ticket 1", None, date(2024, 2, 10), "1", "1" * 64))
    follow(server, PIPELINE)
    expected = {"nightshift.decision": "rollback", "nightshift.reason": "ticket 1", "nightshift.entry": "3"}
    assert tags(server, "1") == expected
    assert tags(server, "2")["nightshift.decision"] == "promotion"
    with client(server) as talking:
        talking.set_model_version_tag(f"{server.env}.parcels", "1", "nightshift.decision", "best of all")
    append(server, NewEntry("parcels", "refusal", "tests", "no skill", date(2024, 2, 9), None, "2", "2" * 64))
    follow(server, PIPELINE)
    assert tags(server, "1") == expected
    assert tags(server, "2") == {
        "nightshift.decision": "refusal", "nightshift.reason": "no skill", "nightshift.entry": "4",
    }  # fmt: skip


def test_a_rerun_is_no_decision(server: Settings) -> None:
    again = NewEntry("parcels", "rerun", "tests", "again", date(2024, 2, 1), None, "2", "2" * 64)
    entries = [*Ledger.of(server).entries("parcels"), append(server, again)]
    assert decided(entries)["2" * 64]["nightshift.decision"] == "promotion"
    assert decided(entries[-1:])["2" * 64]["nightshift.decision"] == "rerun"


def test_an_alias_that_was_moved_by_hand_is_named_and_put_right(server: Settings) -> None:
    name = f"{server.env}.parcels"
    [(pipeline, line)] = misplaced(server, [PIPELINE])
    assert pipeline == "parcels"
    assert line.startswith("MLflow's alias champion is gone, champion by the ledger is version 2 (entry 2)")
    follow(server, PIPELINE)
    assert list(misplaced(server, [PIPELINE])) == []
    with client(server) as talking:
        talking.set_registered_model_alias(name, "champion", "1")
    [(_, line)] = misplaced(server, [PIPELINE])
    assert line.startswith("MLflow's alias champion names version 1, champion by the ledger is version 2")
    assert follow(server, PIPELINE) == "the alias champion names version 2"
    assert list(misplaced(server, [PIPELINE])) == []
    assert list(misplaced(server, [PIPELINE, make_pipeline(pipeline="letters")])) == []


def test_a_promotion_goes_on_while_mlflow_is_away(server: Settings) -> None:
    away = replace(server, mlflow_uri="http://127.0.0.1:9")
    assert follow(away, PIPELINE) == "the alias champion was not set"
    with pytest.raises(NightshiftError, match="MLflow does not answer as it should"):
        list(misplaced(away, [PIPELINE]))
