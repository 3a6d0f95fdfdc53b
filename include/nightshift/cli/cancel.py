"""``backfill --cancel``: the end of a backfill, with who ended it."""

import logging
from typing import TYPE_CHECKING

from nightshift.actor import named, system_account
from nightshift.cli.output import emit
from nightshift.errors import PlatformError

if TYPE_CHECKING:
    from nightshift.platform.airflow_client import AirflowClient, Backfill, Run
    from nightshift.settings import Settings
    from nightshift.specs.model import Pipeline

log = logging.getLogger("nightshift")


def cancel(settings: "Settings", spec: "Pipeline", reason: str, as_json: bool, *, retrain: bool) -> None:
    """Cancel the backfill of a DAG that is active; the runs that it takes out carry a note of who did so, and why.

    Raises PlatformError where there is none. Runs that are under way go on to their end.
    """
    from nightshift.plan import RETRAIN_SUFFIX
    from nightshift.platform.airflow_client import login

    dag_id = spec.name + RETRAIN_SUFFIX if retrain else spec.name
    with login(settings) as client:
        by = named(client.user, system_account())
        found = client.active_backfill(dag_id)
        if found is None:
            raise PlatformError("no backfill is active", where=dag_id, do="nothing; `nightshift diagnose` has its runs")
        waiting = {run.run_id for run in _runs(client, found) if run.state == "queued"}
        client.cancel_backfill(found)
        runs = _runs(client, found)  # one that waited may have begun meanwhile
        queued = [run for run in runs if run.run_id in waiting and run.state == "failed"]
        for run in queued:
            client.note(dag_id, run.run_id, f"cancelled by {by}{f': {reason}' if reason else ''}")
    going_on = [run.ds for run in runs if run.state == "running"]
    option = " --retrain" if retrain else ""
    # Airflow leaves a run queued for ever that is cleared after its backfill was cancelled.
    lines = [
        f"{dag_id}: backfill {found.words} is cancelled by {by}: {len(queued)} runs will not be made",
        *([f"under way, and going on to their end: {', '.join(going_on)}"] if going_on else []),
        f"to run these days after all: `nightshift backfill {spec.name} {found.first} {found.last}{option}`; "
        "do not clear their runs",
    ]
    document = {
        "dag": dag_id,
        "backfill": found.id,
        "by": by,
        "reason": reason,
        "cancelled": [run.ds for run in queued],
        "running": going_on,
    }
    emit(as_json, document, "\n".join(lines))


def _runs(client: "AirflowClient", backfill: "Backfill") -> "list[Run]":
    found = client.runs(backfill.dag_id, backfill.first, backfill.last)
    return [run for run in found if run.run_type == "backfill"]
