"""What a night would find in landing: what its gates would publish, refuse again, and where they would end it."""

from collections.abc import Mapping
from datetime import date

from nightshift.errors import GateFailed, InputMissing
from nightshift.features.verdict import Verdict
from nightshift.freshness.changes import LANDED, Freshness, State, read_changes
from nightshift.inputs.allowance import check_gated
from nightshift.inputs.days import LandingNews
from nightshift.inputs.needs import Needs, inside
from nightshift.job import Job
from nightshift.lineage import Upstream
from nightshift.tables import TableState

News = Mapping[str, LandingNews]


def landing_freshness(ds: date, needs: Needs, news: News) -> Freshness:
    """The freshness of a night's inputs: stale where something will be published, refused where nothing else landed."""
    days = {name: list(map(str, needs.days(name))) for name in news}
    coming = {name: [day for day in found if day in news[name].coming] for name, found in days.items()}
    wanted = {name: Upstream(0, dict.fromkeys(found, LANDED)) for name, found in coming.items()}
    changes = read_changes({}, wanted, {name: item.coming for name, item in news.items()})
    refused = [
        f"{name} {day} {news[name].changes[day]} in landing, refused: {news[name].refused[day].why}"
        for name, found in days.items()
        for day in found
        if day in news[name].refused
    ]
    state: State = "stale" if changes else "refused" if refused else "up_to_date"
    return Freshness(ds.isoformat(), state, (*changes, *refused))


def stopped(job: Job, ds: date, needs: Needs, news: News, sources: Mapping[str, TableState]) -> Verdict | None:
    """The verdict on features whose night ends at the gate of its inputs, which decides by the same rule."""
    if not inside(job.pipeline, ds):
        return None
    for name, wanted in needs.features.items():
        days = list(map(str, wanted))
        refused = {day: found for day, found in news[name].refused.items() if day in days and not found.kept}
        absent = [day for day in days if day not in refused and day not in sources[name].partitions]
        blocked = {day: GateFailed(f"{name} of {day}: {found.why}") for day, found in refused.items()}
        try:
            if blocked:
                check_gated(job, name, wanted, absent, blocked)
        except (GateFailed, InputMissing) as error:
            return Verdict("missing", error=InputMissing(error.what))
    return None
