"""What only a live platform can show: the dag-processor, the api-server's login, runs that the command line makes."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
import requests
import yaml

from nightshift import storage
from nightshift.job import Job
from nightshift.orchestration.last_valid import BROKEN
from nightshift.platform.airflow_client import login
from nightshift.registry.entry import Entry
from nightshift.registry.promotion import Decision
from nightshift.specs.load import load_pipeline
from nightshift.training.approval import propose
from nightshift.training.evidence import Evidence
from tests.conftest import spec_document
from tests.live import Live
from tests.waiting import until

pytestmark = pytest.mark.platform

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
    answer = requests.get(f"{live.settings.airflow_url}/nightshift/tonight", cookies=cookies(live), timeout=30)
    assert answer.status_code == 200
    [row] = [row for row in answer.text.split("<tr>") if ">parcels<" in row]
    return row if ">WAITING<" in row and "source orders lacks" in row else ""


def cookies(live: Live) -> dict[str, str]:
    """The cookie that a browser has after the login page."""
    password = json.loads((live.settings.var / "secrets" / "airflow-passwords.json").read_text())["admin"]
    answer = requests.post(
        f"{live.settings.airflow_url}/auth/token", json={"username": "admin", "password": password}, timeout=30
    )
    return {"_token": answer.json()["access_token"]}


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
        answer = requests.get(f"{live.settings.airflow_url}/nightshift/tonight", cookies=cookies(live), timeout=30)
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
        storage.create_bytes(f"{live.settings.reports}/{REPORT}", b"<p>a report</p>")
        return f"{live.settings.airflow_url}/nightshift/reports/{REPORT}"

    @pytest.fixture
    def login(self, live: Live) -> dict[str, str]:
        """The cookie that a browser has after the login page."""
        return cookies(live)

    def test_nobody_reads_a_report_without_a_login(self, live: Live, report: str) -> None:
        for address in (report, report.replace("/reports/", "/runs/")):
            assert requests.get(address, timeout=30).status_code in (401, 404)
        assert requests.get(report, timeout=30).status_code == 401
        assert requests.get(report, cookies={"_token": "forged"}, timeout=30).status_code in (401, 403)
        assert requests.get(f"{live.settings.airflow_url}/nightshift/runs/parcels/any", timeout=30).status_code == 401

    def test_who_is_logged_in_reads_it(self, report: str, login: dict[str, str]) -> None:
        answer = requests.get(report, cookies=login, timeout=30)
        assert (answer.status_code, answer.text) == (200, "<p>a report</p>")
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
        assert ("Tonight", "nav") in [(view["name"], view["destination"]) for view in plugin["external_views"]]

    def test_a_run_has_a_page(self, live: Live, login: dict[str, str]) -> None:
        address = f"{live.settings.airflow_url}/nightshift/runs/parcels/manual__none"
        answer = requests.get(address, cookies=login, timeout=30)
        assert (answer.status_code, "No step has ended yet." in answer.text) == (200, True)


def test_the_timetable_survives_the_database(live: Live) -> None:
    details = live.api("/api/v2/dags/parcels/details")
    assert details["timetable_summary"] == "02:00 America/New_York"
    assert details["timetable_description"].startswith("Every day at the cutoff 02:00 America/New_York")
    assert details["doc_md"].startswith("**How many hours late will a parcel be?**")
