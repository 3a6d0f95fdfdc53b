"""The use case of a waiver: a delivery that will not come holds no night back any more."""

from datetime import date, timedelta

from nightshift import tables
from nightshift.errors import NightshiftError
from nightshift.inputs.landing import partition_files, place
from nightshift.inputs.needs import inside
from nightshift.job import table_uri
from nightshift.registry.entry import Entry
from nightshift.registry.ledger import Ledger
from nightshift.registry.waivers import waiver
from nightshift.settings import Settings
from nightshift.specs.model import Pipeline
from nightshift.specs.spelling import nearest


def waive(
    settings: Settings, pipeline: Pipeline, source: str, ds: date, *, actor: str, reason: str, claimed: str = ""
) -> Entry:
    """Waive the day ``ds`` of a source for features; returns its entry, the first one where it was waived before.

    ``claimed`` is whom it is said to come from, beside a login. Raises NightshiftError where the source cannot be
    waived, or has the day.
    """
    allowed = [name for name in pipeline.feature_inputs if why_not_waived(pipeline, name) is None]
    if refusal := why_not_waived(pipeline, source):
        raise NightshiftError(refusal, where=pipeline.name, allowed=", ".join(allowed) or "no source")
    if not reason.strip():
        raise NightshiftError("a waiver has a reason", where=pipeline.name, do="say who knows that it will not come")
    if not reason.strip().isprintable():
        raise NightshiftError("the reason is not one line of text, or has control characters", where=pipeline.name)
    contract = pipeline.inputs[source]
    if not any(inside(pipeline, ds + timedelta(days=contract.lag + back)) for back in range(contract.lookback)):
        raise NightshiftError(
            f"no night reads {ds} of source {source}",
            where=pipeline.name,
            do="give the day of the delivery; the spec's range, lag and lookback say which nights read it",
        )
    if partition_files(settings, contract, ds):
        raise NightshiftError(
            f"{ds} of source {source} has landed",
            where=place(settings, contract, ds.isoformat()),
            do="where its gate blocks it, correct it, or move it away before you waive the day",
        )
    if tables.state(table_uri(settings, pipeline, f"inputs/{source}")).fingerprint(ds.isoformat()):
        raise NightshiftError(f"{ds} of source {source} is published: nothing waits for it", where=pipeline.name)
    return Ledger.of_people(settings).append(waiver(pipeline.name, source, ds, actor, reason.strip(), claimed))


def why_not_waived(pipeline: Pipeline, source: str) -> str | None:
    """Why a source cannot be waived, if it cannot."""
    if source not in pipeline.inputs:
        return f"there is no source {source!r}{nearest(source, pipeline.inputs)}"
    if source == pipeline.features.spine:
        return f"source {source} is the spine: without it there is no row to score"
    if source not in pipeline.feature_inputs:
        return f"only labels read source {source}: no night waits for it"
    if pipeline.inputs[source].snapshot:
        limited = pipeline.inputs[source].max_age is not None
        return f"source {source} is a snapshot: " + (
            "land a newer one, or raise its max_age" if limited else "the newest one is used, however old"
        )
    return None
