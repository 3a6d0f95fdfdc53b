"""What only a live platform can show: the dag-processor, the api-server's login, runs that the command line makes."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import pytest
import requests
import yaml

from nightshift import storage
from nightshift.actor import system_account
from nightshift.job import Job
from nightshift.orchestration.last_valid import BROKEN
from nightshift.platform.airflow_client import login
from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger
from nightshift.registry.promotion import Decision
from nightshift.specs.load import load_pipeline
from nightshift.training.approval import propose
from nightshift.training.evidence import Evidence
from tests.conftest import spec_document
from tests.live import Live
from tests.unit.cli.test_orders import digest, keep_model
from tests.waiting import until

pytestmark = pytest.mark.platform

# A command beside other tests takes longer than on an operator's machine.
SLOWER = 10
REPORT = "parcels/features/ds=2024-02-05/abc.html"
MODULE = "def build(inputs, days):\n    return None\n\n\ndef label(inputs, days):\n    return None\n"


@pytest.fixture(scope="module")
def live(live_platform: Live) -> Live:
    """The platform, with parcels and letters as two more pipelines; nothing has landed for either."""
    home = live_platform.settings.home
    for name in ("parcels", "letters"):
        (home / "spark_jobs" / "features" / f"{name}.py").write_text(MODULE)
        document = spec_document(pipeline=name)
        (home / "include" / "pipelines" / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    until(lambda: {"parcels", "letters"} <= active(live_platform))
    return live_platform


def active(live: Live) -> set[str]:
    dags = live.api("/api/v2/dags?limit=100&exclude_stale=true")["dags"]
    return {dag["dag_id"] for dag in dags if not dag["is_stale"]}


def import_errors(live: Live) -> list[dict[str, Any]]:
    errors: list[dict[str, Any]] = live.api("/api/v2/importErrors")["import_errors"]
    return errors


def tags(live: Live, dag: str) -> set[str]:
    return {tag["name"] for tag in live.api(f"/api/v2/dags/{dag}")["tags"]}


def trigger(live: Live, dag: str, logical: str | None, conf: dict[str, Any] | None = None) -> str:
    document = {"logical_date": logical, "conf": conf or {}}
    return str(live.api(f"/api/v2/dags/{dag}/dagRuns", "POST", document)["dag_run_id"])


def fails_with(live: Live, dag: str, run: str, words: str) -> None:
    """The run's first task fails without another try, its log says so, and nothing after it runs."""
    path = f"/api/v2/dags/{dag}/dagRuns/{run}"
    until(lambda: live.api(path)["state"] == "failed")
    tasks = live.api(f"{path}/taskInstances")["task_instances"]
    states = {task["task_id"]: (task["state"], task["try_number"]) for task in tasks}
    assert states.pop("inputs_landed") == ("failed", 1)
    assert {state for state, _ in states.values()} == {"upstream_failed"}
    assert words in str(live.api(f"{path}/taskInstances/inputs_landed/logs/1"))


class TestManualRuns:
    def test_the_day_that_was_typed_is_the_one_that_is_run(self, live: Live) -> None:
        conf = {"business_date": "2024-02-04", "rebuild": True, "reason": "ticket 4711"}
        run = trigger(live, "parcels", "2024-05-06T07:08:09Z", conf)
        path = f"/api/v2/dags/parcels/dagRuns/{run}"
        until(lambda: live.api(f"{path}/taskInstances/inputs_landed")["state"] == "up_for_reschedule")
        assert "parcels/orders/ds=2024-02-04" in str(live.api(f"{path}/taskInstances/inputs_landed/logs/1"))
        live.api(path, "PATCH", {"state": "failed"})
        with login(live.settings) as client:
            assert client.day_runs("parcels", date(2024, 2, 4))[-1].run_id == run
        [file] = storage.list_files(f"{live.settings.tables}/parcels/_rebuilds")
        ordered = storage.read_json(file.uri)
        assert {name: ordered[name] for name in ("first", "last", "actor", "reason")} == {
            "first": "2024-02-04", "last": "2024-02-04", "actor": "admin", "reason": "ticket 4711",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("conf", "words"),
        [
            ({"ds": "2024-02-08"}, "its conf has 1 unknown key: 'ds'"),
            ({"business_date": "2024-01-31"}, "2024-01-31 is before the pipeline's first business date"),
            ({}, "is after the pipeline's last business date"),
        ],
    )
    def test_what_no_run_can_have_is_refused_by_its_first_task(
        self, live: Live, conf: dict[str, Any], words: str
    ) -> None:
        fails_with(live, "parcels", trigger(live, "parcels", None, conf), words)

    def test_airflow_refuses_what_the_form_does_not_allow(self, live: Live) -> None:
        for conf in ({"business_date": "tomorrow"}, {"rebuild": "yes"}, {"reason": 4711}):
            with pytest.raises(requests.HTTPError, match="400"):
                trigger(live, "parcels", None, conf)


class TestBackfill:
    def test_has_both_ends_and_comes_at_the_cutoffs_over_daylight_saving(self, live: Live) -> None:
        live.run(
            "airflow", "backfill", "create", "--dag-id", "letters__retrain", "--from-date", "2024-03-09", "--to-date",
            "2024-03-11", "--max-active-runs", "1",
        )  # fmt: skip
        runs = live.api("/api/v2/dags/letters__retrain/dagRuns?order_by=logical_date")["dag_runs"]
        assert [(run["logical_date"], run["run_after"]) for run in runs] == [
            ("2024-03-09T00:00:00Z", "2024-03-09T07:00:00Z"),
            ("2024-03-10T00:00:00Z", "2024-03-10T07:00:00Z"),
            ("2024-03-11T00:00:00Z", "2024-03-11T06:00:00Z"),
        ]

    def test_a_run_that_is_over_has_a_note_with_its_state(self, live: Live) -> None:
        """By the scheduler, which ends it: a retrain without any day is refused."""
        path = "/api/v2/dags/letters__retrain/dagRuns"
        run = live.api(f"{path}?order_by=logical_date")["dag_runs"][0]["dag_run_id"]
        done = until(lambda: (found := live.api(f"{path}/{run}"))["state"] in ("success", "failed") and found)
        state = {"success": "OK with warnings: ", "failed": "FAILED in "}[done["state"]]
        assert done["note"].startswith(f"Nightshift: {state}")

    def test_outside_of_the_specs_range_makes_no_run(self, live: Live) -> None:
        live.run(
            "airflow", "backfill", "create", "--dag-id", "letters", "--from-date", "2023-01-01", "--to-date",
            "2023-01-03", check=False,
        )  # fmt: skip
        assert live.api("/api/v2/dags/letters/dagRuns")["total_entries"] == 0

    def test_a_spec_that_is_over_is_not_scheduled(self, live: Live) -> None:
        assert live.api("/api/v2/dags/letters")["next_dagrun_logical_date"] is None


class TestWaiting:
    def test_a_run_without_its_files_waits_without_a_slot_and_says_for_what(self, live: Live) -> None:
        logical = "2024-02-05T00:00:00Z"
        run = live.api("/api/v2/dags/parcels/dagRuns", "POST", {"logical_date": logical})["dag_run_id"]
        path = f"/api/v2/dags/parcels/dagRuns/{run}/taskInstances/inputs_landed"
        until(lambda: live.api(path)["state"] == "up_for_reschedule")
        said = str(live.api(f"{path}/logs/1"))
        assert "waiting: " in said
        assert "2024-02-05" in said
        assert "parcels/orders/ds=2024-02-05" in said
        tonight = until(lambda: waiting_line(live))
        assert "2024-02-05" in tonight
        assert "parcels/orders/ds=2024-02-05" in tonight
        assert "logistics" in tonight

        live.api(f"/api/v2/dags/parcels/dagRuns/{run}", "PATCH", {"note": "the vendor was asked"})
        live.api(f"/api/v2/dags/parcels/dagRuns/{run}", "PATCH", {"state": "failed"})
        said = live.api(f"/api/v2/dags/parcels/dagRuns/{run}")["note"].splitlines()
        assert said[0] == "the vendor was asked"
        assert said[1].startswith("Nightshift: FAILED")
        assert said[1].endswith("nightshift diagnose parcels --ds 2024-02-05")

        page = f"{live.settings.airflow_address}/nightshift/runs/parcels/{quote(run, safe='')}"
        for task in ("inputs_landed", "score"):
            buttons = live.api(f"/api/v2/dags/parcels/dagRuns/{run}/taskInstances/{task}/links")["extra_links"]
            assert buttons["What this run did"] == page


def waiting_line(live: Live) -> str:
    """The line of parcels on the page Tonight, once it waits."""
    answer = requests.get(f"{live.settings.airflow_url}/nightshift/tonight", cookies=live.cookies(), timeout=30)
    assert answer.status_code == 200
    [row] = [row for row in answer.text.split("<tr>") if ">parcels<" in row]
    return row if ">WAITING<" in row and "source orders lacks" in row else ""


class TestBrokenSpecs:
    def test_one_is_told_once_and_harms_no_other(self, live: Live) -> None:
        """Through the real dag-processor: break one, see it, mend it."""
        path = live.settings.home / "include" / "pipelines" / "letters.yaml"
        whole = path.read_text()
        before = active(live)
        path.write_text(whole.replace("owner: logistics", "ower: logistics"))
        try:
            [error] = until(lambda: import_errors(live))
            assert error["filename"] == "broken_specs.py"
            assert "letters.yaml:2" in error["stack_trace"]
            assert "did you mean owner?" in error["stack_trace"]
            until(lambda: BROKEN in tags(live, "letters"))
            assert active(live) == before
            assert BROKEN not in tags(live, "parcels")
            doc = live.api("/api/v2/dags/letters/details")["doc_md"]
            assert "letters.yaml:2" in doc
            assert "nightshift check letters" in doc
            fails_with(live, "letters", trigger(live, "letters", "2024-02-07T00:00:00Z"), "did you mean owner?")
            logical = "2024-02-06T00:00:00Z"
            run = live.api("/api/v2/dags/parcels/dagRuns", "POST", {"logical_date": logical})["dag_run_id"]
            state = f"/api/v2/dags/parcels/dagRuns/{run}/taskInstances/inputs_landed"
            until(lambda: live.api(state)["state"] == "up_for_reschedule")
            live.api(f"/api/v2/dags/parcels/dagRuns/{run}", "PATCH", {"state": "failed"})
        finally:
            path.write_text(whole)
        until(lambda: not import_errors(live))
        until(lambda: BROKEN not in tags(live, "letters"))
        assert active(live) == before


class TestCancel:
    def test_a_backfill_that_waits_is_ended_and_its_queued_runs_say_by_whom(self, live: Live) -> None:
        live.run(
            "airflow", "backfill", "create", "--dag-id", "letters", "--from-date", "2024-02-10", "--to-date",
            "2024-02-12", "--max-active-runs", "1",
        )  # fmt: skip
        path = "/api/v2/dags/letters/dagRuns?run_type=backfill&order_by=logical_date"
        until(lambda: "running" in [run["state"] for run in live.api(path)["dag_runs"]])
        done = live.run("nightshift", "backfill", "letters", "--cancel", "--reason", "wrong days", "--json")
        found = json.loads(done.stdout)
        assert (found["running"], found["cancelled"]) == (["2024-02-10"], ["2024-02-11", "2024-02-12"])
        first, *queued = live.api(path)["dag_runs"]
        assert [run["state"] for run in queued] == ["failed", "failed"]
        assert {run["note"] for run in queued} == {f"cancelled by {found['by']}: wrong days"}
        again = live.run("nightshift", "backfill", "letters", "--cancel", check=False)
        assert again.returncode != 0
        assert "no backfill is active" in again.stderr
        live.api(f"/api/v2/dags/letters/dagRuns/{first['dag_run_id']}", "PATCH", {"state": "failed"})


class TestOrders:
    FREEZE: ClassVar[dict[str, str]] = {"kind": "freeze", "reason": "audit", "claimed": "eve"}

    def test_who_may_not_edit_the_dag_or_shows_a_cookie_alone_gives_none(self, live: Live) -> None:
        address = f"{live.settings.airflow_url}/nightshift/orders/letters"
        viewer = live.bearer("vic")
        assert requests.get(f"{live.settings.airflow_url}/api/v2/dags", headers=viewer, timeout=30).status_code == 200
        refused = [
            requests.post(address, json=self.FREEZE, timeout=30, **more).status_code
            for more in (
                {},
                {"cookies": live.cookies()},
                {"headers": viewer},
                {"headers": {"Authorization": "Bearer x"}},
            )
        ]
        assert refused == [401, 401, 403, 403]
        assert Ledger.of(live.settings).entries("letters", ["freeze"]) == []

    def test_the_command_signs_in_and_the_order_counts_within_two_seconds(self, live: Live) -> None:
        ledger, account = Ledger.of(live.settings), system_account()
        # The first one imports what an order needs.
        address = f"{live.settings.airflow_url}/nightshift/orders/letters"
        answer = requests.post(address, json=self.FREEZE, headers=live.bearer("ada"), timeout=60)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["entry"]["actor"], ledger.entries("letters")[-1].by) == ("ada", "ada, said to be eve")
        again = requests.post(address, json=self.FREEZE, headers=live.bearer("olaf"), timeout=30)
        assert (again.status_code, "frozen already: entry" in again.json()["what"]) == (409, True)

        began = datetime.now(UTC)
        done = live.run("nightshift", "unfreeze", "letters", "--reason", "over")
        entry = ledger.entries("letters")[-1]
        print(f"from order to effect {(entry.recorded_at - began).total_seconds():.2f} s")
        assert entry.recorded_at - began < timedelta(seconds=2 * SLOWER)
        assert (entry.actor, entry.details["claimed"]) == ("admin", account)
        assert f"unfreeze by admin, said to be {account} (over)" in done.stdout
        assert "signed in to Airflow as admin, the platform's own login" in done.stderr

        wrong = live.settings.home / "wrong"
        wrong.write_text("no password")
        environment = {"NIGHTSHIFT_AIRFLOW_USER": "admin", "NIGHTSHIFT_AIRFLOW_PASSWORD_FILE": str(wrong)}
        somebody = replace(live, environment={**live.environment, **environment})
        done = somebody.run("nightshift", "freeze", "letters", "--reason", "audit", check=False)
        assert (done.returncode, "does not know the login admin with that password" in done.stderr) == (3, True)
        assert ledger.entries("letters")[-1] == entry

    def test_the_password_of_people_is_in_no_process(self, live: Live) -> None:
        password = urlsplit(live.settings.people).password or ""
        assert len(password) > 10
        found = [path for path in Path("/proc").glob("[0-9]*/environ") if password in told(path)]
        found += [path for path in Path("/proc").glob("[0-9]*/cmdline") if password in told(path)]
        assert found == []


def told(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended
        return ""


class TestApproval:
    """What ``decide`` leaves is made here, since a retrain would take minutes; all that comes after it is real."""

    PIPELINE = "packets"

    @pytest.fixture(scope="class")
    def proposal(self, live: Live) -> tuple[Entry, str]:
        """A proposal of a run that admin ordered, and the address of its window, which is open."""
        home, name = live.settings.home, self.PIPELINE
        (home / "spark_jobs" / "features" / f"{name}.py").write_text(MODULE)
        day = datetime.now(UTC).date() - timedelta(days=2)
        schedule = {**spec_document()["schedule"], "start": f"{day - timedelta(days=9)}", "end": None}
        asks = {**spec_document()["promotion"], "approval": "required"}
        document = spec_document(pipeline=name, schedule={**schedule, "retrain": "never"}, promotion=asks)
        (home / "include" / "pipelines" / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        dag = f"{name}__retrain"
        until(lambda: dag in active(live))
        live.api(f"/api/v2/dags/{dag}", "PATCH", {"is_paused": True})
        run = trigger(live, dag, None, {"business_date": day.isoformat(), "reason": "ticket 4711"})
        path = f"/api/v2/dags/{dag}/dagRuns/{quote(run, safe='')}"
        for task in live.api(f"{path}/taskInstances")["task_instances"]:
            if task["task_id"] not in ("approval", "promote"):
                live.api(f"{path}/taskInstances/{task['task_id']}", "PATCH", {"new_state": "success"})
        job = Job(live.settings, load_pipeline(live.settings, name), day, run_id=run, actor="admin", ordered_by="admin")
        better = Decision(promote=True, reasons=("it is better",))
        entry, _ = propose(job, Evidence(better, "3", "5" * 64))
        assert entry is not None
        job.leave("decide", Evidence(better, "3", "5" * 64, proposal=entry.seq).document())
        live.api(f"/api/v2/dags/{dag}", "PATCH", {"is_paused": False})
        until(lambda: live.api(f"{path}/taskInstances/approval")["state"] == "awaiting_input")
        return entry, path

    def test_what_waits_is_shown(self, live: Live, proposal: tuple[Entry, str]) -> None:
        entry, path = proposal
        [found] = json.loads(live.run("nightshift", "proposals", "--json").stdout)["proposals"]
        assert (found["proposal"], found["ordered_by"], found["state"]) == (entry.seq, "admin", "open")
        window = live.api(f"{path}/taskInstances/approval/-1/hitlDetails")
        assert "version 3 of packets waits for approval" in window["subject"]
        assert window["params"]["proposal"]["value"] == entry.seq
        answer = requests.get(f"{live.settings.airflow_url}/nightshift/tonight", cookies=live.cookies(), timeout=30)
        assert f"nightshift approve packets --proposal {entry.seq}" in answer.text

    def test_who_ordered_it_does_not_approve_it_however_they_ask(self, live: Live, proposal: tuple[Entry, str]) -> None:
        entry, path = proposal
        done = live.run("nightshift", "approve", self.PIPELINE, "--reason", "mine", check=False)
        assert done.returncode == 3
        assert "admin ordered its run, and another person must approve it" in done.stderr
        window = f"{path}/taskInstances/approval/-1/hitlDetails"
        given = {"chosen_options": ["Approve"], "params_input": {"reason": "mine", "proposal": entry.seq}}
        live.api(window, "PATCH", given)
        until(lambda: "another person must approve it" in str(live.api(f"{path}/taskInstances/approval/logs/1")))
        until(lambda: live.api(f"{path}/taskInstances/approval")["state"] == "awaiting_input")
        assert live.api(window)["responded_at"] is None
        with pytest.raises(requests.HTTPError, match="403"):
            live.api(window, "PATCH", given, "vic")

    def test_who_asks_for_an_approval_that_nobody_gave_has_none(self, live: Live, proposal: tuple[Entry, str]) -> None:
        """The address asks for no login; the window is open, and its answer by who ordered the run counts for none."""
        _, path = proposal
        run = path.rpartition("/")[2]
        for there in (f"packets__retrain/{run}", "packets__retrain/no%2Fsuch", f"packets/{run}", f"..%2Fx/{run}"):
            address = f"{live.settings.airflow_url}/nightshift/approvals/{there}"
            answer = requests.post(address, json={"answer": {"choice": "approve", "by": "ada"}}, timeout=30)
            assert (answer.status_code, answer.text) in ((204, ""), (404, '{"detail":"Not Found"}'))
        assert Ledger.of(live.settings).entries(self.PIPELINE, ["approval"]) == []

    def test_another_person_does_and_the_ledger_says_who(self, live: Live, proposal: tuple[Entry, str]) -> None:
        entry, path = proposal
        done = live.run("nightshift", "approve", self.PIPELINE, "--reason", "a usual week", "--login", "ada", "--json")
        found = json.loads(done.stdout)
        approval = found["entry"]
        assert (approval["kind"], approval["actor"], approval["version"]) == ("approval", "ada", "3")
        assert approval["reason"] == "approved by ada: a usual week; the rule: it is better"
        told = approval["details"]["answer"]
        assert (told["dag_id"], told["task_id"], told["login"]) == ("packets__retrain", "approval", "ada")
        assert told["at"] > entry.recorded_at.isoformat()
        until(lambda: live.api(path)["state"] == "success")
        assert live.api(path)["note"].startswith("Nightshift: OK")
        again = live.run("nightshift", "reject", self.PIPELINE, "--reason", "no", check=False)
        assert (again.returncode, "no proposal waits" in again.stderr) == (3, True)


class TestPages:
    @pytest.fixture
    def report(self, live: Live) -> str:
        """One that an earlier version wrote, without a digest."""
        storage.create_bytes(f"{live.settings.reports}/{REPORT}", b"<p>a report</p>")
        storage.create_bytes(f"{live.settings.reports}/{REPORT.replace('.html', '.json')}", b"{}")
        return f"{live.settings.airflow_url}/nightshift/reports/{REPORT}"

    @pytest.fixture
    def login(self, live: Live) -> dict[str, str]:
        """The cookie that a browser has after the login page."""
        return live.cookies()

    def test_nobody_reads_a_report_without_a_login(self, live: Live, report: str) -> None:
        for address in (report, report.replace("/reports/", "/runs/")):
            assert requests.get(address, timeout=30).status_code in (401, 404)
        assert requests.get(report, timeout=30).status_code == 401
        assert requests.get(report, cookies={"_token": "forged"}, timeout=30).status_code in (401, 403)
        assert requests.get(f"{live.settings.airflow_url}/nightshift/runs/parcels/any", timeout=30).status_code == 401

    def test_who_is_logged_in_reads_it(self, report: str, login: dict[str, str]) -> None:
        answer = requests.get(report, cookies=login, timeout=30)
        assert (answer.status_code, "<p>a report</p>" in answer.text) == (200, True)
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]

    def test_the_pages_describe_themselves_to_nobody(self, live: Live) -> None:
        for path in ("docs", "redoc", "openapi.json", ""):
            answer = requests.get(f"{live.settings.airflow_url}/nightshift/{path}", timeout=30)
            assert answer.status_code == 404

    def test_tonight_is_in_the_navigation_and_for_nobody_without_a_login(
        self, live: Live, login: dict[str, str]
    ) -> None:
        address = f"{live.settings.airflow_url}/nightshift/tonight"
        assert requests.get(address, timeout=30).status_code == 401
        assert requests.get(address, cookies={"_token": "forged"}, timeout=30).status_code in (401, 403)
        answer = requests.get(address, cookies=login, timeout=30)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        [plugin] = [item for item in live.api("/api/v2/plugins")["plugins"] if item["name"] == "nightshift"]
        views = [(view["name"], view["destination"]) for view in plugin["external_views"]]
        assert {("Tonight", "nav"), ("Pipeline", "dag")} <= set(views)

    def test_a_run_has_a_page(self, live: Live, login: dict[str, str]) -> None:
        address = f"{live.settings.airflow_url}/nightshift/runs/parcels/manual__none"
        answer = requests.get(address, cookies=login, timeout=30)
        assert (answer.status_code, "No step has ended yet." in answer.text) == (200, True)


class TestPipelinePage:
    """The page of parcels, as a browser asks for it; orders by people of every role of Airflow's."""

    @pytest.fixture(scope="class")
    def ledger(self, live: Live) -> Ledger:
        """Two promotions of parcels, whose models have their files."""
        ledger = Ledger.of(live.settings)
        for version, first in (("1", date(2024, 2, 2)), ("2", date(2024, 2, 5))):
            as_of = first - timedelta(days=1)
            keep_model(live.settings, version, as_of)
            ledger.append(NewEntry("parcels", "promotion", "retrain", "rule", as_of, first, version, digest(version)))
        return ledger

    @pytest.mark.parametrize(("user", "orders"), [("vic", False), ("ada", True), ("olaf", True), ("admin", True)])
    def test_who_may_edit_the_dag_sees_forms(self, live: Live, ledger: Ledger, user: str, orders: bool) -> None:
        answer = requests.get(address(live), cookies=live.cookies(user), timeout=30)
        assert (answer.status_code, "<form" in answer.text) == (200, orders)
        assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        numbers = [int(number) for number in re.findall(r"<tr><td>(\d+)<td>", answer.text)]
        assert numbers == [entry.seq for entry in reversed(ledger.entries("parcels"))]

    def test_nobody_without_a_login(self, live: Live) -> None:
        assert requests.get(address(live), timeout=30).status_code == 401
        assert post(live, "", "plan", {}).status_code == 401
        for dag in ("none", "parcels__retrain/x"):
            there = requests.get(address(live, dag), cookies=live.cookies(), timeout=30)
            assert there.status_code == 404
        retrain = requests.get(address(live, "parcels__retrain"), cookies=live.cookies(), timeout=30)
        assert retrain.url == address(live)

    def test_an_order_is_shown_then_recorded_once(self, live: Live, ledger: Ledger) -> None:
        before = ledger.entries()
        plan = post(live, "ada", "plan", {**form(live, "ada", "freeze"), "reason": "<audit> until Friday"})
        assert (plan.status_code, "dry run, nothing is recorded: freeze" in plan.text) == (200, True)
        assert ledger.entries() == before, "a plan records nothing, whatever ends then"
        fields, began = form_of(plan.text), time.monotonic()
        done = post(live, "ada", "order", fields)
        assert time.monotonic() - began < 5  # this whole test took 0.7; other tests run beside it
        assert (done.status_code, "freeze by ada (&lt;audit&gt; until Friday)" in done.text) == (200, True)
        [entry] = ledger.entries()[len(before) :]
        assert (entry.kind, entry.actor, entry.reason) == ("freeze", "ada", "<audit> until Friday")
        again = post(live, "ada", "order", fields)
        assert (again.status_code, f"entry {entry.seq}, freeze by ada" in again.text) == (409, True)
        until(lambda: "ada" in requests.get(tonight_address(live), cookies=live.cookies(), timeout=30).text)
        over = post(live, "olaf", "plan", {**form(live, "olaf", "unfreeze"), "reason": "over"})
        assert post(live, "olaf", "order", form_of(over.text)).status_code == 200
        assert ledger.verify() == len(before) + 2

    def test_of_two_at_once_one_is_recorded_and_the_other_hears_of_it(self, live: Live, ledger: Ledger) -> None:
        users, number = ("ada", "olaf"), len(ledger.entries())
        given = {"version": "", "effective_from": "2024-02-06", "reason": "doubled"}
        plans = [post(live, user, "plan", {**form(live, user, "rollback"), **given}) for user in users]
        assert all("version 1 can serve" in plan.text and "<td>2024-02-06<td>-" in plan.text for plan in plans)
        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(lambda user, plan: post(live, user, "order", form_of(plan.text)), users, plans))
        assert sorted(answer.status_code for answer in done) == [200, 409]
        [entry] = ledger.entries()[number:]
        [lost] = [answer for answer in done if answer.status_code == 409]
        assert f"entry {entry.seq}, rollback to version 1 from 2024-02-06 on by {entry.actor} (doubled)" in lost.text

    def test_what_is_forged_is_refused(self, live: Live, ledger: Ledger) -> None:
        before = ledger.entries()
        own = {**form(live, "ada", "freeze"), "reason": "why"}
        plan = form_of(post(live, "ada", "plan", own).text)
        page = origin(live)
        forged: list[tuple[int, str, str, dict[str, str], dict[str, str]]] = [
            (403, "ada", "order", plan, {"Origin": "https://evil.example"}),
            (403, "ada", "order", plan, {"Origin": "null"}),
            (403, "ada", "order", plan, {"Origin": ""}),
            (403, "ada", "order", plan, {**page, "Sec-Fetch-Site": "cross-site"}),
            (403, "ada", "order", plan, {**page, "Sec-Fetch-Site": "same-site"}),
            (403, "ada", "plan", own, {"Origin": "https://evil.example"}),
            (403, "vic", "order", plan, page),
            (403, "vic", "plan", own, page),
            (403, "olaf", "order", plan, page),
            (403, "ada", "order", {**plan, "reason": "another"}, page),
            (403, "ada", "order", {**plan, "plan": "0" * 64}, page),
            (403, "ada", "plan", {**own, "token": ""}, page),
            (403, "ada", "plan", {**own, "kind": "retirement", "version": "1"}, page),
            (422, "ada", "plan", {**own, "reason": "x" * 9000}, page),
            (422, "ada", "plan", {**own, "kind": "approval"}, page),
            (422, "ada", "plan", {**own, "actor": "olaf"}, page),
            (422, "ada", "plan", {**own, "reason": " "}, page),
            (422, "ada", "order", own, page),
        ]
        for status, user, step, fields, headers in forged:
            answer = post(live, user, step, fields, headers)
            assert (answer.status_code, "Nothing was recorded" in answer.text) == (status, True), (step, fields)
            assert "What to do" in answer.text
            assert "<form" not in answer.text
        plain = requests.post(f"{address(live)}/plan", json=own, headers=page, cookies=live.cookies("ada"), timeout=30)
        assert plain.status_code == 422
        assert ledger.entries() == before


def address(live: Live, dag: str = "parcels") -> str:
    """The page of a pipeline."""
    return f"{live.settings.airflow_url}/nightshift/pipelines/{dag}"


def tonight_address(live: Live) -> str:
    return f"{live.settings.airflow_url}/nightshift/tonight"


def origin(live: Live) -> dict[str, str]:
    """What a browser says of a form on a page of this server."""
    return {"Origin": live.settings.airflow_url, "Sec-Fetch-Site": "same-origin"}


def post(
    live: Live, user: str, step: str, fields: dict[str, str], headers: dict[str, str] | None = None
) -> requests.Response:
    """What the server answers to a form."""
    cookies = live.cookies(user) if user else {}
    sent = {name: value for name, value in (origin(live) if headers is None else headers).items() if value}
    return requests.post(f"{address(live)}/{step}", data=fields, headers=sent, cookies=cookies, timeout=60)


def form(live: Live, user: str, kind: str) -> dict[str, str]:
    """The hidden fields of the form of an order on the page."""
    page = requests.get(address(live), cookies=live.cookies(user), timeout=30).text
    return next(found for text in page.split("<form")[1:] if (found := form_of("<form" + text))["kind"] == kind)


def form_of(page: str) -> dict[str, str]:
    """The hidden fields of the first form of a page."""
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page)}


def test_the_timetable_survives_the_database(live: Live) -> None:
    details = live.api("/api/v2/dags/parcels/details")
    assert details["timetable_summary"] == "02:00 America/New_York"
    assert details["timetable_description"].startswith("Every day at the cutoff 02:00 America/New_York")
    assert details["doc_md"].startswith("**How many hours late will a parcel be?**")
