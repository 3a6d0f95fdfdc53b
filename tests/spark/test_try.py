"""``nightshift try``: a day in a lake of its own, without Airflow and without a database."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from nightshift.demo import LANDERS
from nightshift.settings import Settings
from nightshift.specs.skeleton import write_skeleton
from tests.live import copied_project
from tests.unit.cli.conftest import cli_environment

pytestmark = pytest.mark.spark

DS = "2024-02-02"


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project with the pipeline ``practice``; one of its items of ``DS`` is too large."""
    folder = tmp_path_factory.mktemp("try")
    home, var = copied_project(folder / "home"), folder / "var"
    settings = Settings.from_env({"NIGHTSHIFT_HOME": str(home), "NIGHTSHIFT_VAR": str(var)})
    write_skeleton(settings, "practice")
    LANDERS["practice"](settings, date(2024, 1, 4), date(2024, 2, 2), lambda line: None)
    items = Path(settings.landing, "practice", "items", f"ds={DS}", "items.csv")
    lines = items.read_text().splitlines()
    lines[1] = ",".join([*lines[1].split(",")[:2], "5000"])
    items.write_text("\n".join([*lines, ""]))
    return settings


def tried(settings: Settings, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nightshift.cli", "try", "practice", "--ds", DS, *options]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=500, check=False, cwd=settings.home,
        env={**cli_environment(settings), "TMPDIR": str(settings.home)},
    )  # fmt: skip


def test_a_day_is_shown_and_nothing_is_published(practice: Settings) -> None:
    done = tried(practice, "--rows", "2", "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rows"], found["blocked"]) == (39, "")
    assert found["failures"] == [
        {
            "dataset": "inputs/items", "ds": DS, "gate": "quarantined", "column": "size", "rows": 1, "of": 40,
            "expectation": "expect_column_values_to_be_between",
        }
    ]  # fmt: skip
    columns = {item["column"]: item for item in found["columns"]}
    assert columns["item_id"]["first"] == ["0202-01", "0202-02"]
    assert columns["day_of_week"] == {"column": "day_of_week", "type": "integer", "nulls": 0.0, "first": [5, 5]}
    assert found["unscored"].startswith("the Nightshift database is unknown: ")
    assert not os.path.lexists(practice.lake)
    assert not os.path.lexists(practice.reports)
    assert list(practice.home.glob("nightshift-try-*")) == []


def test_a_gate_that_blocks_says_why_and_leaves_with_1(practice: Settings) -> None:
    spec = practice.pipelines / "practice.yaml"
    spec.write_text(spec.read_text().replace("{type: integer, min: 1, max: 7}", "{type: integer, min: 1, max: 4}"))
    done = tried(practice)

    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert f"features {DS} blocked expect_column_values_to_be_between day_of_week 39 39" in lines
    assert lines[-1].startswith("blocked: the gate blocked 39 rows: ")


def test_a_day_outside_the_range_is_refused(practice: Settings) -> None:
    command = [sys.executable, "-m", "nightshift.cli", "try", "practice", "--ds", "2023-12-31"]
    done = subprocess.run(command, capture_output=True, text=True, env=cli_environment(practice), check=False)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "NightshiftError: 2023-12-31 is outside the range of practice. Allowed: days from 2024-01-29 to 2024-12-31.\n"
    )
