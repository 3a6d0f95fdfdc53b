"""The way of an order from the command line: what a server answers that is not as it should be, and having none."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nightshift.actor import system_account
from nightshift.cli.giver import giver
from nightshift.errors import NightshiftError, OrderRefused, PlatformError
from nightshift.orders.order import Order
from nightshift.orders.place import planned
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from tests.postgres import Database

TOKEN = {"/auth/token": (201, {"access_token": "x.y.z"})}


@contextmanager
def server(answers: dict[str, tuple[int, object]]) -> Iterator[str]:
    """The URL of a server on loopback that has these answers, by path, and 404 for the rest."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.answer(*answers.get(self.path, (404, {"detail": "Not Found"})))

        def do_GET(self) -> None:
            self.answer(200, {})

        def answer(self, status: int, document: object) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(document).encode() if not isinstance(document, bytes) else document)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def here(ledger: Ledger, home: Settings, database: Database) -> Settings:
    """Settings of a command, where the platform's own login is known."""
    assert ledger.entries() == []
    (home.var / "secrets" / "airflow-passwords.json").write_text('{"admin": "secret of admin"}')
    return replace(home, database_url=database.writer_url)


def freeze(settings: Settings, reason: str = "audit") -> Entry:
    spec = load_pipeline(settings, "parcels")
    with giver(settings) as by:
        found = planned(settings, spec, Order("freeze", by.actor, reason, claimed=by.claimed))
        return by.place(settings, spec, found)


def refusal(settings: Settings, reason: str = "audit") -> NightshiftError:
    with pytest.raises(NightshiftError) as caught:
        freeze(settings, reason)
    assert Ledger.of(settings).entries() == []
    assert "secret of admin" not in str(caught.value)
    return caught.value


ORDERS = "/nightshift/orders/parcels"


@pytest.mark.process
@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"/auth/token": (401, {})}, "Airflow does not know the login admin with that password; nothing was recorded"),
        ({"/auth/token": (500, {})}, "Airflow's API server answered 500 when admin signed in; nothing was recorded"),
        (TOKEN, "Airflow's API server takes no orders; nothing was recorded"),
        ({**TOKEN, ORDERS: (403, {})}, "admin may not edit parcels in Airflow; nothing was recorded"),
        ({**TOKEN, ORDERS: (200, b"{")}, "did not answer (JSONDecodeError); what was asked may have been recorded"),
        ({**TOKEN, ORDERS: (200, {"entry": {"hash": "f" * 64}})}, "in another ledger than this command reads"),
        ({**TOKEN, ORDERS: (200, {"entry": None})}, "in another ledger than this command reads"),
        ({**TOKEN, ORDERS: (500, {})}, f"Airflow's API server answered 500 at {ORDERS}"),
    ],
)
def test_what_a_server_answers_is_never_taken_for_a_record(
    here: Settings, answers: dict[str, tuple[int, object]], said: str
) -> None:
    with server(answers) as url:
        found = refusal(replace(here, airflow_url=url))
    assert isinstance(found, PlatformError)
    assert said in found.what


@pytest.mark.process
def test_a_refusal_of_the_server_is_the_one_that_it_raised(here: Settings) -> None:
    with server({**TOKEN, ORDERS: (409, {"error": "OrderRefused: parcels: bob came first."})}) as url:
        found = refusal(replace(here, airflow_url=url))
        assert (type(found), str(found)) == (OrderRefused, "parcels: bob came first.")
        found = refusal(replace(here, airflow_url=url), "x" * 2001)
        assert (type(found), "reason: " in found.what, "xx" in str(found)) == (OrderRefused, True, False)


@pytest.mark.process
def test_a_person_is_asked_for_and_not_replaced_by_the_platforms_login(here: Settings) -> None:
    with server(TOKEN) as url:
        ada = replace(here, airflow_url=url, airflow_user="ada")
        assert "the password of ada is not known" in refusal(ada).what
        missing = replace(ada, airflow_password_file=here.var / "none")
        assert "the password of ada cannot be read (No such file or directory)" in refusal(missing).what
        (here.var / "secrets" / "airflow-passwords.json").unlink()
        assert "an order needs a login of Airflow, and none is known" in refusal(replace(here, airflow_url=url)).what
        with giver(ada, local=True) as by:
            assert (by.actor, by.claimed) == (system_account(), ""), "who only looks signs in nowhere"


@pytest.mark.process
def test_without_a_server_the_account_orders_if_the_role_of_people_is_at_hand(here: Settings) -> None:
    away = replace(here, airflow_url="http://127.0.0.1:9")
    login = here.people_login.read_text()
    here.people_login.unlink()
    found = refusal(away)
    assert "what people decide cannot be recorded from here" in found.what
    assert "order it where Airflow's API server answers" in found.do
    here.people_login.write_text(login)
    entry = freeze(away)
    assert (entry.actor, entry.by, "claimed" in entry.details) == (system_account(), system_account(), False)
