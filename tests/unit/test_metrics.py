"""Metrics over a real UDP socket: the lines on the wire, and that nothing about the network fails a task."""

import logging
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nightshift import metrics
from nightshift.metrics import METRICS
from nightshift.settings import Settings


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        yield server


@pytest.fixture
def sending(settings: Settings, listener: socket.socket) -> Settings:
    return replace(settings, statsd_host="127.0.0.1", statsd_port=listener.getsockname()[1])


def received(listener: socket.socket) -> str:
    return listener.recv(4096).decode()


@pytest.mark.process
def test_lines_on_the_wire(sending: Settings, listener: socket.socket) -> None:
    metrics.count(sending, "rows_in", 958, dataset="inputs/orders", pipeline="parcels")
    assert received(listener) == "nightshift.rows_in,pipeline=parcels,dataset=inputs/orders:958|c"
    metrics.gauge(sending, "rmse", 1.25, pipeline="parcels")
    assert received(listener) == "nightshift.rmse,pipeline=parcels:1.25|g"
    metrics.timing(sending, "step_seconds", 2.5, pipeline="parcels", step="score", status="done")
    assert received(listener) == "nightshift.step_seconds,pipeline=parcels,step=score,status=done:2500.000000|ms"


@pytest.mark.process
def test_a_tag_cannot_break_the_line(sending: Settings, listener: socket.socket) -> None:
    metrics.count(sending, "rows_in", 1, dataset="a,b:2|c\nü", pipeline="")
    assert received(listener) == "nightshift.rows_in,pipeline=none,dataset=a_b_2_c__:1|c"


@pytest.mark.process
def test_a_value_that_is_not_finite_is_not_sent(sending: Settings, listener: socket.socket) -> None:
    metrics.gauge(sending, "rmse", float("nan"), pipeline="parcels")
    metrics.gauge(sending, "rmse", 2.0, pipeline="parcels")
    assert received(listener) == "nightshift.rmse,pipeline=parcels:2.0|g"


def test_what_the_table_does_not_have_is_a_mistake_even_when_off(settings: Settings) -> None:
    assert settings.statsd_host == ""
    with pytest.raises(KeyError, match="rows_inn"):
        metrics.count(settings, "rows_inn", 1, pipeline="p", dataset="d")
    with pytest.raises(KeyError, match="rows_in is a count, not a gauge"):
        metrics.gauge(settings, "rows_in", 1, pipeline="p", dataset="d")
    with pytest.raises(KeyError, match="rows_in has the tags pipeline, dataset, not pipeline"):
        metrics.count(settings, "rows_in", 1, pipeline="p")
    with pytest.raises(KeyError, match="model_age has the tags pipeline, not none"):
        metrics.gauge(settings, "model_age", 1)


@pytest.mark.process
def test_nobody_listens_and_nobody_is_hurt(settings: Settings) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for _ in range(3):  # the second send sees the refusal of the first
        metrics.count(replace(settings, statsd_host="127.0.0.1", statsd_port=port), "shards", 1, pipeline="p")


@pytest.mark.process
def test_an_unknown_host_is_looked_up_once(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    unknown = replace(settings, statsd_host="no-such-host.invalid")
    with caplog.at_level(logging.WARNING):
        metrics.count(unknown, "shards", 1, pipeline="p")
        metrics.count(unknown, "shards", 1, pipeline="p")
    assert [record.message.split(" (")[0] for record in caplog.records] == [
        "no metrics are sent: no-such-host.invalid:8125 cannot be reached"
    ]


def test_the_table_is_complete() -> None:
    for name, metric in METRICS.items():
        assert name == metric.name == name.lower()
        assert metric.tags[0] == "pipeline"
        assert metric.unit
        assert metric.steps
        assert metric.description.endswith(".")
        assert metric.kind != "timing" or name.endswith("_seconds")


def test_every_metric_is_named_where_it_is_sent() -> None:
    library = Path(metrics.__file__).parent
    text = "".join(path.read_text() for path in library.rglob("*.py") if path != Path(metrics.__file__))
    senders = {name: f'"{name}"' for name in METRICS}
    senders |= {name: 'f"partitions_{name}"' for name in METRICS if name.startswith("partitions_")}
    assert [name for name, sender in senders.items() if sender not in text] == []
