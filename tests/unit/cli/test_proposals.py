"""What waits for a person, and answers that are refused before anybody signs in, as processes on a real ledger."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.settings import Settings
from nightshift.specs.calendar import current_ds
from nightshift.specs.load import load_pipeline
from tests.conftest import spec_document
from tests.unit.cli.conftest import Cli
from tests.unit.specs.home import add_spec


@pytest.fixture
def proposal(ledger: Ledger, home: Settings) -> Entry:
    """One that waits, ordered by ben."""
    asks = {**spec_document()["promotion"], "approval": "required"}
    add_spec(home, "parcels", promotion=asks, schedule={**spec_document()["schedule"], "end": None})
    now = datetime.now(UTC)
    details = {
        "champion_sha256": "", "history": False, "run_id": "manual__1", "ordered_by": "ben", "supersedes": None,
        "expires_at": (now + timedelta(days=1)).isoformat(timespec="seconds"),
    }  # fmt: skip
    as_of = current_ds(load_pipeline(home, "parcels").schedule, now)
    return ledger.append(
        NewEntry("parcels", "proposal", "ben", "rmse 2 is better", as_of, None, "3", "5" * 64, details)
    )


def test_what_waits_is_listed(cli: Cli, proposal: Entry) -> None:
    said = cli("proposals").stdout
    assert "ben" in said
    assert "rmse 2 is better" in said
    [found] = json.loads(cli("proposals", "--json").stdout)["proposals"]
    assert (found["proposal"], found["version"], found["state"]) == (1, "3", "open")


def test_diagnose_and_status_name_what_waits_and_the_command_that_answers(cli: Cli, proposal: Entry) -> None:
    since = f"{proposal.recorded_at:%Y-%m-%d %H:%M} UTC"
    said = f"version 3 waits for approval since {since}, ordered by ben, until "
    command = "nightshift approve parcels --proposal 1 --reason WHY (or reject)"
    for arguments in (("diagnose",), ("diagnose", "parcels"), ("status",)):
        [line] = [line for line in cli(*arguments).stdout.splitlines() if said in line]
        assert line.endswith(command)


def test_what_was_ended_is_listed_of_its_pipeline_alone(cli: Cli, ledger: Ledger, proposal: Entry) -> None:
    ledger.append(
        NewEntry("parcels", "refusal", "ada", "rejected by ada: no", proposal.as_of, None, "3", "5" * 64,
                 {"proposal": 1, "history": False})
    )  # fmt: skip
    assert cli("proposals").stdout == "no proposal waits\n"
    [found] = json.loads(cli("proposals", "parcels", "--json").stdout)["proposals"]
    assert (found["state"], found["why"], found["entry"]) == ("refused", "rejected by ada: no", 2)
    done = cli("approve", "parcels", "--proposal", "1", "--reason", "yes")
    assert (done.returncode, "proposal 1 is refused: rejected by ada: no" in done.stderr) == (3, True)
    assert "no proposal waits for an answer" in cli("reject", "parcels", "--reason", "no").stderr


@pytest.mark.parametrize("reason", ["", "  ", "a\x1b[2J", "x" * 501])
def test_an_answer_has_a_reason(cli: Cli, proposal: Entry, reason: str) -> None:
    done = cli("approve", "parcels", "--reason", reason)
    assert (done.returncode, "an answer has a reason" in done.stderr) == (2, True)


def test_a_frozen_one_is_not_approved(cli: Cli, ledger: Ledger, proposal: Entry) -> None:
    ledger.append(NewEntry("parcels", "freeze", "ann", "audit"))
    assert "held" in cli("proposals").stdout
    done = cli("approve", "parcels", "--reason", "yes")
    assert done.returncode == 3
    assert "promotions are frozen by ann in entry 2 (audit)" in done.stderr
    assert "unfreeze" in done.stderr


def test_without_a_platform_nobody_signs_in(cli: Cli, proposal: Entry) -> None:
    done = cli("approve", "parcels", "--reason", "yes")
    assert (done.returncode, "needs a login of Airflow, and none is known here" in done.stderr) == (3, True)
