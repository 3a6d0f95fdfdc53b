"""The commands that alerts advise, run as they are written; those of containers are run by tests/containers."""

import json
import re
import shlex
from datetime import date
from pathlib import Path

import pytest
import yaml

from nightshift.job import Job
from nightshift.settings import Settings
from nightshift.specs.load import load_pipeline
from tests.conftest import PROJECT
from tests.unit.cli.conftest import Cli
from tests.unit.specs.home import add_spec

ALERTS = PROJECT / "include" / "monitoring" / "alerts.yaml"
COMMAND = re.compile(r"`([^`]+)`")


def advised() -> dict[str, list[str]]:
    """The commands of each alert, for the pipeline ``parcels``."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    texts = {rule["alert"]: rule["annotations"]["do"] for rule in rules}
    return {name: COMMAND.findall(text.replace("{{ $labels.pipeline }}", "parcels")) for name, text in texts.items()}


def test_every_alert_advises_a_command_that_a_test_runs() -> None:
    for name, commands in advised().items():
        assert commands, name
        assert {command.split()[0] for command in commands} <= {"nightshift", "docker"}, name


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    "command", sorted({line for lines in advised().values() for line in lines if line.startswith("nightshift ")})
)
def test_what_an_alert_advises_answers(cli: Cli, command: str) -> None:
    done = cli(*shlex.split(command)[1:])
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout


@pytest.mark.usefixtures("ledger")
def test_diagnose_without_arguments_looks_at_the_last_night_of_every_pipeline(cli: Cli) -> None:
    done = cli("diagnose")
    assert done.returncode == 1
    assert done.stdout.startswith("parcels 2024-04-01: WAITING")
    assert [night["ds"] for night in json.loads(cli("diagnose", "--json").stdout)["nights"]] == ["2024-04-01"]


@pytest.mark.usefixtures("ledger")
def test_diagnose_of_every_pipeline_hides_none_behind_one_that_cannot_be_read(cli: Cli, home: Settings) -> None:
    add_spec(home, "broken_lake")
    add_spec(home, "later", schedule={"cutoff": "02:00", "timezone": "America/New_York", "start": "2124-02-01"})
    (home.pipelines / "wrong.yaml").write_text("pipeline: wrong\n")
    log = Path(Job(home, load_pipeline(home, "broken_lake"), date(2024, 4, 1)).table("predictions"), "_delta_log")
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("no commit")
    done = cli("diagnose")
    assert (done.returncode, done.stderr) == (1, "")
    assert "broken_lake: its night cannot be looked at. " in done.stdout
    assert "parcels 2024-04-01: WAITING" in done.stdout
    assert "a spec is not valid, its pipeline has no night: " in done.stdout
    assert done.stdout.endswith("later: its first night, 2124-02-01, is to come\n")
    found = json.loads(cli("diagnose", "--json").stdout)
    assert [night["pipeline"] for night in found["nights"]] == ["parcels"]
    assert (list(found["unread"]), found["to_come"]) == (["broken_lake"], {"later": "2124-02-01"})


def test_a_retrain_is_diagnosed_by_its_day(cli: Cli) -> None:
    done = cli("diagnose", "parcels", "--retrain")
    assert done.returncode == 2
    assert "--ds" in done.stderr
