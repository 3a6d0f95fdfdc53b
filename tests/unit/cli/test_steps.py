"""``land``, ``run``, ``retrain``, ``up``, ``down``, ``demo``: what the commands do around their use cases.

The use cases themselves run in ``tests/spark``, ``tests/platform`` and ``tests/e2e``; here they are stand-ins.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nightshift import demo, steps
from nightshift.cli.app import app
from nightshift.errors import GateFailed, InputMissing, NightshiftError
from nightshift.job import Job, Outcome
from nightshift.platform import demo as platform_demo
from nightshift.platform import local, nights
from nightshift.platform.health import HEALTHY, Component
from nightshift.settings import Settings

RETRAIN = [name for name, step in steps.STEPS.items() if step.dag == "retrain"]


@pytest.fixture
def invoke(home: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Result]]:
    """Runs a command in this process, in a home of its own, and puts umask and logging back."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(home.home))
    monkeypatch.delenv("NIGHTSHIFT_VAR", raising=False)
    before, logger = os.umask(0o022), logging.getLogger("nightshift")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield lambda *arguments: CliRunner().invoke(app, arguments, catch_exceptions=False)
    os.umask(before)
    logger.handlers[:], logger.level, logger.propagate = handlers, level, propagate


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Job, int]]:
    """What ``run_step`` was called with: step, job, the umask of that moment."""
    called: list[tuple[str, Job, int]] = []

    def run_step(job: Job, name: str, _run_spark: Any) -> Outcome:
        mask = os.umask(0o077)
        called.append((name, job, mask))
        os.umask(mask)
        return Outcome(name, job.day, "done", f"did {name}", {"rows": 3.0}, {"report": "/r.html"})

    monkeypatch.setattr(steps, "run_step", run_step)
    return called


def test_run_is_one_step_of_one_job(invoke: Callable[..., Result], jobs: list[tuple[str, Job, int]]) -> None:
    result = invoke("run", "parcels", "gate_inputs", "--ds", "2024-03-04", "--run-id", "again")
    assert (result.exit_code, result.stdout) == (0, "gate_inputs 2024-03-04: did gate_inputs\n  report: /r.html\n")
    [(step, job, mask)] = jobs
    assert (step, job.pipeline.name, job.ds, job.run_id) == ("gate_inputs", "parcels", date(2024, 3, 4), "again")
    assert (job.backfill, mask) == (False, 0o077)
    assert job.actor


@pytest.mark.usefixtures("jobs")
def test_run_as_a_document(invoke: Callable[..., Result]) -> None:
    assert json.loads(invoke("run", "parcels", "gate_inputs", "--ds", "2024-03-04", "--json").stdout) == {
        "step": "gate_inputs",
        "ds": "2024-03-04",
        "status": "done",
        "message": "did gate_inputs",
        "counts": {"rows": 3.0},
        "links": {"report": "/r.html"},
        "names": {},
        "warnings": [],
    }


def test_retrain_is_all_steps_of_one_run(invoke: Callable[..., Result], jobs: list[tuple[str, Job, int]]) -> None:
    result = invoke("retrain", "parcels", "--as-of", "2024-03-04")
    assert result.exit_code == 0
    assert [line for line in result.stdout.splitlines() if not line.startswith("  ")] == [
        f"{step} 2024-03-04: did {step}" for step in RETRAIN
    ]
    assert [step for step, _, _ in jobs] == RETRAIN
    assert len({job.run_id for _, job, _ in jobs}) == 1
    assert jobs[0][1].run_id.startswith("manual__")
    assert all(mask == 0o077 for _, _, mask in jobs)


@pytest.mark.usefixtures("jobs")
def test_retrain_as_a_document(invoke: Callable[..., Result]) -> None:
    result = invoke("retrain", "parcels", "--as-of", "2024-03-04", "--json")
    document = json.loads(result.stdout)
    assert (document["pipeline"], document["as_of"]) == ("parcels", "2024-03-04")
    assert [step["step"] for step in document["steps"]] == RETRAIN


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (GateFailed("2 of 9 expectations failed", where="parcels"), 1),
        (InputMissing("orders of 2024-03-04 are not there", where="parcels"), 1),
        (NightshiftError("something else", where="parcels"), 3),
    ],
)
def test_a_step_that_fails_ends_in_one_sentence(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, error: NightshiftError, code: int
) -> None:
    def fail(*_: Any) -> Outcome:
        raise error

    monkeypatch.setattr(steps, "run_step", fail)
    result = invoke("run", "parcels", "gate_inputs", "--ds", "2024-03-04")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == f"{type(error).__name__}: parcels: {error.what}.\n"


def test_landing_says_what_was_written(invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    called = []

    def land(settings: Settings, first: date, last: date, report: Callable[[str], None]) -> int:
        report(f"landing {first}")
        called.append((settings.landing, first, last))
        return 7

    monkeypatch.setattr(demo, "LANDERS", {"parcels": land})
    result = invoke("land", "parcels", "--from", "2024-02-01", "--to", "2024-02-03", "--json")
    assert json.loads(result.stdout) == {"pipeline": "parcels", "from": "2024-02-01", "to": "2024-02-03", "files": 7}
    assert "landing 2024-02-01" in result.stderr
    [(landing, first, last)] = called
    assert (landing.endswith("/var/landing"), first, last) == (True, date(2024, 2, 1), date(2024, 2, 3))


def _components(health: str) -> list[Component]:
    return [
        Component("postgres", "running", 12, 0, HEALTHY, "/log"),
        Component("mlflow", "running", 13, 5000, health, "/log"),
    ]


@pytest.mark.parametrize(("health", "code"), [(HEALTHY, 0), ("does not answer yet", 1)])
def test_up_reports_on_its_way_and_ends_with_the_status(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, health: str, code: int
) -> None:
    monkeypatch.setattr(local, "up", lambda _settings, report: report("postgres: ready"))
    monkeypatch.setattr(local, "status", lambda _settings: _components(health))
    result = invoke("up")
    assert result.exit_code == code
    assert "postgres: ready" in result.stderr
    assert [line.split()[:3] for line in result.stdout.splitlines()[1:3]] == [
        ["postgres", "running", "healthy"],
        ["mlflow", "running", health.split(maxsplit=1)[0]],
    ]
    assert "airflow: http://127.0.0.1:8080, user admin, password in " in result.stdout
    document = json.loads(invoke("status", "--json").stdout)
    assert document["healthy"] == (code == 0)
    assert document["components"][0]["pid"] == 12


def test_down(invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "down", lambda _settings, report: report("nothing was running"))
    result = invoke("down", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"up": False})
    assert "nothing was running" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "dates"),
    [
        (
            ("--retrain", "2024-03-10", "--retrain", "2024-03-05", "--to", "2024-03-12"),
            ("2024-03-05", "2024-03-10", "2024-03-12"),
        ),
        ((), ("2024-02-20", "2024-02-25", "2024-02-28")),
    ],
)
def test_the_demo_is_given_its_dates_in_order(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], dates: tuple[str, ...]
) -> None:
    called: list[Any] = []
    tour = demo.Tour("parcels", (date(2024, 2, 20), date(2024, 2, 25)), date(2024, 2, 28))
    monkeypatch.setattr(demo, "TOUR", tour)
    monkeypatch.setattr(local, "status", lambda _settings: _components(HEALTHY))
    monkeypatch.setattr(platform_demo, "run", lambda *given: called.append(given[1:4]) or ["night"])
    monkeypatch.setattr(nights, "table", lambda pipeline, found: f"{pipeline.name}: {found}")
    result = invoke("demo", *arguments)
    assert result.stdout.startswith("\nparcels: ['night']\n\nThe platform stays up")
    first, second, last = (date.fromisoformat(text) for text in dates)
    assert called == [("parcels", [first, second], last)]


def test_a_demo_that_ends_before_its_last_retrain_is_refused_before_anything(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "TOUR", demo.Tour("parcels", (date(2024, 2, 20),), date(2024, 2, 28)))
    result = invoke("demo", "--to", "2024-02-20")
    assert result.exit_code == 2
    assert "--to 2024-02-20 is not after the last --retrain 2024-02-20" in result.stderr


def test_a_retrain_as_of_a_day_to_come_records_nothing(
    invoke: Callable[..., Result], jobs: list[tuple[str, Job, int]]
) -> None:
    result = invoke("retrain", "parcels", "--as-of", "2999-01-01")
    assert (result.exit_code, jobs) == (3, [])
    assert result.stderr.startswith("NightshiftError: parcels: 2999-01-01 has not come yet. Allowed: --as-of up to 20")


def test_landing_days_in_the_wrong_order_is_wrong_usage(invoke: Callable[..., Result]) -> None:
    result = invoke("land", "flights", "--from", "2013-03-10", "--to", "2013-03-01")
    assert result.exit_code == 2
    assert "--from 2013-03-10 is after --to 2013-03-01" in result.stderr


def test_a_defect_names_its_kind_and_where_it_was_raised(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "run_step", lambda *_: int("4711-secret"))
    result = invoke("run", "parcels", "gate_inputs", "--ds", "2024-03-04")
    assert result.exit_code == 3
    assert "ValueError" in result.stderr
    assert "nightshift.cli.pipelines:" in result.stderr
    assert "4711" not in result.stderr
