"""The command as a process: exit codes, what goes where, no traceback."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nightshift import __version__
from nightshift.settings import Settings
from tests.unit.cli.conftest import Cli, cli_environment
from tests.unit.specs.home import add_spec

PLATFORM = ["up", "down", "status", "env", "demo", "prepare", "serve"]
PIPELINES = ["new", "check", "land", "try", "run", "retrain", "score"]
REPAIRS = ["backfill", "diagnose", "waive", "repair", "audit", "prune", "backup", "restore", "notify"]
ORDERS = ["rollback", "retire", "override", "freeze", "unfreeze"]
COMMANDS = [
    *PLATFORM,
    *PIPELINES,
    *REPAIRS,
    "champions",
    "history",
    "ledger",
    *ORDERS,
    "proposals",
    "approve",
    "reject",
]
HEAVY = (
    "pyspark mlflow great_expectations xgboost pandas kubernetes deltalake psycopg airflow pyarrow numpy pydantic yaml"
)


def test_help_names_every_command_and_the_exit_codes(cli: Cli) -> None:
    done = cli("--help")
    assert (done.returncode, done.stderr) == (0, "")
    listing = done.stdout.partition("Commands:")[2].partition("Exit codes")[0]
    listed = [line.split()[0] for line in listing.splitlines() if line.strip()]
    assert listed == COMMANDS
    assert "..." not in listing  # no summary is cut short
    assert "130 interrupted" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(cli: Cli, command: str) -> None:
    done = cli(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example: " in done.stdout


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"env", "demo", "prepare", "serve", "score"}))
def test_every_command_that_answers_can_answer_in_json(cli: Cli, command: str) -> None:
    assert "--json" in cli(command, "--help").stdout


@pytest.mark.process
def test_help_imports_nothing_heavy(home: Settings) -> None:
    code = (
        "import sys; sys.argv = ['nightshift', '--help']\n"
        "from nightshift.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in '{HEAVY} rich'.split() if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=cli_environment(home), check=True
    )
    assert done.stderr.strip() == "[]"


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout == f"{__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ""),
        (("fly",), "No such command 'fly'"),
        (("history", "parcels"), "Missing option '--ds'"),
        (("history", "parcels", "--ds", "2024-02-30"), "'2024-02-30' is not a day; write it as YYYY-MM-DD"),
        (("history", "parcels", "--ds", "20240201"), "'20240201' is not a day; write it as YYYY-MM-DD"),
        (("champions", "parcels", "--at", "noon"), "'noon' is not a moment; write it as 2013-03-04T12:00+00:00"),
        (("ledger",), "Missing argument 'PIPELINE|verify|restored'"),
        (("ledger", "a", "b"), "write `nightshift ledger PIPELINE` or `nightshift ledger verify`"),
        (("score", "--plan", "x", "--shard", "one"), "Invalid value for '--shard'"),
    ],
)
def test_wrong_usage_is_2(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("land", "parcels", "--from", "2024-02-01", "--to", "2024-02-01"),
            "NightshiftError: there is no demo data for 'parcels'. Allowed: ",
        ),
        (("champions", "parcels"), "NightshiftError: the Nightshift database is unknown: "),
        (("ledger", "verify"), "NightshiftError: the Nightshift database is unknown: "),
        (("score", "--plan", "/nowhere/plan.json", "--shard", "0"), "ModelNotFound: "),
    ],
)
def test_what_cannot_be_done_is_3_and_one_sentence(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(words) or arguments[0] == "score"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "../parcels"),
        ("run", "../parcels", "gate_inputs", "--ds", "2024-02-05"),
        ("retrain", "../parcels", "--as-of", "2024-02-05"),
        ("history", "../parcels", "--ds", "2024-02-05"),
        ("land", "../parcels", "--from", "2024-02-05", "--to", "2024-02-05"),
    ],
)
def test_the_name_of_a_pipeline_is_never_a_path(cli: Cli, home: Settings, arguments: tuple[str, ...]) -> None:
    (home.pipelines.parent / "parcels.yaml").write_text((home.pipelines / "parcels.yaml").read_text())
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    unknown = "there is no pipeline '../parcels'; did you mean parcels? Allowed: parcels."
    [line] = done.stderr.splitlines()
    assert line == f"SpecError: include/pipelines: {unknown}"


def test_a_step_that_is_none_is_wrong_usage(cli: Cli) -> None:
    done = cli("run", "parcels", "gate_input", "--ds", "2024-02-01")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no step 'gate_input'; did you mean gate_inputs?" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        *(("champions", "parcel"), ("ledger", "parcel"), ("diagnose", "parcel", "--ds", "2024-02-05")),
        *(("try", "parcel", "--ds", "2024-02-05"), ("backfill", "parcel", "2024-02-05", "2024-02-05")),
        *(("waive", "parcel", "orders", "--ds", "2024-02-05", "--reason", "x"), ("prune", "parcel")),
        *(("rollback", "parcel", "--reason", "x"), ("retire", "parcel", "1", "--reason", "x")),
        *(("override", "parcel", "1", "--reason", "x"), ("freeze", "parcel", "--reason", "x")),
        *(("audit", "parcel", "2024-02-05", "2024-02-05"), ("demo", "parcel"), ("check", "parcel")),
    ],
)
@pytest.mark.usefixtures("ledger")
def test_the_name_of_no_pipeline_is_wrong_usage_for_every_command(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("SpecError: include/pipelines: there is no pipeline 'parcel'; did you mean parcels?")


def test_a_wrong_setting_is_3(cli: Cli) -> None:
    done = cli("check", NIGHTSHIFT_ENV="Prod!")
    assert done.returncode == 3
    assert done.stderr.startswith("NightshiftError: NIGHTSHIFT_ENV='Prod!' is not allowed.")


def test_check_says_that_all_is_well(cli: Cli) -> None:
    done = cli("check")
    assert (done.returncode, done.stdout) == (0, "1 spec checked, no problem\n")
    assert len(done.stderr.splitlines()) == 1, "that tonight's champion was not asked for"
    assert json.loads(cli("check", "parcels", "--json").stdout) == {
        "specs": 1, "problems": [], "refused": [], "not_asked": {"parcels": "there is no ledger here"},
        "warnings": [],
    }  # fmt: skip


def test_check_says_what_is_wrong_and_where(cli: Cli, home: Settings) -> None:
    add_spec(home, "late", owner=1)
    done = cli("check")
    problem = "include/pipelines/late.yaml:2: owner: 1 is not allowed; allowed: text"
    assert (done.returncode, done.stdout) == (1, f"{problem}\n2 specs checked, 1 problem\n")
    document = json.loads(cli("check", "--json").stdout)
    assert document == {
        "specs": 2,
        "problems": [
            {"file": "include/pipelines/late.yaml", "line": 2, "text": "owner: 1 is not allowed; allowed: text"}
        ],
        "refused": [],
        "not_asked": {"parcels": "there is no ledger here"},
        "warnings": [],
    }


def test_status_of_a_platform_that_is_down_is_1(cli: Cli, home: Settings) -> None:
    done = cli("status", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["healthy"]) == (1, False)
    assert {component["state"] for component in document["components"]} == {"stopped"}
    assert document["password_files"]["airflow"] == f"{home.var}/secrets/airflow-passwords.json"
    assert "airflow-scheduler" in cli("status").stdout


def test_env_is_for_eval(cli: Cli, home: Settings) -> None:
    exports = cli("env").stdout
    done = subprocess.run(
        ["/bin/sh", "-euc", f'{exports}\necho "$NIGHTSHIFT_VAR"; command -v airflow'],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
        check=True,
    )
    assert done.stdout.splitlines() == [str(home.var), str(Path(sys.executable).parent / "airflow")]


@pytest.mark.process
def test_what_nobody_foresaw_is_one_line_that_quotes_nothing(home: Settings) -> None:
    code = (
        "import sys; from nightshift import cli; from nightshift.cli import published as history\n"
        "def published(*_): raise ValueError('cell 4711') from KeyError('cell 4711')\n"
        "history.published = published\n"
        "sys.argv = ['nightshift', 'history', 'parcels', '--ds', '2024-02-01']; cli.main()"
    )
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, env=cli_environment(home), timeout=120, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("NightshiftError: ValueError from KeyError was raised (at nightshift.cli.")
    assert "4711" not in line


@pytest.mark.process
def test_interrupted_is_130(home: Settings) -> None:
    code = (
        "import sys, time; from nightshift import cli; from nightshift.cli import published as history\n"
        "def published(*_): print('begun', file=sys.stderr, flush=True); time.sleep(60)\n"
        "history.published = published\n"
        "sys.argv = ['nightshift', 'history', 'parcels', '--ds', '2024-02-01']; cli.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=cli_environment(home),
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "begun\n"
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
