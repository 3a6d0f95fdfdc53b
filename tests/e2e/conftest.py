"""A platform's settings, its API, and backfills through its command line."""

from collections.abc import Callable, Iterator
from datetime import date

import pytest

from nightshift.platform import backfill
from nightshift.platform.airflow_client import AirflowClient, Run, login
from nightshift.settings import Settings
from tests.live import Live
from tests.waiting import until


@pytest.fixture(scope="module")
def live(live_platform: Live) -> Settings:
    return live_platform.settings


@pytest.fixture(scope="module")
def client(live: Settings) -> Iterator[AirflowClient]:
    with login(live) as opened:
        yield opened


@pytest.fixture(scope="module")
def repair(live_platform: Live, live: Settings, client: AirflowClient) -> Callable[..., list[Run]]:
    """Backfill through the airflow command line, wait, and have every run succeed."""

    def run(dag: str, first: date, last: date) -> list[Run]:
        until(lambda: client.has_dag(dag))
        live_platform.end_backfills()
        backfill.create(live, client, dag, first, last, reprocess="completed")
        lines: list[str] = []
        runs = backfill.watch(client, dag, first, last, lines.append, seconds=540)
        failed = {item.ds: client.failed_tasks(dag, item.run_id) for item in runs if item.state == "failed"}
        assert not failed, failed
        return runs

    return run
