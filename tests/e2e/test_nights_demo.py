"""`nightshift demo` on the platform that the nights left behind: it does what is left to do, then nothing."""

import re
from datetime import date

import pytest

from nightshift.platform import demo
from nightshift.platform.nights import table
from nightshift.specs.load import load_pipeline
from tests.live import Live

pytestmark = [pytest.mark.platform, pytest.mark.spark]

RETRAINS, LAST = [date(2013, 3, 3), date(2013, 3, 6)], date(2013, 3, 9)
UP_TO_DATE = "everything is up to date: nothing was retrained, built or scored"


def test_it_lands_and_backfills_what_is_left_and_ends_with_a_table(live_platform: Live) -> None:
    lines: list[str] = []
    nights = demo.run(live_platform.settings, "flights", RETRAINS, LAST, lines.append)

    assert UP_TO_DATE not in lines
    # Landing brought the file back that the nights had corrected, so that the days before are looked at again, too.
    commands = [line for line in lines if line.startswith("$ ")]
    assert commands == [
        f"$ airflow backfill create --dag-id flights --from-date {first} --to-date {until} "
        "--max-active-runs 4 --reprocess-behavior completed"
        for first, until in (("2013-03-04", "2013-03-06"), ("2013-03-07", "2013-03-09"))
    ]
    assert [night.ds for night in nights] == [f"2013-03-{day:02d}" for day in range(4, 10)]
    assert [night.scored for night in nights] == [night.rows_in for night in nights]
    assert nights[-1].metric is None
    assert all(night.metric is not None for night in nights[:-1])
    shown = table(load_pipeline(live_platform.settings, "flights"), nights).splitlines()
    assert shown[0].split() == [
        "day",
        "state",
        "rows",
        "in",
        "quarantined",
        "scored",
        "champion",
        "avg",
        "precision",
        "seconds",
    ]
    assert re.fullmatch(r"2013-03-09 +OK(?: with warnings)? +765 +0 +765 +\d +- +\d+", shown[-1])


def test_once_more_it_says_that_everything_is_up_to_date(live_platform: Live) -> None:
    options = [word for day in RETRAINS for word in ("--retrain", day.isoformat())]
    done = live_platform.run("nightshift", "demo", "flights", *options, "--to", LAST.isoformat())

    assert UP_TO_DATE in done.stderr
    assert "$ airflow" not in done.stderr
    assert f"airflow: {live_platform.settings.airflow_url}, user admin, password in " in done.stdout
    assert f"mlflow: {live_platform.settings.mlflow_uri}, user admin, password in " in done.stdout
    assert "`nightshift down` (or `make down`) stops it" in done.stdout
