"""The use cases of an order: what it would do, and recording it where nobody was quicker."""

from datetime import UTC, date, datetime

from nightshift import metrics
from nightshift.errors import PlatformError
from nightshift.features.serving import servable
from nightshift.orders.order import Order, Plan, Serves, plan, still_holds
from nightshift.registry.champions import Champion
from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.registry.models import Model
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline


def planned(settings: Settings, pipeline: Pipeline, order: Order) -> Plan:
    """The plan of an order by the ledger of now. Reads model files, changes nothing. Raises NightshiftError."""
    entries = Ledger.of(settings).entries(pipeline.name)
    return plan(pipeline.name, pipeline.schedule, entries, order, datetime.now(UTC), _serves(settings, pipeline))


def place(settings: Settings, pipeline: Pipeline, found: Plan) -> Entry:
    """Records a plan as an entry of the ledger, by the role of people, from which moment on it counts.

    Raises OrderRefused where another entry of the pipeline came first, or the night that it is for has begun: the plan
    is compared with the ledger behind the ledger's lock, so that of two orders one is recorded. Raises PlatformError
    where the table does not know the order's kind yet, and NightshiftError where this process has not that role.
    """
    import psycopg

    def compose(past: list[Entry], now: datetime) -> NewEntry:
        still_holds(found, pipeline.schedule, past, now)
        return found.new

    try:
        entry = Ledger.of_people(settings).append_seeing(pipeline.name, compose)
    except psycopg.errors.CheckViolation:  # as after the restore of an older backup
        raise PlatformError(
            f"the ledger's table was made before there were entries of kind {found.new.kind}; nothing was recorded",
            where=pipeline.name,
            do="run `nightshift up`, which adds the kind; elsewhere what prepares the databases",
        ) from None
    assert entry is not None  # noqa: S101
    metrics.count(settings, "promotion_decisions", 1, pipeline=pipeline.name, decision=entry.kind)
    return entry


def _serves(settings: Settings, pipeline: Pipeline) -> Serves:
    def why_not(model: Model) -> str:
        champion = Champion(model.version, model.sha256, 0, date.min, model.as_of)
        return servable(settings, pipeline, champion)[1]

    return why_not
