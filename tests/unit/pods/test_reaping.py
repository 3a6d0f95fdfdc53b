from datetime import UTC, datetime, timedelta

import pytest

from nightshift.pods.reaping import why_reaped

NOW = datetime(2024, 2, 5, 12, tzinfo=UTC)
RUN = "parcels backfill__2024-02-05T00:00:00+00:00"


def pod(phase: str, age: timedelta, run: str = RUN) -> dict[str, object]:
    created = (NOW - age).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": "p", "creationTimestamp": created, "annotations": {"nightshift/run-id": run}},
        "status": {"phase": phase},
    }


HOUR, DAYS = timedelta(hours=1), timedelta(days=4)
OVER = "its run backfill__2024-02-05T00:00:00+00:00 of parcels is over or gone"


@pytest.mark.parametrize(
    ("found", "goes_on", "why"),
    [
        (pod("Running", HOUR), False, OVER),
        (pod("Pending", HOUR), False, OVER),
        (pod("Running", HOUR), True, None),
        (pod("Running", DAYS), True, None),
        (pod("Running", timedelta(minutes=5)), False, None),
        (pod("Running", DAYS, run=""), False, None),
        (pod("Failed", HOUR), False, None),
        (pod("Failed", DAYS), True, "it ended, and is 4 days old"),
        (pod("Succeeded", DAYS), False, "it ended, and is 4 days old"),
    ],
)
def test_a_pod_goes_when_nobody_waits_for_it(found: dict[str, object], goes_on: bool, why: str | None) -> None:
    asked = []

    def runs(dag: str, run_id: str) -> bool:
        asked.append((dag, run_id))
        return goes_on

    assert why_reaped(found, NOW, runs) == why
    assert set(asked) <= {("parcels", "backfill__2024-02-05T00:00:00+00:00")}
