"""What the API server answers to an order; who may give one is tested against a live one."""

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from fastapi import BackgroundTasks, HTTPException
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from nightshift.errors import NightshiftError, OrderRefused, PlatformError
from nightshift.orchestration import order_endpoint as subject
from nightshift.orders.asked import AskedOrder, AskedWaiver
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from tests.conftest import make_pipeline, spec_document
from tests.postgres import WRITER, Database, admit_people

FREEZE = AskedOrder(kind="freeze", reason="audit", claimed="root (uid 0)")


@pytest.fixture
def server(settings: Settings, database: Database) -> Settings:
    """The settings of a server that has an empty ledger and the role of people."""
    create_ledger(database.owner_url, WRITER)
    settings = replace(settings, database_url=database.writer_url, home=settings.var.parent / "home")
    admit_people(settings, database)
    settings.pipelines.mkdir(parents=True)
    (settings.pipelines / "parcels.yaml").write_text(yaml.safe_dump(spec_document()))
    return settings


def asked(settings: Settings, asked: AskedOrder, login: str = "ada") -> JSONResponse:
    def record(spec: Pipeline) -> Any:
        return subject.placed(settings, spec, asked, login)

    return subject.answered(settings, "parcels", BackgroundTasks(), record)


def said(answer: JSONResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(answer.body))
    return found


def test_the_actor_is_who_signed_in_and_what_was_claimed_is_beside_it(server: Settings) -> None:
    answer = asked(server, FREEZE)
    assert answer.status_code == 200
    [entry] = Ledger.of(server).entries("parcels")
    assert said(answer)["entry"] == entry.document()
    assert (entry.actor, entry.details["claimed"]) == ("ada", "root (uid 0)")
    assert entry.by == "ada, said to be root (uid 0)"


def test_a_claim_of_the_same_person_says_nothing_more(server: Settings) -> None:
    asked(server, FREEZE.model_copy(update={"claimed": "Ada (uid 1000)"}))
    [entry] = Ledger.of(server).entries("parcels")
    assert (entry.by, entry.details["claimed"]) == ("ada", "Ada (uid 1000)")


def test_who_saw_an_older_ledger_is_told_what_came_first(server: Settings) -> None:
    asked(server, FREEZE)
    [first] = Ledger.of(server).entries("parcels")
    late = AskedOrder(kind="unfreeze", reason="over", seen="")
    answer = asked(server, late, "bob")
    assert answer.status_code == subject.REFUSED
    message = "another came first: entry 1, freeze by ada, said to be root (uid 0) (audit); nothing was recorded"
    assert said(answer)["what"] == message
    assert said(answer)["do"]
    assert said(answer)["error"].startswith(f"OrderRefused: parcels: {message}")
    assert asked(server, late.model_copy(update={"seen": first.hash}), "bob").status_code == 200


def test_a_waiver_is_recorded_with_its_claim(server: Settings) -> None:
    waiver = AskedWaiver(source="deliveries", ds="2024-02-08", reason="burnt", claimed="ops (uid 7)")  # type: ignore[arg-type]
    entry = subject.waived(server, make_pipeline(), waiver, "ada")
    assert (entry.kind, entry.actor, entry.details["claimed"]) == ("waiver", "ada", "ops (uid 7)")


def test_a_server_without_the_role_records_nothing(server: Settings) -> None:
    server.people_login.unlink()
    answer = asked(server, FREEZE)
    assert answer.status_code == subject.UNABLE
    assert "what people decide cannot be recorded from here" in said(answer)["what"]
    assert Ledger.of(server).entries() == []


def test_a_login_that_looks_like_an_account_gives_no_order(server: Settings) -> None:
    assert asked(server, FREEZE, "root (uid 0)").status_code == subject.INVALID
    assert Ledger.of(server).entries() == []


@pytest.mark.parametrize("header", ["", "Basic YTpi", "bearer", "Cookie x", "Bearer ", "Bearer \xa0"])
def test_a_cookie_alone_is_not_asked_for_a_user(header: str) -> None:
    with pytest.raises(HTTPException, match="A bearer token is needed"):
        subject.require_bearer(header)
    subject.require_bearer("Bearer x.y.z")


@pytest.mark.parametrize(
    ("error", "status"), [(OrderRefused("x"), 409), (NightshiftError("x"), 422), (PlatformError("x"), 503)]
)
def test_the_status_says_who_can_do_something(error: NightshiftError, status: int) -> None:
    assert subject.status_of(error) == status


@pytest.mark.parametrize(
    "changes",
    [
        {"actor": "eve"},
        {"kind": "promotion"},
        {"reason": ""},
        {"reason": "\x1b[2Kover"},
        {"reason": "x" * 2001},
        {"claimed": "x" * 201},
        {"seen": "not a hash"},
        {"effective_from": "tomorrow"},
        {"effective_from": "20240309"},
        {"effective_from": 1709942400},
    ],
)
def test_an_order_says_what_orders_say_and_never_who_gives_it(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AskedOrder.model_validate({"kind": "freeze", "reason": "audit", **changes})
