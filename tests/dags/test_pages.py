"""What the pages show and refuse; who may see them is tested against a live api-server."""

import re
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException

from nightshift import runs, storage
from nightshift.gates.kept import contents
from nightshift.gates.results import GateReport
from nightshift.job import Outcome
from nightshift.lineage import sha256
from nightshift.orchestration.pages import read_report, run_page
from nightshift.orchestration.template import filled
from nightshift.settings import Settings

DS = "2024-02-05"
FOLDER = f"{{}}/features/ds={DS}"
RUN = "backfill__2024-02-05T07:00:00+00:00"


@pytest.fixture
def reports(settings: Settings) -> Path:
    """The folder of all reports, with one of parcels, one of letters, and a file that is none beside them."""
    root = Path(settings.reports)
    for pipeline, attempt in (("parcels", "a"), ("letters", "secret")):
        for kind, content in zip((".json", ".html"), contents(report_of(pipeline, attempt)), strict=True):
            storage.create_bytes(f"{root}/{FOLDER.format(pipeline)}/{attempt}{kind}", content)
    storage.create_bytes(f"{root.parent}/secrets/key.html", b"no")
    return root


def report_of(pipeline: str, attempt: str, **changes: Any) -> GateReport:
    return GateReport(
        **{"pipeline": pipeline, "dataset": "features", "ds": DS, "attempt": attempt, "status": "passed",
           "rows": 7, "removed": 0, "results": (), "fingerprint": "f" * 16, **changes}
    )  # fmt: skip


def refused(settings: Settings, dag: str, path: str) -> bool:
    try:
        read_report(settings, dag, path)
    except HTTPException as error:
        return error.status_code == 404
    return False


@pytest.mark.parametrize("dag", ["parcels", "parcels__retrain"])
def test_both_dags_of_a_pipeline_show_its_reports(settings: Settings, reports: Path, dag: str) -> None:
    answer = read_report(settings, dag, "features/ds=2024-02-05/a.html")
    assert b"Every expectation holds." in answer.body
    assert answer.status_code == 200
    assert answer.media_type == "text/html; charset=utf-8"
    assert read_report(settings, dag, "features/ds=2024-02-05/a.json").media_type == "application/json"


@pytest.mark.parametrize(
    "path",
    [
        "features/ds=2024-02-05/missing.html",
        "features/ds=2024-02-05",
        "../letters/features/ds=2024-02-05/secret.html",
        "features/../../letters/features/ds=2024-02-05/secret.html",
        "../../secrets/key.html",
        "/etc/passwd",
        "features//a.html",
        "features/.hidden.html",
        "features/a.html\x00.json",
        "features/a.parquet",
        "",
    ],
)
def test_nothing_else_is_shown(settings: Settings, reports: Path, path: str) -> None:
    assert refused(settings, "parcels", path)


class TestReportThatIsNotAsItWasWritten:
    """What a page of a gate shows is what the gate found."""

    @pytest.fixture
    def folder(self, reports: Path) -> Path:
        return reports / FOLDER.format("parcels")

    def served(self, settings: Settings, name: str = "a.html") -> tuple[int, str]:
        answer = read_report(settings, "parcels", f"features/ds={DS}/{name}")
        return answer.status_code, unescape(bytes(answer.body).decode())

    def publish(self, settings: Settings, folder: Path, root: str = "parcels") -> None:
        """Keeps the manifest of the partition that the report is of."""
        gate = {"report": f"{folder}/a.json", "sha256": sha256((folder / "a.json").read_bytes()), "status": "passed"}
        place = f"{settings.tables}/{root}/features/_manifests/ds={DS}/{'f' * 16}-a.json"
        storage.create_json(place, {"ds": DS, "attempt": "a", "gate": gate})

    def forge(self, folder: Path) -> None:
        """Writes both files anew, with digests that belong to them."""
        for kind, content in zip(("json", "html"), contents(report_of("parcels", "a", rows=8)), strict=True):
            (folder / f"a.{kind}").write_bytes(content)

    def refuses(self, settings: Settings, why: str, name: str = "a.html") -> None:
        status, page = self.served(settings, name)
        assert status == 409
        assert f"this gate report is not shown: {why}" in page
        assert f"features/ds={DS}/{name}" in page
        assert "What to do: put the report back from a backup" in page

    def test_an_altered_page(self, settings: Settings, folder: Path) -> None:
        page = (folder / "a.html").read_text()
        (folder / "a.html").write_text(page.replace("7", "7000000"))
        self.refuses(settings, "its digest is not the one that the report for programs has")

    @pytest.mark.parametrize("name", ["a.html", "a.json"])
    def test_an_altered_document(self, settings: Settings, folder: Path, name: str) -> None:
        (folder / "a.json").write_text((folder / "a.json").read_text().replace('"passed"', '"blocked"'))
        self.refuses(settings, "its digest is not the one that it was written with", name)

    def test_one_that_is_another_attempts(self, settings: Settings, folder: Path) -> None:
        for kind in ("json", "html"):
            (folder / f"b.{kind}").write_bytes((folder / f"a.{kind}").read_bytes())
        self.refuses(settings, "it is the report of another partition or attempt", "b.html")

    def test_a_page_alone(self, settings: Settings, folder: Path) -> None:
        (folder / "a.json").unlink()
        self.refuses(settings, "the report for programs, which has its digest, is gone")

    def test_no_json(self, settings: Settings, folder: Path) -> None:
        (folder / "a.json").write_text("[")
        self.refuses(settings, "it is no JSON document")

    @pytest.mark.parametrize("root", ["parcels", "parcels/generation=2"])
    @pytest.mark.parametrize("name", ["a.html", "a.json"])
    def test_what_was_published_is_vouched_for_by_its_manifest(
        self, settings: Settings, folder: Path, name: str, root: str
    ) -> None:
        self.publish(settings, folder, root)
        assert self.served(settings, name)[0] == 200
        self.forge(folder)
        self.refuses(settings, "its digest is not the one that the manifest of the published partition has", name)

    def test_whoever_takes_the_digest_away_makes_nothing_older(self, settings: Settings, folder: Path) -> None:
        self.publish(settings, folder)
        (folder / "a.json").write_text("{}")
        self.refuses(settings, "its digest is not the one that the manifest of the published partition has")

    def test_one_of_an_earlier_version_is_shown_and_marked(self, settings: Settings, folder: Path) -> None:
        storage.write_json(f"{folder}/a.json", report_of("parcels", "a").document())
        status, page = self.served(settings)
        assert status == 200
        assert "An earlier version wrote this page and kept no digest of it" in page
        assert "Every expectation holds." in page
        assert self.served(settings, "a.json")[0] == 200


@pytest.mark.parametrize("dag", ["..", ".", "", "parcels/..", "Parcels"])
def test_a_dag_is_a_name(settings: Settings, reports: Path, dag: str) -> None:
    assert refused(settings, dag, "secrets/key.html")
    with pytest.raises(HTTPException):
        run_page(settings, dag, RUN)


def test_all_pages_have_one_style() -> None:
    """Each had its own, and one colour of them differed in a digit."""
    style = files("nightshift.orchestration").joinpath("page.css").read_text()
    for name, values in {
        "tonight.html": {"at": "", "summary": ""},
        "run.html": {"dag": "", "title": "", "run": "", "ds": ""},
        "pipeline.html": {"title": "", "under": ""},
    }.items():
        page = filled(name, content="", **values)
        assert style in page
        assert set(re.findall(r"#[0-9a-f]{3,6}\b", page)) == set(re.findall(r"#[0-9a-f]{3,6}\b", style))


def test_a_link_that_leaves_the_folder_is_not_followed(settings: Settings, reports: Path) -> None:
    (reports / "parcels" / "way").symlink_to(reports.parent / "secrets")
    assert refused(settings, "parcels", "way/key.html")


class TestRunPage:
    def test_shows_the_steps_in_their_order_with_what_they_said(self, settings: Settings) -> None:
        monitor = Outcome("monitor", "2024-02-05", "done", "seen", {"days": 2}, warnings=("<one> day",))
        failed = Outcome("gate_features", "2024-02-05", "nothing", "the gate <blocked> 7 rows.")
        runs.keep(settings, "parcels", RUN, monitor, "done", 1.25)
        runs.keep(settings, "parcels", RUN, failed, "failed", 3.0)
        page = run_page(settings, "parcels", RUN)
        assert page.index("gate_features") < page.index("monitor")
        assert '<td class="failed">failed<td>the gate &lt;blocked&gt; 7 rows.' in page
        assert "<small>warning: &lt;one&gt; day</small><small>days 2</small>" in page
        assert '<h1><a href="/nightshift/pipelines/parcels">parcels</a></h1>' in page
        assert RUN in page

    def test_opens_reports_and_runs_and_shows_the_rest_as_text(self, settings: Settings) -> None:
        links = {
            "gate report": f"{settings.reports}/parcels/features/ds=2024-02-05/a.html",
            "MLflow run": "http://127.0.0.1:5000/#/experiments/1/runs/2",
            "table": "/lake/parcels/features",
            "<b>": "javascript:alert(1)",
        }
        runs.keep(settings, "parcels", RUN, Outcome("train", "2024-02-05", "done", "ok", links=links), "done", 1)
        page = run_page(settings, "parcels", RUN)
        assert f'href="{settings.airflow_url}/nightshift/reports/parcels/features/ds=2024-02-05/a.html"' in page
        assert 'href="http://127.0.0.1:5000/#/experiments/1/runs/2"' in page
        assert "<small>table: /lake/parcels/features</small>" in page
        assert "<small>&lt;b&gt;: javascript:alert(1)</small>" in page

    def test_folds_many_links(self, settings: Settings) -> None:
        links = {f"report {n}": f"http://x/{n}" for n in range(30)}
        runs.keep(settings, "parcels", RUN, Outcome("train", "2024-02-05", "done", "ok", links=links), "done", 1)
        assert "<details><summary>30 links</summary>" in run_page(settings, "parcels", RUN)

    def test_a_run_that_has_said_nothing_yet(self, settings: Settings) -> None:
        assert "No step has ended yet." in run_page(settings, "parcels", RUN)

    def test_begins_with_the_run_in_one_line(self, settings: Settings) -> None:
        ds = "2024-02-05"
        planned = Outcome("plan_scoring", ds, "done", "ok", {"shards": 1, "rows": 977}, names={"champion": "<3>"})
        for outcome in (
            Outcome("gate_inputs", ds, "done", "ok", {"rows_landed": 980, "rows_quarantined": 3, "warnings": 1}),
            planned,
            Outcome("gate_predictions", ds, "done", "ok", {"rows": 977, "quarantined": 0}),
            Outcome("monitor", ds, "done", "ok"),
        ):
            runs.keep(settings, "parcels", RUN, outcome, outcome.status, 1)
        page = run_page(settings, "parcels", RUN)
        line = "977 rows scored, champion version &lt;3&gt;, 3 quarantined, 1 warning"
        assert f'<p class="summary"><b class="state ok_with_warnings">OK with warnings</b> {line}</p>' in page
        assert page.index(line) < page.index("<table>")

    @pytest.mark.parametrize(
        ("airflow", "state"),
        [
            ({}, "RUNNING"),
            ({"airflow": "running", "paused": True}, "PAUSED"),
            ({"airflow": "running", "waits": True}, "WAITING"),
            ({"airflow": "failed"}, "FAILED"),
            ({"airflow": "success"}, "OK"),
        ],
    )
    def test_begins_with_the_state_by_what_airflow_knows(
        self, settings: Settings, airflow: dict[str, Any], state: str
    ) -> None:
        runs.keep(settings, "parcels", RUN, Outcome("gate_inputs", "2024-02-05", "done", "ok"), "done", 1)
        assert f'<b class="state {state.lower()}">{state}</b>' in run_page(settings, "parcels", RUN, **airflow)

    def test_the_last_word_of_a_step_counts(self, settings: Settings) -> None:
        outcome = Outcome("train", "2024-02-05", "done", "ok")
        runs.keep(settings, "parcels", RUN, outcome, "failed", 1)
        runs.keep(settings, "parcels", RUN, outcome, "done", 2)
        assert [step["status"] for step in runs.read_run(settings, "parcels", RUN)] == ["done"]

    def test_says_who_asked_for_the_run_and_why(self, settings: Settings) -> None:
        outcome = Outcome("monitor", "2024-02-05", "done", "ok")
        runs.keep(settings, "parcels", RUN, outcome, "done", 1, by="<ada>", reason="the <vendor> corrected it")
        assert f"{RUN} · asked for by &lt;ada&gt;: the &lt;vendor&gt; corrected it" in run_page(
            settings, "parcels", RUN
        )

    def test_another_run_with_the_same_letters_is_not_shown(self, settings: Settings) -> None:
        runs.keep(settings, "parcels", RUN, Outcome("train", "2024-02-05", "done", "ok"), "done", 1)
        assert "No step has ended yet." in run_page(settings, "parcels", RUN.replace(":", "_"))

    def test_what_was_altered_is_not_served(self, settings: Settings) -> None:
        runs.keep(settings, "parcels", RUN, Outcome("train", "2024-02-05", "done", "ok"), "done", 1)
        [file] = storage.list_files(runs.run_folder(settings, "parcels", RUN))
        storage.write_bytes(file.uri, storage.read_bytes(file.uri).replace(b'"ok"', b'"promoted"'))
        page = run_page(settings, "parcels", RUN)
        assert "promoted" not in page
        assert "1 of this run's files are not as they were written. They are not shown." in unescape(page)
