"""Every metric once: name, unit, direction, tags and the step that emits it; and how it is sent.

StatsD over UDP with tags in InfluxDB's form: ``nightshift.rows_in,pipeline=p,dataset=features:958|c``. Off without
``settings.statsd_host``. A name or tag that the table does not have is a mistake of the caller (KeyError, whether
metrics are on or off); trouble with the network never fails or delays a task. Tags never carry data values.
"""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from nightshift.settings import Settings

log = logging.getLogger("nightshift")

PREFIX = "nightshift."
Kind = Literal["count", "gauge", "timing"]


@dataclass(frozen=True)
class Metric:
    """A row of the table. ``direction`` is what an operator hopes for; ``steps`` says who emits it."""

    name: str
    kind: Kind
    unit: str
    direction: Literal["higher", "lower", "neutral"]
    tags: tuple[str, ...]
    steps: str
    description: str


_DATASET = ("pipeline", "dataset")
_GATES = "gate_inputs, gate_features, gate_labels, gate_window, gate_training, gate_predictions"
_MONITOR = "monitor"

_TABLE = (
    Metric("rows_in", "count", "rows", "neutral", _DATASET, _GATES, "Rows that a gate was given, unreadable or not."),
    Metric("rows_out", "count", "rows", "neutral", _DATASET, _GATES, "Rows that a gate let through."),
    Metric("rows_quarantined", "count", "rows", "lower", _DATASET, _GATES, "Rows that a gate moved to quarantine."),
    Metric(
        "gate_results", "count", "partitions", "neutral", (*_DATASET, "status"), _GATES,
        "Audited partitions by outcome: passed, warned, quarantined or blocked.",
    ),
    Metric(
        "expectations_failed", "count", "expectations", "lower", _DATASET, _GATES, "Expectations of a gate that failed."
    ),
    Metric(
        "partitions_published", "count", "partitions", "neutral", _DATASET, f"{_GATES}, monitor",
        "Partitions that a commit put into a table.",
    ),
    Metric(
        "partitions_up_to_date", "count", "partitions", "neutral", _DATASET, f"{_GATES}, build_features, monitor",
        "Partitions that needed no work: the published fingerprint is the wanted one.",
    ),
    Metric(
        "partitions_superseded", "count", "partitions", "lower", _DATASET, _GATES,
        "Partitions that an attempt gave up because newer inputs had made it stale.",
    ),
    Metric(
        "step_seconds", "timing", "seconds", "lower", ("pipeline", "step", "status"), "every step",
        "Wall time of a step, by its status: done, up_to_date, nothing or failed.",
    ),
    Metric(
        "promotion_decisions", "count", "decisions", "neutral", ("pipeline", "decision"), "promote, orders",
        "Ledger entries by kind: promotion, refusal, approval, rerun, rollback, retirement, override, (un)freeze.",
    ),
    Metric(
        "model_age", "gauge", "days", "lower", ("pipeline",), "plan_scoring",
        "Days from the as-of date of the model that scores to the day it scores.",
    ),
    Metric("shards", "count", "shards", "neutral", ("pipeline",), "gate_predictions", "Shards of a scored day."),
    Metric(
        "shard_retries", "count", "attempts", "lower", ("pipeline",), "gate_predictions",
        "Attempts at shards beyond the first of each.",
    ),
    Metric(
        "shard_seconds", "timing", "seconds", "lower", ("pipeline",), "gate_predictions",
        "Wall time of the attempt that won a shard.",
    ),
    Metric("scored_rows", "count", "rows", "neutral", ("pipeline",), "gate_predictions", "Predictions published."),
    Metric(
        "days_unlabelled", "count", "days", "lower", ("pipeline",), "gate_labels, monitor",
        "Days recorded as unlabelled: their labels were waited for long enough.",
    ),
    Metric(
        "features_differ", "gauge", "days", "lower", ("pipeline",), _MONITOR,
        "Days of the training window whose features were built anew since they were scored.",
    ),
    Metric("score_mean", "gauge", "score", "neutral", ("pipeline",), _MONITOR, "Mean score, newest evaluated day."),
    Metric(
        "label_mean", "gauge", "label", "neutral", ("pipeline",), _MONITOR,
        "Mean label (the rate of positives where binary) of the newest evaluated day.",
    ),
    Metric("average_precision", "gauge", "1", "higher", ("pipeline",), _MONITOR, "Of the newest evaluated day."),
    Metric("roc_auc", "gauge", "1", "higher", ("pipeline",), _MONITOR, "Of the newest evaluated day."),
    Metric("log_loss", "gauge", "nats", "lower", ("pipeline",), _MONITOR, "Of the newest evaluated day."),
    Metric("brier", "gauge", "1", "lower", ("pipeline",), _MONITOR, "Of the newest evaluated day."),
    Metric("rmse", "gauge", "label", "lower", ("pipeline",), _MONITOR, "Of the newest evaluated day."),
    Metric("mae", "gauge", "label", "lower", ("pipeline",), _MONITOR, "Of the newest evaluated day."),
)  # fmt: skip

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _TABLE}


def count(settings: Settings, name: str, value: float, **tags: str) -> None:
    """Adds ``value`` to a count. Raises KeyError where the table has no such metric."""
    _send(settings, name, "count", value, tags)


def gauge(settings: Settings, name: str, value: float, **tags: str) -> None:
    """Sets a gauge. Raises KeyError where the table has no such metric."""
    _send(settings, name, "gauge", value, tags)


def timing(settings: Settings, name: str, value: float, **tags: str) -> None:
    """Reports a duration in seconds (StatsD carries milliseconds). Raises KeyError where there is no such metric."""
    _send(settings, name, "timing", value, tags)


def _send(settings: Settings, name: str, kind: Kind, value: float, tags: Mapping[str, str]) -> None:
    metric = METRICS[name]
    if metric.kind != kind:
        raise KeyError(f"{name} is a {metric.kind}, not a {kind}")
    if set(tags) != set(metric.tags):
        raise KeyError(f"{name} has the tags {', '.join(metric.tags)}, not {', '.join(sorted(tags)) or 'none'}")
    if not settings.statsd_host or not math.isfinite(value):
        return
    client = _client(settings.statsd_host, settings.statsd_port)
    if client is None:
        return
    stat = PREFIX + ",".join([name, *(f"{tag}={_plain(tags[tag])}" for tag in metric.tags)])
    if kind == "count":
        client.incr(stat, value)
    elif kind == "gauge":
        client.gauge(stat, value)
    else:
        client.timing(stat, value * 1000)


def _plain(value: str) -> str:
    """A tag's value without what has a meaning in StatsD's lines or InfluxDB's tags."""
    return re.sub(r"[^A-Za-z0-9_./-]", "_", str(value)) or "none"


@cache
def _client(host: str, port: int) -> Any:
    """The client of a process, or None where the host is unknown: it is not looked up again for every metric."""
    from statsd import StatsClient  # type: ignore[import-untyped]

    try:
        return StatsClient(host, port, ipv6=":" in host)
    except OSError as error:
        log.warning("no metrics are sent: %s:%s cannot be reached (%s)", host, port, error)
        return None
