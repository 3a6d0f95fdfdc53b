"""An API server that answers late, from a server that does."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nightshift.errors import PlatformError
from nightshift.platform import airflow_client
from nightshift.platform.airflow_client import AirflowClient, Backfill
from nightshift.settings import Settings


class Busy(ThreadingHTTPServer):
    """Gives these answers, status by status; then 200 for ever."""

    def __init__(self, *answers: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers, self.asked = list(answers), list[str]()


class Answer(BaseHTTPRequestHandler):
    server: Busy

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append(self.path)
        status = self.server.answers.pop(0) if self.server.answers else 200
        body = json.dumps({"access_token": "t", "backfills": []}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Busy]:
    monkeypatch.setattr(airflow_client, "_PAUSES", (0.01, 0.01))
    server = Busy()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def client(settings: Settings, server: Busy) -> AirflowClient:
    return AirflowClient(replace(settings, airflow_url=f"http://127.0.0.1:{server.server_port}"), "admin", "p")


@pytest.mark.process
def test_a_server_that_is_busy_is_asked_again(settings: Settings, busy: Busy) -> None:
    busy.answers = [503, 200, 500, 502]
    with client(settings, busy) as asking:
        assert not asking.has_backfill("flights")
    assert [path.partition("?")[0] for path in busy.asked] == ["/auth/token"] * 2 + ["/api/v2/backfills"] * 3


@pytest.mark.process
def test_one_that_stays_busy_is_an_error_in_a_sentence(settings: Settings, busy: Busy) -> None:
    busy.answers = [200, 503, 503, 503]
    with client(settings, busy) as asking, pytest.raises(PlatformError) as caught:
        asking.has_dag("flights")
    assert str(caught.value) == (
        f"http://127.0.0.1:{busy.server_port}/api/v2/dags/flights: Airflow's API server does not answer as it should: "
        "HTTPStatusError 503. What to do: look at `nightshift status` and the log of airflow-api-server."
    )


@pytest.mark.process
def test_what_is_not_there_is_asked_for_once(settings: Settings, busy: Busy) -> None:
    busy.answers = [200, 404]
    with client(settings, busy) as asking:
        assert not asking.has_dag("flights")
    assert len(busy.asked) == 2


@pytest.mark.process
def test_a_cancellation_whose_first_answer_was_lost_is_one(settings: Settings, busy: Busy) -> None:
    """Airflow cancels, fails to say so, and then says that the backfill has ended."""
    backfill = Backfill(2, "flights", date(2024, 2, 5), date(2024, 2, 6))
    busy.answers = [200, 502, 409]
    with client(settings, busy) as asking:
        asking.cancel_backfill(backfill)
    busy.answers = [200, 404]
    with client(settings, busy) as asking, pytest.raises(PlatformError, match="HTTPStatusError 404"):
        asking.cancel_backfill(backfill)
