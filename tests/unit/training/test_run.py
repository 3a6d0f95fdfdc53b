"""A retrain from published days to the ledger and MLflow's alias: real Postgres, real MLflow server."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nightshift import storage
from nightshift.database import advisory_lock, connect
from nightshift.errors import NightshiftError, PlatformError
from nightshift.job import Job, Outcome
from nightshift.model_manifest import manifest_uri, model_uri, read_manifest
from nightshift.registry import mlflow
from nightshift.registry.entry import Entry, NewEntry
from nightshift.registry.ledger import Ledger, create_ledger
from nightshift.specs.calendar import current_ds
from nightshift.specs.calendar import days as days_between
from nightshift.training import run
from tests.conftest import spec_document
from tests.mlflow_server import MlflowServer
from tests.postgres import WRITER, Database, admit_people, end_locks
from tests.unit.training.conftest import window
from tests.unit.training.lake import BINARY, day_of_rows, publish, publish_rows, with_spec

WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
STEPS = (run.training_set, run.gate_training, run.train, run.evaluate_and_register, run.decide, run.promote)


@pytest.fixture
def retrain(job: Job, database: Database, mlflow_server: MlflowServer) -> Job:
    """A retrain with an empty ledger and an MLflow that has no model of this test."""
    settings = mlflow_server.settings(job.settings, f"t{uuid.uuid4().hex[:10]}")
    create_ledger(database.owner_url, WRITER)
    job = replace(job, settings=replace(settings, database_url=database.writer_url))
    admit_people(job.settings, database)
    job.leave("gate_window", {"blocked": [], "missing": []})
    return job


def again(job: Job, days: int = 0, **changes: Any) -> Job:
    """Another run, ``days`` later."""
    changes = {"run_id": uuid.uuid4().hex, "attempt": uuid.uuid4().hex[:12], **changes}
    job = replace(job, ds=job.ds + timedelta(days=days), **changes)
    job.leave("gate_window", {"blocked": [], "missing": []})
    return job


def all_steps(job: Job) -> dict[str, Outcome]:
    return {step.__name__: step(job) for step in STEPS}


def ledger(job: Job) -> list[Entry]:
    return Ledger.of(job.settings).entries("parcels")


def alias(job: Job) -> str | None:
    return mlflow.champion_version(job.settings, "parcels")


def test_first_retrain_promotes(retrain: Job, capfd: pytest.CaptureFixture[str]) -> None:
    publish(retrain, window(retrain))

    outcomes = all_steps(retrain)

    assert capfd.readouterr().out == "", "stdout belongs to our own commands"
    assert [outcome.status for outcome in outcomes.values()] == ["done"] * 6
    [entry] = ledger(retrain)
    assert (entry.kind, entry.version, entry.as_of, entry.effective_from) == (
        "promotion",
        "1",
        date(2024, 2, 21),
        date(2024, 2, 22),
    )
    assert entry.model_sha256 == retrain.left("train")["sha256"]
    assert entry.reason.startswith("rmse ")
    assert entry.reason.endswith("; there is no champion to compare with")
    holdout = entry.details["holdout"]
    assert holdout["days"] == ["2024-02-19", "2024-02-20"]
    assert set(holdout["challenger"]) == {"rmse", "mae"}
    assert holdout["challenger"]["rmse"] < holdout["baseline"]["rmse"]
    assert alias(retrain) == "1"
    assert outcomes["promote"].message == (
        f"entry 1 of the ledger: version 1 is champion from 2024-02-22 on ({entry.reason}); the alias champion names "
        "version 1"
    )
    page = outcomes["gate_training"].links["gate report"]
    assert b"<html" in storage.read_bytes(page)
    assert outcomes["evaluate_and_register"].links["MLflow run"].startswith(f"{retrain.settings.mlflow_uri}/#/")


def test_what_mlflow_shows(retrain: Job) -> None:
    retrain = with_spec(retrain, **BINARY)
    publish(retrain, window(retrain))
    all_steps(retrain)
    manifest = read_manifest(retrain.settings.models, retrain.left("train")["sha256"])

    with mlflow._talking(retrain.settings) as client:
        run_id = retrain.left("evaluate_and_register")["run_id"]
        data = client.get_run(run_id).data
        files = {item.path for folder in ("model", "plots", "") for item in client.list_artifacts(run_id, folder)}
        shown = json.loads(Path(client.download_artifacts(run_id, "model/manifest.json")).read_text())
        picture = Path(client.download_artifacts(run_id, "plots/precision_recall.png")).read_bytes()
    names = ("average_precision", "roc_auc", "log_loss", "brier", "calibration_error")
    assert {*names, *(f"baseline_{name}" for name in names), "rows", "days", "holdout_rows"} == set(data.metrics)
    assert data.metrics["roc_auc"] > 0.8
    assert data.metrics["log_loss"] < data.metrics["baseline_log_loss"]
    assert data.params["objective"] == "binary:logistic"
    assert data.tags["nightshift.training_set"] == manifest.training_set
    assert data.tags["nightshift.as_of"] == "2024-02-21"
    assert files >= {
        "model/model.ubj",
        "model/evaluated.ubj",
        "model/manifest.json",
        "training_set.json",
        "plots/precision_recall.png",
        "plots/calibration.png",
        "plots/importance.png",
    }
    assert shown["sha256"] == manifest.sha256
    assert picture.startswith(b"\x89PNG")


@pytest.mark.parametrize("objective", ["regression", "binary"])
def test_noise_is_refused(retrain: Job, objective: str) -> None:
    retrain = with_spec(retrain, **(BINARY if objective == "binary" else {}))
    publish(retrain, window(retrain), signal=0.0)

    outcomes = all_steps(retrain)

    [entry] = ledger(retrain)
    assert entry.kind == "refusal"
    assert "than the baseline's" in entry.reason
    assert entry.version == "1"
    assert alias(retrain) is None
    assert outcomes["promote"].message.endswith("; there is no champion")


def test_known_fingerprint_registers_and_records_nothing_new(retrain: Job) -> None:
    publish(retrain, window(retrain))
    all_steps(retrain)

    outcomes = all_steps(again(retrain))

    assert outcomes["train"].status == "up_to_date"
    assert outcomes["evaluate_and_register"].status == "up_to_date"
    assert outcomes["promote"].status == "up_to_date"
    assert outcomes["promote"].message.startswith("entry 1 of the ledger stands: ")
    assert len(ledger(retrain)) == 1
    with mlflow._talking(retrain.settings) as client:
        assert len(client.search_model_versions(f"name = '{retrain.settings.env}.parcels'")) == 1


def test_known_refusal_is_not_recorded_again(retrain: Job) -> None:
    publish(retrain, window(retrain), signal=0.0)
    all_steps(retrain)
    assert all_steps(again(retrain))["promote"].status == "up_to_date"
    assert [entry.kind for entry in ledger(retrain)] == ["refusal"]


def test_challenger_and_champion_on_the_same_holdout(retrain: Job) -> None:
    days = [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 25))]
    publish(retrain, days)
    all_steps(retrain)
    later = again(retrain, days=5)

    all_steps(later)

    first, second = ledger(later)
    holdout = second.details["holdout"]
    assert holdout["days"] == ["2024-02-24", "2024-02-25"]
    assert set(holdout["champion"]) == {"rmse", "mae"}
    assert second.details["champion_sha256"] == first.model_sha256
    assert "than the champion's" in second.reason
    champion = read_manifest(later.settings.models, first.model_sha256)
    assert max(champion.holdout) < "2024-02-24"


def test_comparison_leaves_out_days_that_the_champion_saw(retrain: Job) -> None:
    """The champion was trained with a holdout of one day; the challenger's holdout has four."""
    training = spec_document()["training"]
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 21))])
    all_steps(with_spec(retrain, training={**training, "holdout": 1}))
    later = with_spec(again(retrain, days=1), training={**training, "holdout": 4})

    all_steps(later)

    holdout = ledger(later)[-1].details["holdout"]
    assert read_manifest(later.settings.models, later.left("train")["sha256"]).holdout[0] == "2024-02-18"
    assert holdout["days"] == ["2024-02-20", "2024-02-21"]
    assert holdout["rows"] == 240
    assert holdout["champion"] is not None


def test_champion_that_knows_the_whole_holdout(retrain: Job) -> None:
    """After a rollback to a later version, an earlier challenger has no day on which the two can be compared."""
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 25))])
    all_steps(again(retrain, days=5))
    [promoted] = ledger(retrain)
    rollback = NewEntry(
        "parcels", "rollback", "ann", "v1 again", None, date(2024, 2, 20), promoted.version, promoted.model_sha256
    )
    Ledger.of_people(retrain.settings).append(rollback)

    all_steps(retrain)

    assert ledger(retrain)[-1].kind == "refusal"
    assert ledger(retrain)[-1].reason == "the champion was trained on every day of this holdout"


def test_champion_that_cannot_score_these_features(retrain: Job) -> None:
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 21))])
    all_steps(retrain)
    document = spec_document()["features"]
    del document["columns"]["doors"]

    later = with_spec(again(retrain, days=1), features=document)
    outcome = all_steps(later)["decide"]

    why = "there is no champion that can serve: version 1: the model was trained on another feature spec"
    assert f"{why} (columns doors)" in outcome.message
    assert ledger(later)[-1].kind == "promotion"
    assert ledger(later)[-1].details["holdout"]["champion"] is None


def test_champion_of_another_label(retrain: Job) -> None:
    publish(retrain, window(retrain))
    all_steps(retrain)
    other = again(with_spec(retrain, generation=2, **BINARY))
    publish(other, window(other))
    assert "there is no champion that can serve: version 1: " in all_steps(other)["decide"].message


# No challenger is half as bad as a champion of the same recipe: with this rule a champion that counts is a veto.
VETO: dict[str, Any] = {"metric": "rmse", "baseline": ["depot"], "improvement": 0.5}


def test_champion_of_other_feature_code_has_no_veto(retrain: Job) -> None:
    retrain = with_spec(retrain, promotion=VETO)
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 22))])
    all_steps(retrain)
    all_steps(again(retrain, days=1))
    module = retrain.settings.home / "spark_jobs" / "features" / "parcels.py"
    module.write_text(module.read_text().replace("return inputs, days", "return days, inputs, days"))

    all_steps(again(retrain, days=2))

    kept, promoted = ledger(retrain)[1:]
    assert (kept.kind, promoted.kind) == ("refusal", "promotion")
    assert "there is no champion that can serve: version 1: the model was trained with feature code" in promoted.reason
    assert promoted.details["champion_sha256"] == ledger(retrain)[0].model_sha256, "it is replaced all the same"


@pytest.mark.parametrize("which", ["manifest", "model", "evaluated"])
@pytest.mark.parametrize("harm", ["gone", "altered"])
def test_champion_whose_files_are_not_whole_has_no_veto(retrain: Job, which: str, harm: str) -> None:
    retrain = with_spec(retrain, promotion=VETO)
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 21))])
    all_steps(retrain)
    models = retrain.settings.models
    manifest = read_manifest(models, retrain.left("train")["sha256"])
    files = {
        "manifest": manifest_uri(models, manifest.sha256),
        "model": model_uri(models, manifest.sha256),
        "evaluated": model_uri(models, manifest.evaluated_sha256),
    }
    path = storage.local_path(files[which])
    path.unlink() if harm == "gone" else path.write_bytes(path.read_bytes().replace(b"e", b"f"))

    message = all_steps(again(retrain, days=1))["decide"].message

    assert "the files of version 1 " in message
    assert ("there is no champion that can serve" in message) == (which != "evaluated")
    assert ledger(retrain)[-1].kind == "promotion"


def test_evidence_names_the_days_that_were_left_out(retrain: Job) -> None:
    days = window(retrain)
    publish(retrain, days)
    why = "features cannot be built: spark_jobs/features/parcels.py build: line 7: ValueError was raised"
    for number, decided in ((3, "promotion"), (4, "refusal")):
        job = again(retrain)
        job.leave("gate_window", {"blocked": [], "missing": [], "unbuilt": dict.fromkeys(days[:number], why)})
        all_steps(job)
        entry = ledger(job)[-1]
        assert (entry.kind, entry.details["left_out"]) == (decided, dict.fromkeys(days[:number], why))
    assert entry.reason == (f"4 days of the window cannot be built: {', '.join(days[:4])}, training.max_blocked is 3")


def test_too_few_days_are_a_recorded_refusal(retrain: Job) -> None:
    publish(retrain, window(retrain)[:5])

    outcomes = all_steps(retrain)

    reason = "5 days of the window have features and labels, training.min_days is 6"
    assert [outcome.status for outcome in outcomes.values()] == ["nothing"] * 5 + ["done"]
    [entry] = ledger(retrain)
    assert (entry.kind, entry.reason, entry.version, entry.model_sha256) == ("refusal", reason, "", "")
    assert outcomes["promote"].message == (
        f"entry 1 of the ledger: refusal as of 2024-02-21 ({reason}); there is no champion"
    )
    assert all_steps(again(retrain))["promote"].status == "up_to_date"


def test_alias_is_a_mirror_that_the_next_promotion_mends(
    retrain: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(retrain, window(retrain))
    for step in STEPS[:-1]:
        step(retrain)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "set_champion", _away)
        assert run.promote(retrain).message.endswith("; the alias champion was not set")
    assert any("MLflow does not answer" in message for message in caplog.messages)
    assert alias(retrain) is None

    run.promote(replace(retrain, attempt="second"))

    assert alias(retrain) == "1"
    assert len(ledger(retrain)) == 1


def _away(*_: object) -> None:
    raise NightshiftError("MLflow does not answer")


def test_champion_that_was_deleted_in_mlflow_is_no_reason_to_fail(retrain: Job, mlflow_server: MlflowServer) -> None:
    retrain = with_spec(retrain, promotion=VETO)
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 22))])
    all_steps(retrain)
    with mlflow._talking(mlflow_server.by_admin(retrain.settings)) as client:
        client.delete_model_version(f"{retrain.settings.env}.parcels", "1")

    deleted = all_steps(again(retrain, days=1))["promote"].message
    assert deleted.endswith("version 1 is champion and was deleted in MLflow: nothing has the alias")

    mended = all_steps(again(retrain))["promote"].message
    assert mended.startswith("entry 1 of the ledger stands")
    version = next(word for word in reversed(mended.split()))
    assert alias(retrain) == version != "1"


def test_other_reason_is_another_refusal(retrain: Job) -> None:
    publish(retrain, window(retrain)[:4])
    all_steps(retrain)
    publish(retrain, window(retrain)[4:5])
    all_steps(again(retrain))
    assert [entry.reason[:6] for entry in ledger(retrain)] == ["4 days", "5 days"]


def test_registration_waits_for_another_process(retrain: Job) -> None:
    """Two runs with one recipe at once would else make two versions of it."""
    publish(retrain, window(retrain))
    run.training_set(retrain)
    run.gate_training(retrain)
    run.train(retrain)
    name = f"register {retrain.pipeline.name}"
    with ThreadPoolExecutor() as pool, connect(retrain.settings) as watching:
        with advisory_lock(retrain.settings, name):
            registering = pool.submit(run.evaluate_and_register, retrain)
            while not watching.execute(WAITING).fetchone()[0]:  # type: ignore[index]
                assert not registering.done(), registering.result()
                time.sleep(0.05)
        assert registering.result().status == "done"
    assert retrain.left("evaluate_and_register")["version"] == "1"


def test_who_has_lost_its_lock_registers_nothing(
    retrain: Job, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(retrain, window(retrain))
    run.training_set(retrain)
    run.gate_training(retrain)
    run.train(retrain)
    completed = mlflow._completed_run

    def and_lost(*arguments: Any) -> Any:
        end_locks(database)
        return completed(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(mlflow, "_completed_run", and_lost)
        with pytest.raises(PlatformError, match=r"^the lock register parcels was lost"):
            run.evaluate_and_register(retrain)
    run.evaluate_and_register(retrain)
    assert retrain.left("evaluate_and_register")["version"] == "1"


def test_who_has_lost_its_lock_moves_no_alias(
    retrain: Job, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(retrain, window(retrain))
    record = run.record_decision

    def and_lost(*arguments: Any) -> Any:
        recorded = record(*arguments)
        end_locks(database)
        return recorded

    with monkeypatch.context() as patch:
        patch.setattr(run, "record_decision", and_lost)
        with pytest.raises(PlatformError, match=r"^the lock promote parcels was lost"):
            all_steps(retrain)
    assert alias(retrain) is None
    assert run.promote(retrain).message.startswith("entry 1 of the ledger stands")
    assert alias(retrain) == "1"


def live(job: Job) -> Job:
    """A retrain as of the current day, on a lake whose days are as old as those of the fixture."""
    schedule = spec_document()["schedule"]
    today = current_ds(job.pipeline.schedule, datetime.now(UTC))
    schedule = {**schedule, "start": (today - timedelta(days=20)).isoformat(), "end": None}
    return again(with_spec(replace(job, ds=today), schedule=schedule))


def test_live_decision_counts_from_tomorrow_and_once(retrain: Job) -> None:
    job = live(retrain)
    publish(job, window(job))
    all_steps(job)
    all_steps(again(job))
    [entry] = ledger(job)
    assert entry.effective_from == job.ds + timedelta(days=1)
    assert entry.details["history"] is False
    assert alias(job) is None


def test_date_with_a_live_decision_is_recorded_but_not_decided_again(retrain: Job) -> None:
    job = live(retrain)
    publish(job, window(job)[:-1])
    all_steps(job)
    publish(job, window(job)[-1:])
    outcomes = all_steps(again(job, backfill=True))
    assert [entry.kind for entry in ledger(job)] == ["promotion", "rerun"]
    assert "keeps its live decision, entry 1" in outcomes["promote"].message
    assert ledger(job)[1].effective_from is None


def test_late_retrain_of_an_old_date_never_displaces_a_later_champion(retrain: Job) -> None:
    """A cleared run of an older date, or one that ends after its successor."""
    job = live(retrain)
    publish(job, [day.isoformat() for day in days_between(job.ds - timedelta(days=20), job.ds)])
    first = job.ds - timedelta(days=9)
    Ledger.of(job.settings).append(
        NewEntry("parcels", "refusal", "retrain", "no skill", first, details={"history": False, "run_id": "then"})
    )
    all_steps(job)
    late = all_steps(again(job, days=-5))["promote"]
    champion = ledger(job)[1]
    assert champion.kind == "promotion"
    assert f"superseded: {champion.as_of} was decided before" in late.message
    assert [entry.kind for entry in ledger(job)] == ["refusal", "promotion", "refusal"]


def promoted_meanwhile(job: Job, version: str) -> Entry:
    """Somebody else's decision about the same nights, with the files of the challenger as those of its model."""
    found = ledger(job)[0]
    new = NewEntry(
        "parcels", "rollback", "ann", "", None, job.ds + timedelta(days=1), found.version, found.model_sha256
    )
    return Ledger.of_people(job.settings).append(replace(new, version=version))


def test_champion_that_changed_since_it_was_compared_is_compared_again(retrain: Job) -> None:
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 25))])
    all_steps(retrain)
    later = again(retrain, days=5)
    retired = NewEntry("parcels", "retirement", "ann", "", None, later.ds + timedelta(days=1))
    Ledger.of_people(later.settings).append(retired)
    for step in STEPS[:-1]:
        step(later)
    assert later.left("decide")["champion"] == ""
    promoted_meanwhile(later, "1")

    run.promote(later)

    first, *_, entry = ledger(later)
    assert entry.details["champion_sha256"] == first.model_sha256
    assert "than the champion's" in entry.reason
    assert entry.details["holdout"]["champion"] is not None


def test_champion_that_changes_at_each_try_supersedes(retrain: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between comparing and recording, another decision comes in every time."""
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 25))])
    all_steps(retrain)
    later = again(retrain, days=5)
    for step in STEPS[:-1]:
        step(later)
    compared, chain = run.gather, Ledger.of_people(later.settings)
    effective = later.ds + timedelta(days=1)
    shas = iter(("a" * 64, "b" * 64, "c" * 64, "d" * 64))

    def and_then_another(*arguments: Any) -> Any:
        found = compared(*arguments)
        chain.append(NewEntry("parcels", "rollback", "ann", "", None, effective, "1", next(shas)))
        return found

    monkeypatch.setattr(run, "gather", and_then_another)
    and_then_another(later, run._training_set(later), run._challenger(later), "2")
    run.promote(later)

    entry = ledger(later)[-1]
    assert (entry.kind, entry.effective_from, entry.version) == ("refusal", None, "2")
    assert entry.reason.startswith("superseded: the champion changed 3 times")
    assert len(ledger(later)) == 1 + 4 + 1


def test_alias_follows_history_in_date_order(retrain: Job) -> None:
    publish(retrain, [day.isoformat() for day in days_between(date(2024, 2, 1), date(2024, 2, 25))])
    rule = {"metric": "rmse", "baseline": ["depot"], "improvement": -10.0}
    later = with_spec(again(retrain, days=5), promotion=rule)
    all_steps(later)
    assert alias(later) == "1"

    earlier = with_spec(again(retrain), promotion=rule)
    all_steps(earlier)

    assert [(entry.version, str(entry.effective_from)) for entry in ledger(later)] == [
        ("1", "2024-02-27"),
        ("2", "2024-02-22"),
    ]
    assert alias(later) == "1"


@pytest.mark.parametrize(
    ("spoil", "expectation"),
    [
        ({"missing": 0.3}, "expect_column_values_to_not_be_null"),
        ({"signal": 1000.0}, "expect_column_distinct_values_to_equal_set"),
    ],
)
def test_a_blocked_training_set_is_a_recorded_refusal(
    retrain: Job, spoil: dict[str, Any], expectation: str, caplog: pytest.LogCaptureFixture
) -> None:
    retrain = with_spec(retrain, **BINARY)
    publish(retrain, window(retrain), rows=12, **spoil)
    if "signal" in spoil:
        _all_late(retrain)

    outcomes = all_steps(retrain)

    reason = f"the gate of the training set blocked 240 rows: {expectation}(late) failed"
    assert [outcome.status for outcome in outcomes.values()] == ["done", *["nothing"] * 4, "done"]
    assert outcomes["gate_training"].message == f"no training as of 2024-02-21: {reason}"
    assert list(outcomes["gate_training"].links) == ["gate report"]
    assert expectation in caplog.text
    [entry] = ledger(retrain)
    assert (entry.kind, entry.reason, entry.version, entry.model_sha256) == ("refusal", reason, "", "")
    assert all_steps(again(retrain))["promote"].status == "up_to_date"


def test_no_training_goes_around_its_gate(retrain: Job) -> None:
    publish(retrain, window(retrain))
    run.training_set(retrain)
    with pytest.raises(NightshiftError, match="step gate_training of run retrain has left nothing"):
        run.train(retrain)


def _all_late(job: Job) -> None:
    for ds in window(job):
        _, labels = day_of_rows(job, ds, 12)
        spoiled = labels.set_column(1, labels.schema.field(1), pa.array([1] * labels.num_rows, pa.int64()))
        publish_rows(job, "labels", ds, spoiled, "f9")


def test_expectations_of_the_spec_are_judged_on_the_joined_rows(retrain: Job) -> None:
    expect = {"expect_column_mean_to_be_between": {"column": "late_3d", "min_value": 100}}
    training = spec_document()["training"]
    publish(retrain, window(retrain), rows=12)
    for policy, status in (("warn", "warned"), ("block", "blocked")):
        job = with_spec(retrain, training={**training, "gate": {"policy": policy, "expect": [expect]}})
        job = again(job)
        run.training_set(job)
        if status == "warned":
            outcome = run.gate_training(job)
            assert outcome.message == "240 rows, gate warned: 2 expectations"
            assert outcome.counts == {"rows": 240.0, "warnings": 1.0}
        else:
            outcome = run.gate_training(job)
            assert (outcome.status, outcome.counts) == ("nothing", {"rows": 240.0})
            assert outcome.message.endswith("blocked 240 rows: expect_column_mean_to_be_between(late_3d) failed")


def test_holdout_of_one_class_is_a_refusal(retrain: Job) -> None:
    """Average precision is not defined without positives; the retrain says so instead of failing."""
    changes = {**BINARY, "promotion": {"metric": "average_precision", "baseline": ["depot"]}}
    retrain = with_spec(retrain, **changes)
    publish(retrain, window(retrain))
    for ds in window(retrain)[-2:]:
        _, labels = day_of_rows(retrain, ds, 120)
        publish_rows(retrain, "labels", ds, labels.set_column(1, labels.schema.field(1), pa.array([0] * 120)), "f9")
    all_steps(retrain)
    [entry] = ledger(retrain)
    assert entry.kind == "refusal"
    assert entry.reason == "the holdout has labels of one class alone, which leaves average_precision undefined"
