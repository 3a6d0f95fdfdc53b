"""The report of an order that counts already."""

import pytest

from nightshift.orders import report
from nightshift.orders.order import Order, plan
from nightshift.settings import Settings
from tests.conftest import make_pipeline
from tests.unit.orders.test_order import NOW

PIPELINE = make_pipeline()


def test_what_only_shows_an_order_never_fails_and_quotes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It had counted, and the command ended with an exception that nobody foresaw."""

    def broken(*_: object) -> str:
        raise RuntimeError("N123, a cell")

    monkeypatch.setattr(report, "follow", broken)
    freeze = plan(PIPELINE.name, PIPELINE.schedule, [], Order("freeze", "ann", "audit"), NOW, lambda model: "")
    assert report.shown_in_mlflow(settings, PIPELINE, freeze) == "the alias champion was not set"
    assert "the ledger holds" in caplog.text
    assert "N123" not in caplog.text
