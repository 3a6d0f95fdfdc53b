import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.settings import Settings
from tests.postgres import WRITER, Database, admit_people, ledger_of
from tests.unit.specs.home import add_spec, make_home

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """A home with the one good spec ``parcels``."""
    settings = make_home(tmp_path)
    add_spec(settings, "parcels")
    return settings


@pytest.fixture
def ledger(database: Database, home: Settings) -> Ledger:
    """An empty ledger whose URL the command finds in its file."""
    create_ledger(database.owner_url, WRITER)
    home.database_file.parent.mkdir(parents=True)
    home.database_file.write_text(database.writer_url)
    admit_people(home, database)
    return ledger_of(database)


@pytest.fixture
def cli(home: Settings) -> Cli:
    """Runs the real command in that home and returns what became of the process."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "nightshift.cli", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=home.home,
            env=cli_environment(home, **environment),
            check=False,
        )

    return run


def cli_environment(home: Settings, **more: str) -> dict[str, str]:
    """The variables of a process that shall know this home alone."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NIGHTSHIFT_", "AIRFLOW"))}
    here = {"NIGHTSHIFT_HOME": str(home.home), "NIGHTSHIFT_VAR": str(home.var), "COLUMNS": "120"}
    # None; nor somebody's who has one on this machine.
    here["NIGHTSHIFT_MLFLOW"] = here["NIGHTSHIFT_AIRFLOW"] = "http://127.0.0.1:9"
    return {**inherited, **here, **more}
